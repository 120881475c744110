"""Fixtures of the database tests: a site that publishes feeds, and the path of a database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.vulnerabilities.database.updates import CVSS, DEBIAN, EPSS, KEV, PYPI, VECTOR, make_pypi_export
from tests.vulnerabilities.feeds.feed_files import (
    export,
    make_cvss,
    make_entry,
    make_epss,
    make_fixed_range,
    make_kev,
    record,
)
from tests.vulnerabilities.feeds.feed_site import Site, serve_files


@pytest.fixture
def site() -> Iterator[Site]:
    files = {
        DEBIAN: export(record("DSA-1", make_entry("Debian:13", "zlib", *make_fixed_range("2")), upstream=["CVE-1"])),
        PYPI: make_pypi_export("3"),
        KEV: make_kev({"CVE-1": "2024-01-01"}),
        CVSS: make_cvss(("CVE-1", "3.1", VECTOR, "")),
        EPSS: make_epss(("CVE-1", "0.5", "0.9")),
    }
    with serve_files(files) as site:
        yield site


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "advisories.db"
