"""For which ecosystems a feed speaks, and how completely."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from dockgate.core.errors import DefinitionError

FILE = "coverage.json"

Declared = Mapping[str, tuple[str, ...]]
"""Ecosystem with release -> the source names that a partial snapshot speaks of."""


def declared(folder: Path) -> Declared | None:
    """What `coverage.json` says, None when there is none: the folder then holds whole exports.

    Its form is `{"ecosystems": {"Debian:13": ["zlib"], "PyPI": ["idna"]}}`. Raises DefinitionError naming file and key.
    """
    path = folder / FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path} cannot be read: {error}.", _ADVICE) from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DefinitionError(f"{path} is no JSON: {error}.", _ADVICE) from error
    ecosystems = document.get("ecosystems") if isinstance(document, dict) else None
    if not isinstance(ecosystems, dict):
        raise DefinitionError(f"{path} has no object under the key ecosystems.", _ADVICE)
    for ecosystem, names in ecosystems.items():
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise DefinitionError(f"{path}: the key ecosystems.{ecosystem} is no list of names.", _ADVICE)
    return {ecosystem: _normal(ecosystem, names) for ecosystem, names in ecosystems.items()}


def belongs(ecosystem: str, whole: str) -> bool:
    """Whether an ecosystem, with its release if it has one, is part of what a feed is the whole word of."""
    return ecosystem == whole or ecosystem.startswith(f"{whole}:")


def derived(ecosystems: Iterable[str]) -> tuple[str, ...]:
    """What a whole export covers, given the ecosystems that its records speak of.

    Where any of them names a release, the export is of a distribution and covers those releases alone.
    """
    spoken = sorted(set(ecosystems))
    released = tuple(name for name in spoken if ":" in name)
    return released or tuple(spoken)


_ADVICE = 'Write {"ecosystems": {"Debian:13": ["source names"]}}, or remove the file when the exports are whole.'


def _normal(ecosystem: str, names: list[str]) -> tuple[str, ...]:
    if ecosystem == "PyPI":
        names = [re.sub(r"[-_.]+", "-", name).lower() for name in names]
    elif ecosystem in ("GitHub Actions", "Go", "NuGet", "Packagist", "SwiftURL", "VSCode"):
        names = [name.lower() for name in names]
    return tuple(sorted(set(names)))
