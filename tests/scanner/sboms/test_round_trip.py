"""A bill of materials that we wrote, read again."""

import contextlib
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.reports.samples import FINDINGS, NOW, UNDETERMINED, make_inventory, make_odd_inventory

from dockgate.reports import InventoryReport, ScanReport, write
from dockgate.scanner import ecosystems, sboms
from dockgate.scanner.model import Distribution, Inventory, Package, Unread
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, Coverage, Matches, Range

KINDS = ecosystems.load()
DATA = Path(__file__).parent / "data"
INVENTORY_FORMATS = ("cyclonedx", "spdx")

_CHARACTERS = st.characters(exclude_categories=["Cs"])
_TEXT = st.text(_CHARACTERS, max_size=12)
_NAME = st.text(_CHARACTERS, min_size=1, max_size=12)
_OPTIONAL = st.none() | _NAME
_PACKAGES = st.builds(
    Package,
    *([_NAME] * 6),
    path=_TEXT,
    layer=_OPTIONAL,
    arch=_OPTIONAL,
    owner=_OPTIONAL,
    module=_OPTIONAL,
    vendor=_OPTIONAL,
)  # a purl is any text: documents written by Dockgate are trusted


def round_trip(original: Inventory, form: str, folder: Path) -> Inventory:
    path = folder / "bill.json"
    with path.open("w", encoding="ascii") as file:
        write(InventoryReport("app:1", original.image_digest, (original,), NOW), form, file)
    return sboms.read(path, KINDS).inventories[0]


@pytest.mark.parametrize("form", INVENTORY_FORMATS)
def test_an_inventory_survives(form: str, tmp_path: Path) -> None:
    assert round_trip(make_inventory(), form, tmp_path) == make_inventory()


@pytest.mark.parametrize("form", INVENTORY_FORMATS)
def test_an_unknown_platform_stays_unknown(form: str, tmp_path: Path) -> None:
    unknown = replace(make_inventory(), platform=None)
    assert round_trip(unknown, form, tmp_path) == unknown


@pytest.mark.parametrize("form", INVENTORY_FORMATS)
def test_an_odd_inventory_survives_but_for_bytes_that_are_no_text(form: str, tmp_path: Path) -> None:
    once = round_trip(make_odd_inventory(), form, tmp_path)
    assert round_trip(once, form, tmp_path) == once
    assert (once.image, once.platform, once.layers) == (
        make_odd_inventory().image,
        "linux/arm64/v8",
        make_odd_inventory().layers,
    )
    assert (once.base_layers, once.base, once.user) == (1, "debian:10", "app")
    assert {package.module for package in once.packages} == {None, "nodejs:18"}
    assert len(once.packages) == len(make_odd_inventory().packages)
    assert len(once.unread) == 2


@pytest.mark.parametrize("form", INVENTORY_FORMATS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    packages=st.lists(_PACKAGES, max_size=4, unique=True),
    unread_paths=st.lists(st.builds(Unread, _TEXT, _NAME, _OPTIONAL), unique=True, max_size=3),
)
def test_any_inventory_survives(
    form: str, tmp_path: Path, packages: Sequence[Package], unread_paths: Sequence[Unread]
) -> None:
    original = Inventory(
        "sha256:" + "a" * 64, "linux/amd64", Distribution("x", "1"), ("l",), tuple(packages), tuple(unread_paths)
    )
    result = round_trip(original, form, tmp_path)
    assert set(result.packages) == set(packages)
    assert set(result.unread) == set(unread_paths)


@pytest.mark.parametrize("form", INVENTORY_FORMATS)
def test_a_bill_gives_the_findings_of_its_image(form: str, tmp_path: Path) -> None:
    ranges = (Range("ECOSYSTEM", (("introduced", "0"), ("fixed", "99"))),)
    snapshot = AdvisorySnapshot(
        (Advisory("CVE-1", "Debian:13", "openssl", ranges), Advisory("CVE-2", "PyPI", "jinja2", ranges)),
        tuple(Coverage(name, True, (), NOW) for name in ("Debian:13", "PyPI")),
    )
    result = Matcher(snapshot, KINDS).match(make_inventory().packages)
    assert [finding.id for finding in result.findings] == ["CVE-1", "CVE-1", "CVE-2"]
    assert Matcher(snapshot, KINDS).match(round_trip(make_inventory(), form, tmp_path).packages) == result


