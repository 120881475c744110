"""Compare two advisory databases: what is reported as changed, and that nothing else is."""

import itertools
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.vulnerabilities.database.samples import build_database, make_inventory, make_package, write_folder
from tests.vulnerabilities.database.updates import EPSS, KEV, LIST, PYPI, VECTOR, make_pypi_record, run_update
from tests.vulnerabilities.feeds.feed_files import (
    Json,
    export,
    make_cvss,
    make_entry,
    make_epss,
    make_fixed_range,
    make_kev,
    record,
)
from tests.vulnerabilities.feeds.feed_site import Site

from dockgate.vulnerabilities.database.changes import AdvisoryChanges, find_changes
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.model import Advisory, Coverage, is_same_ecosystem

NAMES = ("zlib", "six", "idna")
ECOSYSTEMS = ("Debian:12", "Debian:13", "PyPI")
CVES = ("CVE-1", "CVE-2", "CVE-3")
IDENTITIES = ("GHSA-1", "PYSEC-1", "DSA-1", *CVES)

affected = st.lists(
    st.builds(
        lambda ecosystem, name, version: make_entry(ecosystem, name, *make_fixed_range(version)),
        st.sampled_from(ECOSYSTEMS),
        st.sampled_from(NAMES),
        st.sampled_from("12"),
    ),
    max_size=3,
)
records = st.lists(
    st.builds(
        lambda identity, entries, aliases, withdrawn: record(
            identity, *entries, aliases=aliases, **({"withdrawn": "2026-01-01T00:00:00Z"} if withdrawn else {})
        ),
        st.sampled_from(IDENTITIES),
        affected,
        st.lists(st.sampled_from(IDENTITIES), max_size=2, unique=True),
        st.sampled_from((False, False, True)),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda entry: entry["id"],
)
folders = st.fixed_dictionaries(
    {
        "debian": records,
        "pypi": records,
        "broken": st.booleans(),
        "kev": st.none() | st.dictionaries(st.sampled_from(CVES), st.sampled_from(("2026-01-01", "2026-02-01"))),
        "epss": st.dictionaries(st.sampled_from(CVES), st.sampled_from(("0.1", "0.2")), min_size=1),
        "scores": st.sets(st.sampled_from(CVES), min_size=1),
    }
)


def build_in(root: Path, content: dict[str, object]) -> Path:
    """A database of such a folder."""
    files = {
        "epss_csv_gz": make_epss(*((cve, share, share) for cve, share in sorted(content["epss"].items()))),  # type: ignore[attr-defined]
        "cvss_csv_gz": make_cvss(*((cve, "3.1", VECTOR, "") for cve in sorted(content["scores"]))),  # type: ignore[call-overload]
    }
    if content["kev"] is not None:
        files["kev_json"] = make_kev(content["kev"])  # type: ignore[arg-type]
    pypi: list[Json | bytes] = [*content["pypi"], *([b"rubbish"] if content["broken"] else [])]  # type: ignore[misc]
    always = record("PYSEC-9", make_entry("PyPI", "other", *make_fixed_range("1")))
    folder = write_folder(root / "feeds", {"Debian": content["debian"], "PyPI": [always, *pypi]}, **files)  # type: ignore[dict-item]
    build_database(root / "advisories.db", folder)
    return root / "advisories.db"


def read_advisories(database: Database, ecosystem: str, name: str) -> tuple[Advisory, ...]:
    return database.read_snapshot([make_inventory(make_package(ecosystem, name))]).advisories


def read_coverage(database: Database) -> dict[str, Coverage]:
    return {entry.ecosystem: replace(entry, checked_at=None) for entry in database.list_coverage()}


def compare_everything(old: Database, new: Database) -> tuple[set[tuple[str, str]], frozenset[str], frozenset[str]]:
    """What `find_changes` promises, by reading everything."""
    keys = {
        (ecosystem, name)
        for ecosystem, name in itertools.product(ECOSYSTEMS, NAMES)
        if read_advisories(old, ecosystem, name) != read_advisories(new, ecosystem, name)
    }
    before, after = read_coverage(old), read_coverage(new)
    cves = frozenset(cve for cve in CVES if old.find_cves([cve]) != new.find_cves([cve]))
    changed_names = frozenset(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return keys, cves, changed_names


def expand_keys(keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """The keys by the ecosystems of packages: advisories of "Debian" affect packages of "Debian:13", too."""
    return {
        (ecosystem, name)
        for (stated_ecosystem, name), ecosystem in itertools.product(keys, ECOSYSTEMS)
        if is_same_ecosystem(stated_ecosystem, ecosystem)
    }


@settings(max_examples=scale_examples(60), deadline=None)
@given(folders, folders, st.booleans())
def test_the_comparison_finds_what_reading_everything_finds(
    first: dict[str, object], second: dict[str, object], is_mostly_same: bool
) -> None:
    if is_mostly_same:
        second = first | {"pypi": second["pypi"], "kev": second["kev"]}
    with TemporaryDirectory() as folder:
        paths = [build_in(Path(folder) / str(index), content) for index, content in enumerate((first, second))]
        with Database.open(paths[0]) as old, Database.open(paths[1]) as new:
            for changes in (find_changes(old, new), find_changes(new, old), find_changes(old, new, CVES)):
                keys, cves, ecosystems = compare_everything(old, new)
                assert expand_keys(changes.keys) - {("PyPI", "other")} == keys
                assert (changes.cves, changes.ecosystems) == (cves, ecosystems)


def compare(before: Path, after: Path, cves: Iterable[str] | None = None) -> AdvisoryChanges:
    with Database.open(before) as old, Database.open(after) as new:
        return find_changes(old, new, None if cves is None else list(cves))


@pytest.fixture
def before(path: Path, site: Site, tmp_path: Path) -> Path:
    """A copy of the database as it was before the test updates it."""
    run_update(path, site)
    copy = tmp_path / "before.db"
    copy.hardlink_to(path)
    return copy


def test_a_later_check_without_new_data_changes_nothing(path: Path, site: Site, before: Path) -> None:
    assert run_update(path, site, later=True).digest
    changes = compare(before, path)
    assert not changes
    assert changes == AdvisoryChanges()


def test_a_changed_record_changes_only_its_package(path: Path, site: Site, before: Path) -> None:
    six = record("PYSEC-2", make_entry("PyPI", "six", *make_fixed_range("1")))
    site.files[PYPI] = export(
        record("PYSEC-1", make_entry("PyPI", "jinja2", *make_fixed_range("3")), aliases=["CVE-1"]), six
    )
    run_update(path, site, later=True)
    assert compare(before, path) == AdvisoryChanges(keys=frozenset({("PyPI", "six")}))


def test_a_record_fetched_alone_changes_what_the_whole_export_would(path: Path, site: Site, tmp_path: Path) -> None:
    def publish(*records: Json) -> None:
        site.files[PYPI] = export(*records)
        site.files[LIST] = "".join(f"{entry['modified']},{entry['id']}\n" for entry in records).encode()
        for entry in records:
            site.files[f"/osv/PyPI/{entry['id']}.json"] = json.dumps(entry).encode()

    late = "2026-02-01T00:00:00Z"
    first = [make_pypi_record(f"P-{number}", f"name-{number}") for number in range(3)]
    publish(*first)
    run_update(path, site)
    (old := tmp_path / "old.db").hardlink_to(path)
    publish(*first[:2], make_pypi_record("P-2", "renamed", late))
    site.requests.clear()
    run_update(path, site, later=True)
    assert f"{PYPI} 200" not in site.requests
    run_update(tmp_path / "rebuilt.db", site, later=True)
    expected = AdvisoryChanges(keys=frozenset({("PyPI", "name-2"), ("PyPI", "renamed")}))
    assert compare(old, path) == compare(old, tmp_path / "rebuilt.db") == expected
    assert not compare(path, tmp_path / "rebuilt.db")  # whatever way they were made


def test_another_alias_changes_the_packages_of_its_group(path: Path, site: Site, before: Path) -> None:
    site.files[PYPI] = export(
        record("PYSEC-1", make_entry("PyPI", "jinja2", *make_fixed_range("3")), aliases=["CVE-1"]),
        record("GHSA-1", make_entry("PyPI", "six", *make_fixed_range("3")), aliases=["CVE-1"]),
    )
    run_update(path, site, later=True)
    changed_keys = {("PyPI", "jinja2"), ("PyPI", "six"), ("Debian:13", "zlib")}
    assert compare(before, path) == AdvisoryChanges(keys=frozenset(changed_keys))


def test_catalogues_change_their_cves(path: Path, site: Site, before: Path) -> None:
    site.files[KEV] = make_kev({"CVE-1": "2024-01-01", "CVE-2": "2026-01-01"})
    site.files[EPSS] = make_epss(("CVE-1", "0.6", "0.9"), ("CVE-3", "0.1", "0.1"))
    run_update(path, site, later=True)
    assert compare(before, path) == AdvisoryChanges(cves=frozenset({"CVE-1", "CVE-2", "CVE-3"}))
    assert compare(before, path, ["CVE-2", "CVE-9"]).cves == {"CVE-2"}


def test_an_unreadable_record_changes_the_coverage_of_its_ecosystem(path: Path, site: Site, before: Path) -> None:
    jinja2 = record("PYSEC-1", make_entry("PyPI", "jinja2", *make_fixed_range("3")), aliases=["CVE-1"])
    site.files[PYPI] = export(jinja2, b"rubbish")
    run_update(path, site, days=1)
    assert compare(before, path) == AdvisoryChanges(ecosystems=frozenset({"PyPI"}))
