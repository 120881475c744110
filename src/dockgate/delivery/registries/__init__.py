"""Registries that builds are pushed to and services run from, one file per kind (`delivery.ports.Registry`)."""
