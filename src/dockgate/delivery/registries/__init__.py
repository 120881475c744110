"""Registries that builds are pushed to and services run from.

`distribution.py` is the server's own registry, whose tokens `tokens.py` signs. `images.py` reads images and what is
attached to them, `attestor.py` attaches signed statements. The interfaces are in `delivery.ports`.
"""
