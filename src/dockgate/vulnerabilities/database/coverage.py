"""Which ecosystems a feed covers, and how completely."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from dockgate.shared.errors import DefinitionError

FILE = "coverage.json"

# The source names that a partial snapshot covers, by ecosystem with release.
Declared = Mapping[str, tuple[str, ...]]


def declared(folder: Path) -> Declared | None:
    """Read `coverage.json`, None without it: then the folder has complete exports.

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
        raise DefinitionError(f"{path} is not JSON: {error}.", _ADVICE) from error
    ecosystems = document.get("ecosystems") if isinstance(document, dict) else None
    if not isinstance(ecosystems, dict):
        raise DefinitionError(f"{path} has no object under the key ecosystems.", _ADVICE)
    for ecosystem, names in ecosystems.items():
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise DefinitionError(f"{path}: the key ecosystems.{ecosystem} is not a list of names.", _ADVICE)
    return {ecosystem: _normal(ecosystem, names) for ecosystem, names in ecosystems.items()}


def belongs(ecosystem: str, covered: str) -> bool:
    """Whether a feed that covers `covered` covers this ecosystem, with its release if it has one."""
    return ecosystem == covered or ecosystem.startswith(f"{covered}:")


def derived(standing: Mapping[str, int]) -> tuple[str, ...]:
    """What a whole export covers, given how many statements that are not withdrawn it makes of each ecosystem.

    Where any of them names a release, the export is of a distribution and covers those releases alone, without those of
    which next to nothing is left.
    """
    released = {name: count for name, count in standing.items() if ":" in name} or standing
    least = max(released.values(), default=0) // _RESIDUE
    return tuple(sorted(name for name, count in released.items() if count > least))


# A release with fewer records than this part of another's is one that its publisher took out of the feed, as
# Ubuntu did with 25.04 when it ended: 3 records still stood, of 13,000 (anchore/vunnel, src/vunnel/providers/ubuntu,
# 2026-09).
_RESIDUE = 500
_ADVICE = 'Write {"ecosystems": {"Debian:13": ["source names"]}}, or remove the file when the exports are whole.'


def _normal(ecosystem: str, names: list[str]) -> tuple[str, ...]:
    if ecosystem == "PyPI":
        names = [re.sub(r"[-_.]+", "-", name).lower() for name in names]
    elif ecosystem in ("GitHub Actions", "Go", "NuGet", "Packagist", "SwiftURL", "VSCode"):
        names = [name.lower() for name in names]
    return tuple(sorted(set(names)))
