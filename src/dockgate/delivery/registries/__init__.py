"""Registries that builds are pushed to and services run from, one file for each kind.

The interface is `delivery.ports.Registry`.
"""
