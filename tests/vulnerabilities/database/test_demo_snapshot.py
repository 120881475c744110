"""The demo's snapshot of advisories: it builds, says how partial it is, and gives the demo its findings."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.vulnerabilities.database.samples import build_database

import dockgate
from dockgate.scanner import ecosystems
from dockgate.scanner.model import Inventory, Package
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import Matches, Severity, select_ecosystems

SNAPSHOT = Path(dockgate.__file__).parent / "demo" / "advisories"
OLD = {"waitress": "2.1.0", "jinja2": "3.0.3", "markupsafe": "3.0.2", "urllib3": "1.26.4"}
RAISED = {"waitress": "3.0.1", "jinja2": "3.1.6", "markupsafe": "3.0.2", "urllib3": "2.7.0"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path = tmp_path_factory.mktemp("demo") / "advisories.db"
    result = build_database(path, SNAPSHOT)
    assert [sentence.split()[1] for sentence in result.missing_feeds] == [
        "amazon/RELEASE/updateinfo.xml.gz",
        "epss.csv.gz",
    ]
    assert [part.faults for part in result.parts] == [()] * 4
    with Database.open(path) as database:
        yield database


def match_packages(database: Database, ecosystem: str, versions: dict[str, str]) -> Matches:
    packages = tuple(
        Package(name, version, f"pkg:x/{name}@{version}", ecosystem, name, version, "a/path")
        for name, version in versions.items()
    )
    request = Inventory("sha256:1", "linux/amd64", None, (), packages, ())
    return Matcher(database.read_snapshot([request]), ecosystems.load()).match(packages)


def test_the_demo_snapshot_is_small_and_names_its_source() -> None:
    assert sum(path.stat().st_size for path in SNAPSHOT.rglob("*") if path.is_file()) < 300_000
    assert "CC-BY-4.0" in (SNAPSHOT / "SOURCES.md").read_text("utf-8")


def test_the_demo_snapshot_covers_only_the_names_in_coverage_json(database: Database) -> None:
    declared_names = json.loads((SNAPSHOT / "coverage.json").read_text("utf-8"))["ecosystems"]
    coverage = select_ecosystems(database.list_coverage())
    assert {row.ecosystem: list(row.names) for row in coverage} == declared_names
    assert not any(row.is_complete for row in coverage)
    assert match_packages(database, "PyPI", {"django": "1.0"}).undetermined
    assert match_packages(database, "Debian:12", {"zlib": "1:1.2.13"}).undetermined


def test_the_old_requirements_are_vulnerable_and_the_upgraded_ones_are_not(database: Database) -> None:
    result = match_packages(database, "PyPI", OLD)
    assert result.undetermined == ()
    assert sum(finding.severity is Severity.HIGH for finding in result.findings) >= 3
    assert all(finding.fixed for finding in result.findings)
    assert match_packages(database, "PyPI", RAISED) == Matches((), ())
