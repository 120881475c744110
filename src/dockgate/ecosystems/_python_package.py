"""The one way to write down a Python distribution."""

import re

from dockgate.core.model import Package
from dockgate.core.purl import write


def package(name: str, version: str, path: str) -> Package:
    return Package(name, version, purl(name, version), "PyPI", normal(name), version, path)


def purl(name: str, version: str) -> str:
    return write("pypi", "", normal(name), version)


def normal(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()
