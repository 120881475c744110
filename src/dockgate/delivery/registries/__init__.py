"""The registry that builds are pushed to and services run from. One file per kind (`delivery.ports.Registry`)."""
