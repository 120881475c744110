"""Names of Python projects. Source: PEP 503, "Normalized Names"."""

import re


def normalize_pypi_name(name: str) -> str:
    """Return the form that all spellings of a project's name have in common: "My.Project" is "my-project"."""
    return re.sub(r"[-_.]+", "-", name).lower()
