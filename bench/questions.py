"""How many lines a second `dockgate check` and `dockgate versions` answer: whole processes, 10,000 lines each.

    python bench/questions.py [RUNS]

`check` gets the packages of the middle image, repeated like the lists of many hosts, and 10,000 different packages that
are all in advisories, in versions that the advisories name. `versions` gets pairs of versions from advisories, for each
ecosystem with a thousand of them. Advisories come from the folder DOCKGATE_FEEDS.
"""

import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from random import Random

import _images
import _inventories
import _measure

FEEDS = Path(os.environ.get("DOCKGATE_FEEDS", _images.HERE.parent.parent / "shared" / "data"))
DOCKGATE = str(Path(sys.executable).parent / "dockgate")
LINES = 10_000
PURLS = {"PyPI": "pypi", "npm": "npm", "Packagist": "composer", "RubyGems": "gem", "crates.io": "cargo"}
PURLS |= {"Go": "golang", "Debian:12": "deb/debian", "Debian:13": "deb/debian", "Maven": "maven"}
"""of OSV's ecosystems, the type of their package URLs, with the namespace where all have one"""


def main(runs: int) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {runs} runs")
    chance = Random(1)  # noqa: S311 - the same lines in every run
    with tempfile.TemporaryDirectory(prefix="dockgate-bench-") as name:
        folder = Path(name)
        database = folder / "advisories.db"
        subprocess.run([DOCKGATE, "db", "build", "--from", str(FEEDS), "--database", str(database)], check=True)
        check = [DOCKGATE, "check", "-o", "json", "--database", str(database)]
        image = _inventories.list_dockgate_packages(_images.make_layouts()["middle"])
        purl_lines = {f"{_format_purl(purl)}\n" for purl, sides in image.items() if not sides.owned}
        affected = list(_list_affected_purls(database))
        chance.shuffle(affected)
        inputs = {"of the middle image": islice(cycle(sorted(purl_lines)), LINES), "all different": affected[:LINES]}
        for input_name, lines in inputs.items():
            file = folder / "lines"
            file.write_text("".join(lines))
            _tell(f"check, {input_name}", [_measure.measure_seconds(check, {}, stdin=file) for _ in range(runs)], file)
        for ecosystem, versions in _read_versions(database).items():
            file.write_text("".join(f"{chance.choice(versions)} {chance.choice(versions)}\n" for _ in range(LINES)))
            command = [DOCKGATE, "versions", ecosystem]
            _tell(
                f"versions {ecosystem}", [_measure.measure_seconds(command, {}, stdin=file) for _ in range(runs)], file
            )


def _tell(input_name: str, times: list[float], lines: Path) -> None:
    count = sum(1 for _ in lines.open())
    rates = sorted(count / time for time in times)
    print(
        f"{input_name:30} {count} lines: {statistics.median(rates):,.0f} a second ({rates[0]:,.0f}–{rates[-1]:,.0f})",
        flush=True,
    )


def _format_purl(package: _inventories.Package) -> str:
    name, _, _ = package.name.partition(":")
    distribution = "?distro=debian-13" if package.type == "deb" else ""
    return f"pkg:{package.type}/{name.replace('@', '%40')}@{package.version}{distribution}"


def _list_affected_purls(database: Path) -> Iterator[str]:
    """A package URL for each package in the advisories, with a version that they name."""
    for ecosystem, name, versions in _read_rows(database):
        if ecosystem not in PURLS or not versions:
            continue
        encoded_name = name.replace(":", "/").replace("@", "%40")
        distribution = f"?distro=debian-{ecosystem[7:]}" if ecosystem.startswith("Debian:") else ""
        yield f"pkg:{PURLS[ecosystem]}/{encoded_name}@{versions[0].replace('+', '%2B')}{distribution}\n"


def _read_versions(database: Path) -> dict[str, list[str]]:
    versions_by_ecosystem: dict[str, set[str]] = {}
    for ecosystem, _, versions in _read_rows(database):
        versions_by_ecosystem.setdefault(ecosystem.partition(":")[0], set()).update(
            version for version in versions if " " not in version
        )
    return {
        ecosystem: sorted(versions)
        for ecosystem, versions in sorted(versions_by_ecosystem.items())
        if len(versions) > 1000
    }


def _read_rows(database: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Ecosystem, name, and the versions of each package."""
    versions_by_package: dict[tuple[str, str], set[str]] = {}
    with sqlite3.connect(database) as sql:
        for ecosystem, name, body in sql.execute(
            "SELECT e.name, a.name, a.body FROM affected a JOIN ecosystem e ON e.id = a.ecosystem"
        ):
            ranges, versions, *_ = json.loads(body)
            versions_of_package = versions_by_package.setdefault((ecosystem, name), set())
            versions_of_package.update(version for _, events in ranges for _, version in events if version != "0")
            versions_of_package.update(versions[:3])
    for (ecosystem, name), versions_of_package in sorted(versions_by_package.items()):
        yield ecosystem, name, sorted(versions_of_package)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
