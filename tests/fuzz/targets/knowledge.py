"""Other parties' data on vulnerabilities and packages: feeds, exported databases, SBOMs."""

import gzip
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from random import Random

from tests.fuzz.containers import mutate_carried, mutate_compressed, mutate_zip
from tests.fuzz.mutate import Mutate, apply_edits, make_edit_form, mutate_json, mutate_lines
from tests.fuzz.target import MEMORY, Part, Target, check_advice
from tests.vulnerabilities.database.samples import build_database, write_folder
from tests.vulnerabilities.feeds import feed_files

from dockgate.reports import InventoryReport, write
from dockgate.scanner import ecosystems, sboms
from dockgate.scanner.model import Distribution, Inventory, Package, Unread
from dockgate.services.packages import Purls
from dockgate.shared.errors import DatabaseError, UnreadableError, UsageError
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.database.transfer import pack, unpack
from dockgate.vulnerabilities.feed import ONLY_PART, Feed
from dockgate.vulnerabilities.feeds import _records, amazon, cvss, epss, kev, osv

_DATA = Path(__file__).parent.parent.parent
_KINDS = ecosystems.load()


def _parse(feed: Feed, part: str, data: bytes) -> None:
    try:
        for _ in feed.parse(io.BytesIO(data), part):
            pass
    except UnreadableError:
        return


def _record(data: bytes) -> None:
    """Parse one record, for each kind of ecosystem's export."""
    for part in ("Debian", "npm", "Rocky Linux"):
        assert list(_records.read("a.json", data, part))


_OSV = [
    feed_files.record(
        "DSA-1-1",
        feed_files.make_entry(
            "Debian:12",
            "openssl",
            *feed_files.make_fixed_range("3.0.11-1"),
            ecosystem_specific={"urgency": "unimportant"},
        ),
        feed_files.make_entry("Debian:11", "openssl", severity=[{"type": "Ubuntu", "score": "high"}]),
        upstream=["CVE-2024-1"],
        published="2026-01-01T00:00:00Z",
    ),
    feed_files.record(
        "GHSA-a",
        feed_files.make_entry("npm", "a", {"introduced": "0"}, {"last_affected": "1.2"}, versions=["1.0"]),
        aliases=["CVE-2024-2"],
        severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        database_specific={"severity": "MODERATE", "nodsa": "a"},
        details="NOTE: this is disputed",
        withdrawn="2026-01-03T00:00:00Z",
    ),
    feed_files.record(
        "RLSA-1",
        feed_files.make_entry("Rocky Linux:8", "nodejs", *feed_files.make_fixed_range("0:20.1-1.module+el8.9.0+1+abc")),
        {
            "package": {"ecosystem": "Rocky Linux:8", "name": "b"},
            "ranges": [{"type": "GIT", "events": [], "repo": "r"}],
        },
        summary="Important: nodejs:20 security update",
    ),
    feed_files.record(
        "CVE-0", {"package": {"ecosystem": "npm", "name": "x"}, "ranges": [{"type": "WHAT", "events": []}]}
    ),
]


def _make_rows(*lines: str) -> Callable[[], list[bytes]]:
    plain = ("\n".join(lines) + "\n").encode()
    return lambda: [plain, gzip.compress(plain, mtime=0)]


def _list_update_seeds() -> list[bytes]:
    data = (_DATA / "vulnerabilities" / "feeds" / "data" / "updateinfo.xml").read_bytes()
    return [
        data,
        gzip.compress(data, mtime=0),
        feed_files.pack_updateinfo(feed_files.make_bulletin("ALAS-1", {"version": ""})),
    ]


