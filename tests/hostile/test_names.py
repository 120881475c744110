"""Names, versions and paths of any bytes, which go through the whole command into every format of report."""

import json
import re
import unicodedata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.hostile.images import Check
from tests.hostile.running import Dockgate, Ran
from tests.scanner.images.make import Content

ESCAPE = "\x1b]0;owned\x07\x1b[2J"
MARKUP = "<script>alert(1)</script>]]>&\"'`|![x](javascript:1)"
HOSTILE = (
    ESCAPE,
    MARKUP,
    "\u202egnp.exe",
    "\u2028\u2029\x85",
    "\ufffe\uffff",
    "\r\n| ## Approved",
    "\x00",
    "%00%0a@?#/../..",
    "😀" * 40,
    "x" * 3000,
)
FORMATS = ("table", "json", "sarif", "cyclonedx", "spdx", "openvex", "junit", "markdown", "html")
# Categories of characters that steer a terminal, or the direction and the lines of text.
STEERING = ("Cc", "Cs", "Cf", "Zl", "Zp")
DOCUMENTS = ("json", "sarif", "cyclonedx", "spdx", "openvex")


def name_packages(name: str) -> dict[str, Content]:
    """Packages of several kinds called so, in a version called so, in a folder called so as far as a path can be."""
    folder = name.replace("\0", "").replace("/", "")[:200]
    manifest = json.dumps({"name": name, "version": name}).encode("utf-8", "surrogatepass")
    installed_packages = json.dumps({"packages": [{"name": f"v/{name}", "version": name}]}).encode(
        "utf-8", "surrogatepass"
    )
    line = name.encode("utf-8", "surrogatepass").replace(b"\n", b" ").replace(b"\r", b" ")
    return {
        f"{folder}/node_modules/a/package.json": manifest,
        f"{folder}/vendor/composer/installed.json": installed_packages,
        f"{folder}/site/a-1.dist-info/METADATA": b"Name: " + line + b"\nVersion: " + line + b"\n",
        f"{folder}/{folder}.jar": b"no archive",
        f"{folder}/node_modules/b/package.json": b"no JSON",
    }


RAW = "latin-é".encode("latin-1").decode("utf-8", "surrogateescape")
RELEASE = b'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian \x1b[31m\xff <b>"\nSUPPORT_END="\xff\x07"\n'
STATUS = (
    b"Package: bash\nStatus: install ok installed\nVersion: 5.2-1\nArchitecture: \x1b[2J\xff\n\n"
    b"Package: \xff\x1b<i>\nStatus: install ok installed\nVersion: 1\xff:2\x07\nSource: \xfe\x1b (\xff)\n\n"
)


@pytest.fixture
def reports(check: Check, tmp_path: Path) -> dict[str, str]:
    """What `gate` wrote of such an image, by format."""
    layer: dict[str, Content] = {"etc/os-release": RELEASE, "var/lib/dpkg/status": STATUS}
    for name in (*HOSTILE, RAW):
        layer |= name_packages(name)
    first_scan = check.scan_layers(layer)
    assert any("\udce9" in path or "\\udce9" in path for path in first_scan.unread_paths), (
        "a raw byte in a path is kept apart"
    )
    options = [part for form in FORMATS for part in ("-o", f"{form}={tmp_path / form}")]
    for command in ("gate", "scan"):
        result = check.dockgate(command, f"oci:{check.folder}", *options)
        assert_ended(result)
    return {form: (tmp_path / form).read_bytes().decode("utf-8") for form in FORMATS}


def assert_ended(result: Ran) -> None:
    assert result.code == 3, result.err
    assert "Traceback" not in result.err
    assert "internal fault" not in result.err


def test_every_report_is_well_formed_and_steers_no_terminal(reports: dict[str, str]) -> None:
    for form in DOCUMENTS:
        json.loads(reports[form])
    ElementTree.fromstring(reports["junit"])  # noqa: S314 - our own
    for form, text in reports.items():
        odd = {char for char in text if unicodedata.category(char) in STEERING} - set("\n\t\u200d")
        assert not odd, (form, sorted(map(ascii, odd)))
    plain = re.sub("`[^`\n]*`", "", reports["markdown"])  # what stands in backticks is shown as it is
    for text in (reports["html"], reports["junit"], plain):
        assert "<script>alert" not in text
    assert "](javascript:" not in plain
    assert "\n| ## Approved" not in reports["markdown"]


def test_the_same_bytes_are_judged_alike_twice(check: Check) -> None:
    """Once as they are read, and once as they are remembered."""
    layer = name_packages(RAW) | name_packages(ESCAPE)
    first = check.scan_layers(layer)
    second_scan = check.dockgate("scan", f"oci:{check.folder}", "-o", "json")
    assert (second_scan.code, second_scan.unread_paths) == (3, first.unread_paths)
    new_cache = Dockgate(check.dockgate.data, check.folder / "other")("scan", f"oci:{check.folder}", "-o", "json")
    assert _get_platforms(new_cache) == _get_platforms(second_scan)


def _get_platforms(result: Ran) -> Any:
    return result.document["platforms"]


def test_a_bill_of_materials_of_such_an_image_is_read_again(check: Check, tmp_path: Path) -> None:
    layer = {
        **name_packages(ESCAPE),
        **name_packages("\u202e"),
        "etc/os-release": RELEASE,
        "var/lib/dpkg/status": STATUS,
    }
    first_scan = check.scan_layers(layer)
    for form in ("cyclonedx", "spdx"):
        document = tmp_path / f"{form}.json"
        sbom_run = check.dockgate("sbom", f"oci:{check.folder}", "-o", f"{form}={document}")
        assert_ended(sbom_run)
        result = check.run_within_bounds("gate", f"sbom:{document}")
        assert result.code == 3
        assert result.unread_paths.keys() == first_scan.unread_paths.keys()
