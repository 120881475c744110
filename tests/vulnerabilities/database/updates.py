"""Helpers to update a database from a site that publishes feeds."""

from datetime import timedelta
from pathlib import Path

from tests.vulnerabilities.database.samples import FEEDS, NOW, make_inventory, make_package
from tests.vulnerabilities.feeds.feed_files import Json, export, make_entry, make_fixed_range, record
from tests.vulnerabilities.feeds.feed_site import Site

from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.database.parts import Result
from dockgate.vulnerabilities.database.update import update
from dockgate.vulnerabilities.feed import Feed
from dockgate.vulnerabilities.model import AdvisorySnapshot

DEBIAN, PYPI, KEV, CVSS = "/osv/Debian/all.zip", "/osv/PyPI/all.zip", "/kev.json", "/cvss.csv.gz"
EPSS, LIST = "/epss.csv.gz", "/osv/PyPI/modified_id.csv"
VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
LATER, LATER_TEXT = NOW + timedelta(hours=6), "2026-11-24T18:00:00Z"
QUERIED = make_inventory(make_package("Debian:13", "zlib"), make_package("PyPI", "jinja2"))


def make_pypi_export(version: str) -> bytes:
    return export(record("PYSEC-1", make_entry("PyPI", "jinja2", *make_fixed_range(version)), aliases=["CVE-1"]))


def make_pypi_record(identity: str, name: str, time: str = "2026-01-01T00:00:00Z", ecosystem: str = "PyPI") -> Json:
    text = f"{name} at {time}"
    return record(identity, make_entry(ecosystem, name, *make_fixed_range("3")), details=text) | {"modified": time}


def make_urls(site: Site) -> dict[str, str]:
    return {
        "amazon": site.url,
        "cvss": site.url + CVSS,
        "epss": site.url + EPSS,
        "kev": site.url + KEV,
        "osv": f"{site.url}/osv",
    }


def run_update(
    path: Path,
    site: Site,
    *,
    later: bool = False,
    feeds: tuple[Feed, ...] = FEEDS,
    days: float = 0,
    can_shrink: bool = False,
) -> Result:
    """Update it, so many days after NOW or LATER."""
    now = (LATER if later else NOW) + timedelta(days=days)
    ecosystems = ("Debian", "PyPI")
    return update(path, feeds, make_urls(site), ecosystems, now, lambda line: None, can_shrink=can_shrink)


def read_snapshot(path: Path) -> AdvisorySnapshot:
    with Database.open(path) as database:
        return database.read_snapshot([QUERIED])


def read_check_times(path: Path) -> dict[str, str]:
    with Database.open(path) as database:
        return {part.title: part.checked_at for part in database.list_parts()}