@pytest.mark.parametrize("form", INVENTORY_FORMATS)
def test_a_scan_is_read_as_the_bill_that_it_holds(form: str, tmp_path: Path) -> None:
    original = make_inventory()
    path = tmp_path / "scan.json"
    with path.open("w", encoding="ascii") as file:
        write(
            ScanReport("app:1", original.image_digest, ((original, Matches(FINDINGS, UNDETERMINED)),), (), NOW),
            form,
            file,
        )
    assert sboms.read(path, KINDS).inventories[0] == original


INDEX = "sha256:" + "e" * 64


def write_index(form: str, folder: Path, *inventories: Inventory) -> Path:
    path = folder / "index.json"
    with path.open("w", encoding="ascii") as file:
        write(InventoryReport("app:1", INDEX, inventories, NOW), form, file)
    return path


@pytest.mark.parametrize("form", INVENTORY_FORMATS)
def test_a_bill_of_several_platforms_holds_each_platforms_inventory(form: str, tmp_path: Path) -> None:
    original = (make_inventory(), round_trip(make_odd_inventory(), form, tmp_path))
    assert sboms.read(write_index(form, tmp_path, *original), KINDS) == sboms.SbomDocument(INDEX, original)


@pytest.mark.parametrize("form", INVENTORY_FORMATS)
def test_a_bill_of_an_index_with_one_platform_is_the_indexs(form: str, tmp_path: Path) -> None:
    assert sboms.read(write_index(form, tmp_path, make_inventory()), KINDS) == sboms.SbomDocument(
        INDEX, (make_inventory(),)
    )


@pytest.mark.parametrize("form", INVENTORY_FORMATS)
def test_a_package_that_is_of_no_platform_is_not_left_out(form: str, tmp_path: Path) -> None:
    path = write_index(form, tmp_path, make_inventory(), replace(make_inventory(), platform="linux/arm64"))
    document = json.loads(path.read_text())
    if form == "spdx":
        document["relationships"].pop()
    else:
        document["components"].append({"type": "library", "name": "a", "version": "1", "purl": "pkg:npm/a@1"})
    path.write_text(json.dumps(document))
    with pytest.raises(
        UsageError, match=r"describes several platforms, and (components|packages) that belong to none of them"
    ) as no:
        sboms.read(path, KINDS)
    assert "--platform" in str(no.value.advice)


@pytest.mark.parametrize("form", INVENTORY_FORMATS)
def test_an_image_that_is_there_twice_or_within_another_is_refused(form: str, tmp_path: Path) -> None:
    path = write_index(form, tmp_path, make_inventory(), replace(make_inventory(), platform="linux/arm64"))
    document = json.loads(path.read_text())
    if form == "spdx":
        document["packages"].append(document["packages"][0])
    else:
        document["components"][0]["components"].append(document["components"].pop())
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"image twice|image inside an image"):
        sboms.read(path, KINDS)


@pytest.mark.parametrize("name", ["syft.cyclonedx", "syft.spdx", "trivy.cyclonedx", "trivy.spdx"])
def test_a_document_that_was_tampered_with_is_read_or_refused(name: str, tmp_path: Path) -> None:
    """Mutated bytes, and values that are not of the kind that the standard has there."""
    good = (DATA / f"{name}.json").read_bytes()
    chance = random.Random(name)  # noqa: S311 - repeatable on purpose
    path = tmp_path / "bad.json"
    for _ in range(150):
        path.write_bytes(_mutate_document(good, chance))
        with contextlib.suppress(UsageError):
            sboms.read(path, KINDS)


def _mutate_document(good: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.3:
        data = bytearray(good)
        data[chance.randrange(len(data))] = chance.randrange(256)
        return bytes(data)
    document = json.loads(good)
    for _ in range(chance.randrange(1, 6)):
        _swap_value(document, chance)
    return json.dumps(document).encode()


def _swap_value(document: Any, chance: random.Random) -> None:
    """Puts something else in the place of one value, somewhere."""
    while True:
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        if not keys:
            return
        key = chance.choice(keys)
        inner = document[key]
        if not isinstance(inner, dict | list) or chance.random() < 0.2:
            document[key] = chance.choice(
                [None, 7, "", "x" * 50, [], {}, ["a"], "pkg:deb/%zz@", "pkg:pypi/a@1?b", True]
            )
            return
        document = inner