@cache
def _make_database() -> tuple[bytes, bytes]:
    """Build a small database, packed by `pack`."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        root = Path(folder)
        standing = feed_files.record("GHSA-b", feed_files.make_entry("npm", "b", *feed_files.make_fixed_range("2.0.0")))
        kev = feed_files.make_kev({"CVE-2024-2": "2026-01-01"})
        feeds = write_folder(root / "feeds", {"npm": [_OSV[1], standing]}, kev_json=kev)
        build_database(root / "db", feeds)
        pack(root / "db", root / "packed", lambda header: b"")
        return (root / "db").read_bytes(), (root / "packed").read_bytes()


def _import(data: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        file, path = Path(folder) / "file", Path(folder) / "db"
        file.write_bytes(data)
        try:
            unpack(file, path, lambda *_: None)
        except DatabaseError as error:
            check_advice(error)
            assert not path.exists()
            return
        with Database.open(path) as database:
            assert database.digest == pack(path, file, lambda header: b"").digest


def _mutate_pages(data: bytes, chance: Random, basic: Mutate) -> bytes:
    """Mutate the database in places."""
    change = make_edit_form([data])
    program = b"\0"
    for _ in range(chance.randint(1, 3)):
        program = change(program, chance, basic)
    return apply_edits([data], program)


def _read_bill(data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=MEMORY, buffering=0) as file:
        file.write(data)
        try:
            bill = sboms.read(Path(file.name), _KINDS)
        except UsageError as error:
            check_advice(error)
            return
        assert all(inventory.base_layers <= len(inventory.layers) for inventory in bill.inventories)


def _list_bill_seeds() -> list[bytes]:
    """Return other tools' SBOMs of one image, and Dockgate's of an image with two platforms."""
    names = ("syft.cyclonedx.json", "syft.spdx.json", "trivy.cyclonedx.json", "trivy.spdx.json")
    return [
        *((_DATA / "scanner" / "sboms" / "data" / name).read_bytes() for name in names),
        *map(_write_bill, ("cyclonedx", "spdx")),
    ]


def _write_bill(form: str) -> bytes:
    purl = "pkg:deb/debian/bash@5.2?arch=amd64&distro=debian-12"
    inventories = tuple(
        Inventory(
            image=f"sha256:{digit * 64}",
            platform=f"linux/{arch}",
            distribution=Distribution("debian", "12"),
            layers=(f"sha256:{digit * 63}0",),
            packages=(Package("bash", "5.2", purl, "Debian:12", "bash", "5.2", "var/lib/dpkg/status", arch=arch),),
            unread=(Unread("opt/app.jar", "cut short"),),
        )
        for digit, arch in (("a", "amd64"), ("b", "arm64"))
    )
    stream = io.StringIO()
    write(InventoryReport("app:1", f"sha256:{'c' * 64}", inventories, "2026-11-24T10:00:00.000Z"), form, stream)
    return stream.getvalue().encode()


def _check_purl(data: bytes) -> None:
    reader = Purls(_KINDS)
    try:
        package = reader.parse(data.decode("utf-8", "replace"))
        package_again = reader.parse(str(package))
        assert (package_again.type, package_again.name, package_again.version) == (
            package.type,
            package.name,
            package.version,
        )
        if reader.is_known(package):
            reader.make_package(package)
    except UsageError as error:
        check_advice(error)


_PURLS = (
    b"pkg:deb/debian/curl@7.88.1-10+deb12u5?arch=amd64&distro=debian-12",
    b"pkg:npm/%40scope/a@1.0.0#x/y",
    b"pkg:golang/golang.org/x/net@v0.1.0?type=module",
    b"pkg:pypi/a@1?vcs_url=git%2Bhttps://a/b%40c",
)


def _list_targets() -> Iterator[Target]:
    yield Target(
        "osv",
        (
            Part("record", _record, lambda: [json.dumps(record).encode() for record in _OSV], mutate_json),
            Part(
                "export",
                partial(_parse, osv.FEED, "npm"),
                lambda: [feed_files.export(*_OSV, b"{")],
                mutate_zip(mutate_json),
            ),
        ),
        tuple(f"dockgate.vulnerabilities.feeds.{name}" for name in ("_records", "_names", "_severity")),
    )
    yield Target(
        "feeds",
        (
            Part(
                "kev",
                partial(_parse, kev.FEED, ONLY_PART),
                lambda: [feed_files.make_kev({"CVE-1": "2026-01-01"}, "2026-02-01")],
                mutate_json,
            ),
            Part(
                "epss",
                partial(_parse, epss.FEED, ONLY_PART),
                _make_rows("#model_version:v1", "cve,epss,percentile", "CVE-1,0.5,0.25", "CVE-2,2,x"),
                mutate_compressed(mutate_lines),
            ),
            Part(
                "cvss",
                partial(_parse, cvss.FEED, ONLY_PART),
                _make_rows(
                    "cve,version,vector,source",
                    "CVE-1,3.1,CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H,nvd",
                    "CVE-1,2.0,AV:N/AC:L/Au:N/C:P/I:P/A:P,nvd",
                    "CVE-2,4.0,CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N,cna",
                    "CVE-3,3.1,nonsense",
                ),
                mutate_compressed(mutate_lines),
            ),
            Part("amazon", partial(_parse, amazon.FEED, "2023"), _list_update_seeds, mutate_compressed(mutate_lines)),
        ),
        tuple(f"dockgate.vulnerabilities.feeds.{name}" for name in ("_lines", "_severity", "_xml")),
    )
    yield Target(
        "import",
        (Part("file", _import, lambda: [_make_database()[1]], mutate_carried(_mutate_pages)),),
        ("dockgate.vulnerabilities.database.transfer",),
    )
    yield Target(
        "sbom",
        (Part("document", _read_bill, _list_bill_seeds, mutate_json),),
        tuple(f"dockgate.scanner.sboms{name}" for name in ("", "._cyclonedx", "._spdx", "._contents", "._packages")),
    )
    yield Target(
        "purl",
        (Part("purl", _check_purl, lambda: list(_PURLS), mutate_lines),),
        ("dockgate.scanner.sboms.purls", "dockgate.shared.purl"),
    )


TARGETS = tuple(_list_targets())
