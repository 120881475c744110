"""A whole image: its layers read, stored and read again, combined, and written in every format."""

import io
import tempfile
import zlib
from functools import partial
from pathlib import Path
from random import Random

from tests.fuzz.containers import mutate_tar
from tests.fuzz.mutate import Mutate, mutate_lines
from tests.fuzz.target import MEMORY, Part, Target
from tests.fuzz.targets._ecosystem import DATA
from tests.scanner.images import make, pieces

from dockgate.reports import InventoryReport, ScanReport, list_scan_formats, write
from dockgate.scanner import ecosystems, sboms
from dockgate.scanner.images.inflate import LayerLimits
from dockgate.scanner.images.oci_image import OciImage
from dockgate.scanner.images.tar_layer import TarLayer
from dockgate.scanner.inventory import combine_facts
from dockgate.scanner.layer_index import LayerFacts
from dockgate.scanner.layer_reader import read_layer
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import ImageMetadata
from dockgate.shared import canonical
from dockgate.vulnerabilities.model import Matches

_KINDS = ecosystems.load()
_FORMATS = list_scan_formats()
_READ_AGAIN = ("cyclonedx", "spdx")
_SPLIT = b"\n-- layer --\n"
_BOUNDS = LayerLimits(inflated_bytes=8 * 2**20, ratio_from=2**20, headers=300)
_STANZA = "Package: {0}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {1}\nDescription: a\n\n"


def _read_image(data: bytes) -> Inventory:
    facts = []
    for blob in data.split(_SPLIT)[:4]:
        layer = TarLayer(make.compute_sha256(blob), partial(pieces.Blob, blob, 2**20), len(blob), _BOUNDS)
        layer_facts = read_layer(layer, _KINDS)
        try:
            decoded_facts = canonical.decode(LayerFacts, canonical.encode(layer_facts))
        except ValueError:  # then it is read again each time
            decoded_facts = layer_facts
        assert decoded_facts == layer_facts
        facts.append(decoded_facts)
    image = OciImage("sha256:" + "0" * 64, "linux/amd64", (), None, ImageMetadata())
    inventory = combine_facts(image, facts, _KINDS)
    assert len(set(inventory.packages)) == len(inventory.packages)
    assert all(entry.reason for entry in inventory.unread)
    return inventory


def _report(data: bytes) -> None:
    """Write any format; an SBOM that is read again has the same packages.

    The input's checksum chooses the format, so that one input always has the same.
    """
    inventory = _read_image(data)
    checksum = zlib.crc32(data)
    scan_report = ScanReport("a:1", inventory.image_digest, ((inventory, Matches((), ())),), ())
    _write_report(scan_report, _FORMATS[checksum % len(_FORMATS)])
    with tempfile.NamedTemporaryFile(dir=MEMORY, buffering=0) as file:
        form = _READ_AGAIN[checksum % len(_READ_AGAIN)]
        file.write(_write_report(InventoryReport("a:1", inventory.image_digest, (inventory,)), form))
        inventory_again = sboms.read(Path(file.name), _KINDS).inventories[0]
    assert _list_match_keys(inventory_again) == _list_match_keys(inventory)


def _write_report(report: ScanReport | InventoryReport, form: str) -> bytes:
    stream = io.BytesIO()
    text = io.TextIOWrapper(stream, "utf-8")
    write(report, form, text)
    text.flush()
    return stream.getvalue()


def _list_match_keys(inventory: Inventory) -> set[tuple[str, ...]]:
    """Return the keys for advisories. Documents cannot hold lone surrogates, so these are escaped."""
    match_keys = {(item.ecosystem, item.source_name, item.source_version, item.version) for item in inventory.packages}
    return {tuple(text.encode("utf-8", "backslashreplace").decode() for text in item) for item in match_keys}


