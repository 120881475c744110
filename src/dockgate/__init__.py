"""Dockgate: from `git push` to a running container, past a gate that its vulnerabilities cannot talk round."""

__version__ = "0.1.0"
