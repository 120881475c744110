"""Builders of images, one file each (`delivery.ports.Builder`)."""
