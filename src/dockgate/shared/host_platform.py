"""The platform of this machine."""

import os

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def detect_architecture() -> str:
    """Return this machine's architecture, as OCI images name it."""
    machine = os.uname().machine.lower()
    return _ARCHITECTURES.get(machine, machine)


def detect_host_platform() -> str:
    """Return the platform of images for this machine. Containers run Linux on every host."""
    return f"linux/{detect_architecture()}"
