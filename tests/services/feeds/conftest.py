"""A site with three feeds, and the updates of a server that fetches them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.feeds.update_server import EPSS, KEV, OSV, Server, make_pypi_export
from tests.vulnerabilities.feeds.feed_files import make_epss, make_kev
from tests.vulnerabilities.feeds.feed_site import Site, serve_files


@pytest.fixture
def site() -> Iterator[Site]:
    files = {
        OSV: make_pypi_export("six"),
        KEV: make_kev({"CVE-1": "2024-01-01"}),
        EPSS: make_epss(("CVE-1", "0.5", "0.9")),
    }
    with serve_files(files | {"/osv/ecosystems.txt": b"PyPI\n"}) as site:
        yield site


@pytest.fixture
def server(tmp_path: Path, site: Site) -> Server:
    return Server(tmp_path, site)
