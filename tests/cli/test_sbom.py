"""`dockgate sbom`: the inventory alone, without any advisory database."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Dockgate
from tests.cli.layouts import Layout, make_debian_files, make_python_files, write_feeds, write_image

from dockgate.scanner import ecosystems, sboms

CONTENT = {**make_debian_files(openssl="3.5.4-1", bash="5.2-1"), **make_python_files("jinja2", "2.10.1")}
BROKEN = {**CONTENT, "var/lib/dpkg/status": "Package: openssl\nStatus: install ok"}


def test_a_bill_needs_no_advisory_database(dockgate: Dockgate, tmp_path: Path) -> None:
    result = dockgate("sbom", write_image(tmp_path / "image", CONTENT))
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    names = [component["name"] for component in document["components"]]
    assert names == ["debian", "bash", "jinja2", "openssl"]


def test_every_format_is_written_into_its_file(dockgate: Dockgate, tmp_path: Path) -> None:
    files = {form: tmp_path / f"{form}.json" for form in ("cyclonedx", "spdx", "json")}
    outputs = [word for form, file in files.items() for word in ("-o", f"{form}={file}")]
    result = dockgate("sbom", write_image(tmp_path / "image", CONTENT), *outputs)
    assert (result.code, result.out, result.err) == (0, "", "")
    assert json.loads(files["json"].read_text())["kind"] == "inventory"
    assert json.loads(files["spdx"].read_text())["spdxVersion"] == "SPDX-2.3"
    assert sboms.read(files["cyclonedx"], ecosystems.load()) == sboms.read(files["spdx"], ecosystems.load())
    (inventory,) = sboms.read(files["spdx"], ecosystems.load()).inventories
    assert [package.name for package in inventory.packages] == ["bash", "jinja2", "openssl"]


def test_unread_paths_are_listed_and_exit_3_unless_allowed(dockgate: Dockgate, tmp_path: Path) -> None:
    reference = write_image(tmp_path / "image", BROKEN)
    result = dockgate("sbom", reference)
    assert result.code == 3
    assert "var/lib/dpkg/status" in result.out
    assert dockgate("sbom", reference, "--allow-unread").code == 0


def test_a_format_that_holds_no_inventory_is_refused(dockgate: Dockgate, tmp_path: Path) -> None:
    result = dockgate("sbom", write_image(tmp_path / "image", CONTENT), "-o", "sarif")
    assert (result.code, result.out) == (2, "")
    assert "Unknown format 'sarif'. Formats: cyclonedx, json, spdx" in result.err


def test_all_platforms_of_an_index_are_in_one_document(dockgate: Dockgate, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "index")
    manifests = (layout.add_manifest(CONTENT), layout.add_manifest(CONTENT, architecture="arm64"))
    digest = layout.tag_manifest(layout.index(*manifests))
    result = dockgate("sbom", f"oci:{layout.folder}", "--platform", "all")
    assert result.code == 0
    document = json.loads(result.out)
    assert document["metadata"]["component"]["version"] == digest
    assert [len(component["components"]) for component in document["components"]] == [4, 4]


@pytest.mark.parametrize("form", ["cyclonedx", "spdx"])
def test_an_indexes_sbom_has_the_same_verdict_as_the_index(dockgate: Dockgate, tmp_path: Path, form: str) -> None:
    assert dockgate("db", "build", "--from", str(write_feeds(tmp_path / "feeds"))).code == 0
    layout = Layout(tmp_path / "index")
    clean, vulnerable = make_debian_files(bash="5.2"), make_debian_files(openssl="3.5.1-1")
    digest = layout.tag_manifest(
        layout.index(layout.add_manifest(clean), layout.add_manifest(vulnerable, architecture="arm64"))
    )
    file = tmp_path / "index.json"
    result = dockgate("gate", f"oci:{layout.folder}", "-o", "json", "-o", f"{form}={file}")
    second_result = dockgate("gate", f"sbom:{file}", "-o", "json")
    assert (result.code, second_result.code) == (1, 1)
    first, second = (json.loads(outcome.out) for outcome in (result, second_result))
    assert first["image"]["digest"] == second["image"]["digest"] == digest
    assert [platform["findings"] for platform in first["platforms"]] == [
        platform["findings"] for platform in second["platforms"]
    ]


def test_an_sbom_can_be_read_from_standard_input(dockgate: Dockgate, tmp_path: Path) -> None:
    sbom = dockgate("sbom", write_image(tmp_path / "image", CONTENT)).out
    command = [sys.executable, "-m", "dockgate", "sbom", "sbom:-", "-o", "json"]
    result = subprocess.run(command, input=sbom, capture_output=True, text=True, check=True)
    names = [package["name"] for package in json.loads(result.stdout)["platforms"][0]["packages"]]
    assert names == ["bash", "jinja2", "openssl"]
