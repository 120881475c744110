"""Builders of images, one file each: `podman.py`. The interface is `delivery.ports.Builder`.

`dockerfile.py` and `dockerfile_instructions.py` find the images that a Dockerfile names, `workspaces.py` has the
folders of repositories, `failure_reason.py` explains why a build failed. `sandbox/` isolates builds from the host.
"""
