"""The readers of VEX: what is published is read, what the cases hold is what the schemas want, hostile input is
refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st
from referencing import Registry
from referencing.jsonschema import DRAFT7

from dockgate.gate import vex_formats
from dockgate.gate.model import VexStatus
from dockgate.shared.errors import UsageError

HERE = Path(__file__).parent
CASES = sorted((HERE.parent.parent / "cases" / "waivers").glob("*.yaml"))
CVSS = Registry().with_resources(
    (f"https://www.first.org/cvss/cvss-v{version}.json", DRAFT7.create_resource({}))
    for version in ("2.0", "3.0", "3.1")
)
IMAGE = "sha256:" + "1" * 64

OPENVEX: dict[str, Any] = {
    "@context": "https://openvex.dev/ns/v0.2.0",
    "@id": "https://example.org/vex",
    "author": "Vendor",
    "timestamp": "2026-11-01T00:00:00Z",
    "version": 1,
    "statements": [
        {"vulnerability": {"name": "CVE-2024-1"}, "products": [{"@id": "pkg:npm/a"}], "status": "fixed"},
    ],
}


def documents() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path in CASES:
        case = yaml.safe_load(path.read_text().replace("{image}", IMAGE).replace("{index}", IMAGE))
        found += [(path.stem, one["document"]) for one in case.get("vex", ())]
    return found


def changed(change: Callable[[dict[str, Any]], None], document: dict[str, Any] = OPENVEX) -> bytes:
    copy = json.loads(json.dumps(document))
    change(copy)
    return json.dumps(copy).encode()


@pytest.mark.parametrize(("name", "document"), documents())
def test_the_documents_of_the_cases_are_what_the_formats_publish(name: str, document: dict[str, Any]) -> None:
    if "@context" in document:
        schema = json.loads((HERE.parent.parent / "reports" / "schemas" / "openvex-0.2.0.json").read_text())
        jsonschema.validate(document, schema)
    elif "bomFormat" in document:
        version = SchemaVersion[f"V{document['specVersion'].replace('.', '_')}"]
        assert JsonStrictValidator(version).validate_str(json.dumps(document)) is None
    else:
        schema = json.loads((HERE / "schemas" / "csaf-2.0.json").read_text())
        jsonschema.Draft202012Validator(schema, registry=CVSS).validate(document)


def test_a_published_example_is_read() -> None:
    statements = vex_formats.read((HERE / "data" / "2022-evd-uc-06-001.json").read_bytes(), "example")
    assert {one.author for one in statements} == {"Example Company ProductCERT"}
    assert {one.at for one in statements} == {"2022-03-03T11:00:00.000Z"}
    said = [(one.vulnerabilities, one.status, one.products) for one in statements]
    assert (("CVE-2021-44228",), VexStatus.AFFECTED, ("CSAFPID-0002", "CSAFPID-0003", "CSAFPID-0004")) in said
    excused = {product for _, status, products in said if status is VexStatus.NOT_AFFECTED for product in products}
    assert excused == {"CSAFPID-0001", "CSAFPID-0005", "CSAFPID-0006", "CSAFPID-0007"}


def test_a_product_that_nothing_here_understands_stays_a_product() -> None:
    """Without products a statement would be of the image that the document is attached to."""

    def named(document: dict[str, Any]) -> None:
        document["statements"][0]["products"] = [{"@id": "https://example.org/other"}]

    (statement,) = vex_formats.read(changed(named), "x")
    assert statement.products == ("https://example.org/other",)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda one: one.pop("author"), "author: this is missing"),
        (lambda one: one.pop("statements"), "statements: this is missing"),
        (lambda one: one.update(statements={}), "statements: this is no list"),
        (lambda one: one.update({"@context": "https://openvex.dev/ns/v9"}), "@context: this version is not known"),
        (lambda one: one.update(timestamp="yesterday"), "timestamp: 'yesterday' is no time"),
        (lambda one: one.update(timestamp="2026-11-01T00:00:00"), "timestamp: .* with a time zone"),
        (lambda one: one["statements"].append(7), r"statements\[1\]: this is no object"),
        (lambda one: one["statements"][0].update(status="harmless"), r"statements\[0\].status: 'harmless' is not"),
        (lambda one: one["statements"][0].update(status="not_affected"), r"statements\[0\]: not_affected needs a"),
        (lambda one: one["statements"][0].update(justification="trust"), r"statements\[0\].justification: 'trust'"),
        (lambda one: one["statements"][0].update(products=[{}]), r"statements\[0\].products\[0\]: it has neither"),
        (lambda one: one["statements"][0].pop("vulnerability"), r"statements\[0\].vulnerability.name: this is missing"),
        (lambda one: one.update(author="x" * 2000), "author: this has 2000 characters"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(change: Callable[[dict[str, Any]], None], place: str) -> None:
    with pytest.raises(UsageError, match=f"^vex.json: {place}"):
        vex_formats.read(changed(change), "vex.json")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<bom/>", "is no JSON"),
        (b"[]", "holds no JSON object"),
        (b"{}", "is no VEX document"),
        (b"[" * 200_000, "is nested too deeply|is no JSON"),
        (b'{"@context": NaN}', "NaN is no number"),
        (b'{"author": "Vendor", "author": "Other"}', "the key 'author' stands twice"),
        (b" " * (vex_formats.SIZE_LIMIT + 1), "at most"),
        (b"\xff\xfe", "is no JSON"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.3"}', "specVersion: '1.3' is not known"),
        (b'{"document": {"csaf_version": "2.0", "category": "csaf_base"}}', "document.category: 'csaf_base' is not"),
    ],
)
def test_what_is_no_such_document_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        vex_formats.read(data, "x")


def test_branches_and_components_nested_without_end_are_refused() -> None:
    branch: dict[str, Any] = {"name": "x"}
    component: dict[str, Any] = {"name": "x"}
    for _ in range(100):
        branch, component = {"branches": [branch]}, {"components": [component]}
    head = {"csaf_version": "2.0", "category": "csaf_vex", "publisher": {"name": "V"}, "tracking": {}}
    for document in (
        {"document": head, "product_tree": branch},
        {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [component]},
    ):
        with pytest.raises(UsageError, match="nested more than 64 deep"):
            vex_formats.read(json.dumps(document).encode(), "x")


def test_a_document_that_speaks_of_too_much_is_refused() -> None:
    def many(document: dict[str, Any]) -> None:
        document["statements"][0]["products"] = [
            {"@id": f"pkg:npm/a{number}"} for number in range(vex_formats.COUNT_LIMIT)
        ]

    with pytest.raises(UsageError, match="at most 100000 are read"):
        vex_formats.read(changed(many), "x")


def test_contradictions_in_csaf_are_refused() -> None:
    (document,) = (one for name, one in documents() if name == "csaf-flags-threats-and-relationships")

    def both(copy: dict[str, Any]) -> None:
        copy["vulnerabilities"][2]["product_status"]["known_affected"] = ["IMAGE"]

    def unknown(copy: dict[str, Any]) -> None:
        copy["vulnerabilities"][2]["product_status"]["fixed"] = ["NOWHERE"]

    def silent(copy: dict[str, Any]) -> None:
        del copy["vulnerabilities"][0]["flags"]

    def second(copy: dict[str, Any]) -> None:
        copy["product_tree"]["full_product_names"].append({"name": "b", "product_id": "B"})

    for change, reason in (
        (both, "IMAGE has two statuses"),
        (unknown, "there is no product 'NOWHERE'"),
        (silent, "neither a flag nor a threat says why"),
        (second, "there is a second product 'B'"),
    ):
        with pytest.raises(UsageError, match=reason):
            vex_formats.read(changed(change, document), "x")


def test_a_security_advisory_is_read_and_what_it_does_not_explain_excuses_nothing() -> None:
    (document,) = (one for name, one in documents() if name == "csaf-flags-threats-and-relationships")

    def advisory(copy: dict[str, Any]) -> None:
        copy["document"]["category"] = "csaf_security_advisory"

    def unexplained(copy: dict[str, Any]) -> None:
        advisory(copy)
        for one in copy["vulnerabilities"]:
            one.pop("flags", None)
            one.pop("threats", None)

    as_vex = vex_formats.read(json.dumps(document).encode(), "x")
    said = [replace(one, document="") for one in as_vex]
    assert [replace(one, document="") for one in vex_formats.read(changed(advisory, document), "x")] == said
    left = [one.status for one in vex_formats.read(changed(unexplained, document), "x")]
    assert VexStatus.NOT_AFFECTED in {one.status for one in said}
    assert VexStatus.NOT_AFFECTED not in left
    assert left == [one.status for one in said if one.status is not VexStatus.NOT_AFFECTED]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(documents()), st.data())
@settings(max_examples=200, deadline=None)
def test_a_document_changed_anywhere_is_read_or_refused(named: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
    document = json.loads(json.dumps(named[1]))
    places: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        value = waiting.pop()
        keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        places += [(value, key) for key in keys]
        waiting += [value[key] for key in keys]
    holder, key = data.draw(st.sampled_from(places))
    holder[key] = data.draw(JSON)
    try:
        statements = vex_formats.read(json.dumps(document).encode(), "x")
    except UsageError:
        return
    assert all(one.vulnerabilities and one.status in VexStatus for one in statements)
