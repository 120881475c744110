"""SPDX as tag-value, and documents inside in-toto statements: each says what the plain JSON document says."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dockgate.scanner import ecosystems, sboms
from dockgate.scanner.model import Inventory

DATA = Path(__file__).parent / "data"
KINDS = ecosystems.load()
SUBJECT = "ab" * 32


def read_inventory(path: Path) -> Inventory:
    (result,) = sboms.read(path, KINDS).inventories
    return result


@pytest.mark.parametrize("tool", ["syft", "trivy"])
def test_tag_value_says_what_json_says(tool: str, tmp_path: Path) -> None:
    from spdx_tools.spdx.parser.parse_anything import parse_file  # takes a second
    from spdx_tools.spdx.writer.tagvalue.tagvalue_writer import write_document_to_file

    path = tmp_path / "bill.spdx"
    write_document_to_file(parse_file(str(DATA / f"{tool}.spdx.json")), str(path), validate=False)
    expected = read_inventory(DATA / f"{tool}.spdx.json")
    assert expected.packages
    result = read_inventory(path)
    assert replace(result, image=expected.image) == expected


@pytest.mark.parametrize("form", ["cyclonedx", "spdx"])
@pytest.mark.parametrize("wrap", ["statement", "envelope", "data", "text"])
def test_a_statement_is_read_as_the_document_in_it_about_the_image_it_names(
    form: str, wrap: str, tmp_path: Path
) -> None:
    bill = DATA / f"syft.{form}.json"
    predicate: Any = json.loads(bill.read_text("utf-8"))
    if wrap == "data":
        predicate = {"Data": predicate}
    elif wrap == "text":
        predicate = {"Data": json.dumps(predicate)}
    document: dict[str, Any] = {
        "_type": "https://in-toto.io/Statement/v0.1",
        "subject": [{"name": "app", "digest": {"sha256": SUBJECT}}],
        "predicateType": "https://cyclonedx.org/bom",
        "predicate": predicate,
    }
    if wrap == "envelope":
        payload = base64.b64encode(json.dumps(document).encode()).decode()
        document = {"payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": []}
    path = tmp_path / "statement.json"
    path.write_text(json.dumps(document))
    assert read_inventory(path) == replace(read_inventory(bill), image=f"sha256:{SUBJECT}")


@pytest.mark.parametrize(
    "subjects", [[], [{"digest": {"sha256": "AB"}}], [{"digest": {"sha256": c * 64}} for c in "ab"]]
)
def test_a_statement_about_no_image_or_several_names_none(subjects: Any, tmp_path: Path) -> None:
    predicate = {"spdxVersion": "SPDX-2.3", "packages": []}
    document = {"_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicate": predicate}
    path = tmp_path / "statement.json"
    path.write_text(json.dumps(document))
    assert read_inventory(path).image not in (f"sha256:{'a' * 64}", f"sha256:{'b' * 64}", "sha256:AB")
