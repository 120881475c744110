"""Fixtures of the database tests: a site that publishes feeds, and the path of a database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.vulnerabilities.database.updates import CVSS, DEBIAN, EPSS, KEV, PYPI, VECTOR, pypi
from tests.vulnerabilities.feeds.feed_files import cvss, entry, epss, export, fixed, kev, record
from tests.vulnerabilities.feeds.feed_site import Site, serving


@pytest.fixture
def site() -> Iterator[Site]:
    files = {
        DEBIAN: export(record("DSA-1", entry("Debian:13", "zlib", *fixed("2")), upstream=["CVE-1"])),
        PYPI: pypi("3"),
        KEV: kev({"CVE-1": "2024-01-01"}),
        CVSS: cvss(("CVE-1", "3.1", VECTOR, "")),
        EPSS: epss(("CVE-1", "0.5", "0.9")),
    }
    with serving(files) as site:
        yield site


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "advisories.db"
