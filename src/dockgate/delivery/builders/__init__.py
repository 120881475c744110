"""Builders of images, one file each: `podman.py`. The interface is `delivery.ports.Builder`.

`images.py` is the interface between builders and registries, `registry_images.py` downloads base images and pushes
results. `workspaces.py` has the folders of repositories, `failure_reason.py` explains why a build failed. `sandbox/`
isolates builds from the host.
"""
