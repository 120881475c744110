"""How many versions that advisories name are none by their ecosystem's own rules, so that they compare with nothing
("?"): DOCKGATE_FEEDS, the layout of `dockgate db build`, ecosystem by ecosystem.

python bench/versions.py
"""

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _advisories import FEEDS
from dockgate.scanner import ecosystems
from dockgate.shared.errors import UncomparableError

EXAMPLES = 3


def main() -> None:
    keys = {name: kind.make_version_key for kind in ecosystems.load() for name in kind.osv_names}
    version_count = refused_count = 0
    for export in sorted(FEEDS.glob("osv/*/all.zip")):
        name = export.parent.name
        versions = set(_list_versions(export, name))
        wrong = sorted(version for version in versions if not _is_one(keys[name], version))
        version_count, refused_count = version_count + len(versions), refused_count + len(wrong)
        print(f"{name}: {_format_share(len(wrong), len(versions))} {', '.join(map(repr, wrong[:EXAMPLES]))}".rstrip())
    print(f"all: {_format_share(refused_count, version_count)}")


def _list_versions(export: Path, ecosystem: str) -> Iterator[str]:
    """Every version that is listed, or at which a range begins or ends."""
    with zipfile.ZipFile(export) as archive:
        for member in archive.namelist():
            for affected in json.loads(archive.read(member)).get("affected", []):
                if affected.get("package", {}).get("ecosystem", "").partition(":")[0] == ecosystem:
                    yield from affected.get("versions") or ()
                    for span in affected.get("ranges") or ():
                        yield from _list_bounds(span) if span["type"] != "GIT" else ()


def _list_bounds(span: dict[str, Any]) -> Iterator[str]:
    """Without those that are no bound, 0 and *."""
    return (version for event in span["events"] for version in event.values() if version not in ("0", "*"))


def _is_one(key: Callable[[str], Any], version: str) -> bool:
    try:
        key(version)
    except UncomparableError:
        return False
    return True


def _format_share(refused_count: int, version_count: int) -> str:
    return f"{refused_count:,} of {version_count:,} versions ({refused_count / max(version_count, 1):.2%})"


if __name__ == "__main__":
    main()
