"""Every machine format against its published schema, for every kind of report.

The validators, which take seconds to import, are imported by the tests that need them.
"""

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.reports.samples import NOW, make_inventory, make_odd_inventory, make_reports

from dockgate.reports import GateReport, InventoryReport, ScanReport, write
from dockgate.scanner.model import Inventory

SCHEMAS = Path(__file__).parent / "schemas"
REPORTS = make_reports()


def write_report(report: ScanReport | GateReport | InventoryReport, form: str) -> str:
    output = io.StringIO()
    write(report, form, output)
    output.getvalue().encode("utf-8")  # a lone surrogate would raise
    return output.getvalue()


def make_sbom_reports() -> dict[str, InventoryReport]:
    odd, plain = make_odd_inventory(), make_inventory()
    empty_inventory = Inventory("sha256:" + "f" * 64, "linux/amd64", None, (), (), ())
    return {
        "one": InventoryReport("app:1", plain.image_digest, (plain,), NOW),
        "odd": InventoryReport("app:1", odd.image_digest, (odd,), NOW),
        "index": InventoryReport("app:1", "sha256:" + "e" * 64, (plain, odd), NOW),
        "nothing": InventoryReport("app:1", empty_inventory.image_digest, (empty_inventory,), NOW),
    }


INVENTORY_FORMATS = make_sbom_reports()


@cache
def read_schema(name: str) -> Any:
    return json.loads((SCHEMAS / name).read_text("utf-8"))


@pytest.mark.parametrize("name", REPORTS)
def test_sarif_reports_match_their_schema(name: str) -> None:
    from jsonschema import Draft4Validator, FormatChecker

    document = json.loads(write_report(REPORTS[name], "sarif"))
    validator = Draft4Validator(read_schema("sarif-2.1.0.json"), format_checker=FormatChecker())
    assert [error.message for error in validator.iter_errors(document)] == []


@pytest.mark.parametrize("name", REPORTS)
def test_openvex_reports_match_their_schema(name: str) -> None:
    document = json.loads(write_report(REPORTS[name], "openvex"))
    errors = [error.message for error in _load_openvex_validator().iter_errors(document)]
    # Where nothing is to be stated, no statement would be true.
    is_empty = name in ("scan without findings", "approval", "gate without a scan")
    assert errors == (["[] should be non-empty"] if is_empty else [])


@cache
def _load_openvex_validator() -> Any:
    from jsonschema import Draft202012Validator, FormatChecker

    checker = FormatChecker()
    check_iri, errors = checker.checkers["iri"]  # takes a tenth of a second, and most reports name the same packages
    checker.checks("iri", errors)(cache(check_iri))
    return Draft202012Validator(read_schema("openvex-0.2.0.json"), format_checker=checker)


@pytest.mark.parametrize("name", REPORTS)
def test_junit_reports_match_their_schema(name: str) -> None:
    schema = _load_junit_schema()
    document = write_report(REPORTS[name], "junit")
    assert [error.reason for error in schema.iter_errors(document)] == []


@cache
def _load_junit_schema() -> Any:
    import xmlschema

    return xmlschema.XMLSchema(str(SCHEMAS / "junit-10.xsd"))


@cache
def _load_cyclonedx_validator() -> Any:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_6)


@pytest.mark.parametrize("name", [*REPORTS, *INVENTORY_FORMATS])
def test_cyclonedx_reports_match_their_schema(name: str) -> None:
    text = write_report({**REPORTS, **INVENTORY_FORMATS}[name], "cyclonedx")
    assert _load_cyclonedx_validator().validate_str(text) is None
    document = json.loads(text)
    refs = list(_iterate_refs(document))
    assert len(refs) == len(set(refs)), "each bom-ref stands once"
    used_refs = {
        affected["ref"] for vulnerability in document["vulnerabilities"] for affected in vulnerability["affects"]
    }
    used_refs |= {assembly for composition in document["compositions"] for assembly in composition["assemblies"]}
    assert used_refs <= set(refs)


def _iterate_refs(document: Any) -> Any:
    if isinstance(document, list):
        for entry in document:
            yield from _iterate_refs(entry)
    elif isinstance(document, dict):
        if "bom-ref" in document:
            yield document["bom-ref"]
        for entry in document.values():
            yield from _iterate_refs(entry)


@pytest.mark.parametrize("name", [*REPORTS, *INVENTORY_FORMATS])
def test_spdx_reports_match_their_schema(name: str) -> None:
    from jsonschema import Draft7Validator
    from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    document = json.loads(write_report({**REPORTS, **INVENTORY_FORMATS}[name], "spdx"))
    validator = Draft7Validator(read_schema("spdx-2.3.json"))
    assert [error.message for error in validator.iter_errors(document)] == []
    parsed_document = JsonLikeDictParser().parse(document)
    assert [message.validation_message for message in validate_full_spdx_document(parsed_document)] == []


@pytest.mark.parametrize("form", ["cyclonedx", "json", "markdown", "openvex", "sarif", "spdx", "junit", "html"])
@pytest.mark.parametrize("name", REPORTS)
def test_the_same_report_gives_the_same_bytes(name: str, form: str) -> None:
    assert write_report(REPORTS[name], form) == write_report(REPORTS[name], form)


@pytest.mark.parametrize(
    "form", ["cyclonedx", "json", "openvex", "sarif", "spdx", "table", "junit", "html", "markdown"]
)
@pytest.mark.parametrize("name", REPORTS)
def test_no_report_can_steer_a_terminal(name: str, form: str) -> None:
    text = write_report(REPORTS[name], form)
    assert [char for char in text if not char.isprintable() and char != "\n"] == []
