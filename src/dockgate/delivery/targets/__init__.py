"""Targets that run services, one file each (`delivery.ports.Target`)."""