def _list_seeds() -> list[bytes]:
    system: dict[str, make.Content] = {
        "usr/lib/os-release": b'ID=debian\nVERSION_ID="13"\n',
        "etc/os-release": make.Symlink("../usr/lib/os-release"),
        "var/lib/dpkg/status": "".join(
            _STANZA.format(*stanza) for stanza in (("bash", "5"), ("python3-a", "1"))
        ).encode(),
        "var/lib/dpkg/info/bash.list": b"/.\n/usr\n/usr/bin\n/usr/bin/bash\n/usr/lib/os-release\n",
        "var/lib/dpkg/info/python3-a.list": b"/usr/lib/python3/dist-packages/a-1.dist-info/METADATA\n",
        "usr/bin/bash": b"x",
        "usr/bin/sh": make.Hardlink("usr/bin/bash"),
        "usr/lib/python3/dist-packages/a-1.dist-info/METADATA": b"Name: a\nVersion: 1\n\n",
    }
    application: dict[str, make.Content] = {
        "app/b-2.dist-info/METADATA": b"Name: b\nVersion: 2\n\n",
        "app/b-2.dist-info/RECORD": b"b/__init__.py,,\nb-2.dist-info/METADATA,,\nb-2.dist-info/RECORD,,\n",
        "app/b/__init__.py": b"",
        "app/node_modules/c/package.json": b'{"name": "c", "version": "3.0.0"}',
        "app/node_modules/c/index.js": b"",
        "app/package-lock.json": (DATA / "npm" / "package-lock-v3.json").read_bytes(),
        "app/lib/d.jar": (DATA / "java" / "spire-platform_2.13-0.18.0.jar").read_bytes(),
        "app/current": make.Symlink("/app/b"),
    }
    edited_layer: dict[str, make.Content] = {
        "var/lib/dpkg/status": _STANZA.format("bash", "6").encode(),
        "app/.wh.package-lock.json": b"",
        "app/b/.wh..wh..opq": b"",
        "usr/bin/.wh.bash": b"",
        "app/node_modules/c": make.Symlink("/tmp/c"),
    }
    alpine: dict[str, make.Content] = {
        "etc/os-release": b"ID=alpine\nVERSION_ID=3.20.1\n",
        "etc/apk/repositories": b"https://dl-cdn.alpinelinux.org/alpine/v3.20/main\n",
        "lib/apk/db/installed": (DATA / "apk" / "installed").read_bytes(),
        "bin/busybox": b"x",
    }
    azure: dict[str, make.Content] = {
        "etc/os-release": b"ID=azurelinux\nVERSION_ID=3.0\n",
        "var/lib/rpmmanifest/container-manifest-2": (DATA / "rpm" / "container-manifest-2").read_bytes(),
        "lib64/ld-linux-x86-64.so.2": b"\x7fELF",
    }
    changed_layer: dict[str, make.Content] = {
        "lib/apk/db/installed": b"",
        "bin/busybox": b"y",
        "etc/.wh.os-release": b"",
    }
    rpm_list = (DATA / "rpm" / "container-manifest-2").read_bytes()
    twice: dict[str, make.Content] = {
        "var/lib/rpmmanifest/container-manifest-2": rpm_list + rpm_list.replace(b"5.1.8", b"5.2")
    }
    once: dict[str, make.Content] = {"var/lib/rpmmanifest/container-manifest-2": rpm_list}
    apk_database = (DATA / "apk" / "installed").read_bytes()
    two: dict[str, make.Content] = {"usr/lib/apk/db/installed": apk_database.replace(b"V:1", b"V:2")}
    distroless: dict[str, make.Content] = {
        "etc/os-release": b"ID=debian\nVERSION_ID=12\n",
        "var/lib/dpkg/status.d/bash": _STANZA.format("bash", "5").encode(),
        "var/lib/dpkg/status.d/bash.md5sums": b"d41d8cd98f00b204e9800998ecf8427e  usr/bin/bash\n",
        "usr/bin/bash": b"x",
    }
    bare: dict[str, make.Content] = {"var/lib/dpkg/status.d/.wh.bash": b"", "var/lib/dpkg/status": b""}
    unlisted_layer: dict[str, make.Content] = {"var/lib/dpkg/status.d/.wh..wh..opq": b"", "usr/bin/bash": b"y"}
    newer: dict[str, make.Content] = {"usr/lib/os-release": b"ID=debian\nVERSION_ID=14\n"}
    nameless: dict[str, make.Content] = {"lib64/ld-linux-x86-64.so.2": b""}
    linked_layer: dict[str, make.Content] = {
        "usr/bin": make.Symlink("/bin"),
        "var/lib/dpkg": make.Symlink("/x"),
        "app": make.Symlink("b"),
    }
    images: tuple[list[dict[str, make.Content]], ...] = (
        *([system, application], [system, application, edited_layer], [system, bare]),
        *([system, newer], [nameless], [system, linked_layer]),
        *([alpine], [alpine, changed_layer], [alpine, two]),
        *([azure], [azure, edited_layer], [azure, twice, once]),
        *([distroless], [distroless, bare], [distroless, unlisted_layer]),
    )
    return [_SPLIT.join(map(make.pack_tar, layers)) for layers in images]


_TAR = mutate_tar(mutate_lines)


def _mutate_layers(data: bytes, chance: Random, basic: Mutate) -> bytes:
    """Mutate, double, drop or move one of the layers."""
    layers = data.split(_SPLIT)
    at = chance.randrange(len(layers))
    choice = chance.randrange(8)
    if choice == 0:
        layers.insert(chance.randrange(len(layers) + 1), layers[at])
    elif choice == 1 and len(layers) > 1:
        del layers[at]
    else:
        for _ in range(chance.randint(1, 3)):
            layers[at] = _TAR(layers[at], chance, basic)
    return _SPLIT.join(layers)


TARGETS = (
    Target(
        "inventory",
        (Part("image", _read_image, _list_seeds, _mutate_layers), Part("report", _report, _list_seeds, _mutate_layers)),
        tuple(
            f"dockgate.scanner.{name}"
            for name in (
                *("inventory", "layer_index", "integrity.checks", "integrity.database_checks"),
                *("integrity.package_databases", "integrity.language_packages"),
            )
        ),
    ),
)
