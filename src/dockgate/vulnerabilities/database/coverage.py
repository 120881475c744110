"""The ecosystems that a feed covers, and how completely."""

from collections.abc import Mapping
from pathlib import Path

from dockgate.shared.errors import DefinitionError
from dockgate.shared.pypi_names import normalize_pypi_name
from dockgate.shared.strict_json import parse_json

FILE = "coverage.json"

# The source names that a partial snapshot covers, by ecosystem with release.
PartialCoverage = Mapping[str, tuple[str, ...]]

_ADVICE = 'Write {"ecosystems": {"Debian:13": ["source names"]}}, or remove the file if the exports are complete.'
# A release with less than this fraction of another's records was removed from the feed by its publisher, as Ubuntu did
# with 25.04 at its end: 3 records of 13,000 remained (anchore/vunnel, src/vunnel/providers/ubuntu, 2026-09).
_REMOVED_FRACTION = 500


def read_coverage(folder: Path) -> PartialCoverage | None:
    """Read `coverage.json`; None without it: then the folder has complete exports.

    Its format is `{"ecosystems": {"Debian:13": ["zlib"], "PyPI": ["idna"]}}`. Raises DefinitionError, which names file
    and key.
    """
    path = folder / FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path} cannot be read: {error}", _ADVICE) from error
    try:
        document = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise DefinitionError(f"{path} is not JSON: {error}", _ADVICE) from error
    ecosystems = document.get("ecosystems") if isinstance(document, dict) else None
    if not isinstance(ecosystems, dict):
        raise DefinitionError(f"{path} has no object under the key ecosystems", _ADVICE)
    for ecosystem, names in ecosystems.items():
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise DefinitionError(f"{path}: the key ecosystems.{ecosystem} is not a list of names", _ADVICE)
    return {ecosystem: _normalize_names(ecosystem, names) for ecosystem, names in ecosystems.items()}


def is_covered_by(ecosystem: str, covered_ecosystem: str | None) -> bool:
    """Return whether a feed of `covered_ecosystem` (may be None) covers this ecosystem and release."""
    if covered_ecosystem is None:
        return False
    return ecosystem == covered_ecosystem or ecosystem.startswith(f"{covered_ecosystem}:")


def list_covered_ecosystems(statement_counts: Mapping[str, int]) -> tuple[str, ...]:
    """The ecosystems that a complete export covers, by the number of statements about each.

    Withdrawn statements are not counted. If any of them has a release, the export is of a distribution and covers only
    releases; those that were removed from it do not count.
    """
    releases = {name: count for name, count in statement_counts.items() if ":" in name} or statement_counts
    minimum = max(releases.values(), default=0) // _REMOVED_FRACTION
    return tuple(sorted(name for name, count in releases.items() if count > minimum))


def _normalize_names(ecosystem: str, names: list[str]) -> tuple[str, ...]:
    if ecosystem == "PyPI":
        names = [normalize_pypi_name(name) for name in names]
    elif ecosystem in ("GitHub Actions", "Go", "NuGet", "Packagist", "SwiftURL", "VSCode"):
        names = [name.lower() for name in names]
    return tuple(sorted(set(names)))
