"""Dockgate: from `git push` to a running container, through a gate that judges vulnerabilities."""

__version__ = "0.1.0"
