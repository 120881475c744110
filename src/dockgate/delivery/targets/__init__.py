"""Targets that run services, one file each: `podman.py`, `ecs.py`.

The interface is `delivery.ports.Target`. Modules whose name begins with "_" are what these share: health checks, and
the answers of podman and ECS as values.
"""
