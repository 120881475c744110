"""Readers of VEX documents: published documents, documents of the cases, hostile input."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples

from dockgate.gate import vex_formats
from dockgate.gate.model import VexStatus
from dockgate.shared.errors import UsageError

HERE = Path(__file__).parent
CASES = sorted((HERE.parent.parent / "cases" / "waivers").glob("*.yaml"))
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


def list_documents() -> list[tuple[str, dict[str, Any]]]:
    result = []
    for path in CASES:
        case = yaml.safe_load(path.read_text().replace("{image}", IMAGE).replace("{index}", IMAGE))
        result += [(path.stem, entry["document"]) for entry in case.get("vex", ())]
    return result


def change_document(change: Callable[[dict[str, Any]], None], document: dict[str, Any] = OPENVEX) -> bytes:
    copy = json.loads(json.dumps(document))
    change(copy)
    return json.dumps(copy).encode()


@pytest.mark.parametrize(("name", "document"), list_documents())
def test_documents_in_cases_match_the_published_schemas(name: str, document: dict[str, Any]) -> None:
    import jsonschema  # takes a second
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    from referencing import Registry
    from referencing.jsonschema import DRAFT7

    if "@context" in document:
        schema = json.loads((HERE.parent.parent / "reports" / "schemas" / "openvex-0.2.0.json").read_text())
        jsonschema.validate(document, schema)
    elif "bomFormat" in document:
        version = SchemaVersion[f"V{document['specVersion'].replace('.', '_')}"]
        assert JsonStrictValidator(version).validate_str(json.dumps(document)) is None
    else:
        schema = json.loads((HERE / "schemas" / "csaf-2.0.json").read_text())
        cvss = Registry().with_resources(
            (f"https://www.first.org/cvss/cvss-v{version}.json", DRAFT7.create_resource({}))
            for version in ("2.0", "3.0", "3.1")
        )
        jsonschema.Draft202012Validator(schema, registry=cvss).validate(document)


def test_a_published_example_is_read() -> None:
    statements = vex_formats.read((HERE / "data" / "2022-evd-uc-06-001.json").read_bytes(), "example")
    assert {statement.author for statement in statements} == {"Example Company ProductCERT"}
    assert {statement.at for statement in statements} == {"2022-03-03T11:00:00.000Z"}
    contents = [(statement.vulnerabilities, statement.status, statement.products) for statement in statements]
    assert (("CVE-2021-44228",), VexStatus.AFFECTED, ("CSAFPID-0002", "CSAFPID-0003", "CSAFPID-0004")) in contents
    unaffected_products = {
        product for _, status, products in contents if status is VexStatus.NOT_AFFECTED for product in products
    }
    assert unaffected_products == {"CSAFPID-0001", "CSAFPID-0005", "CSAFPID-0006", "CSAFPID-0007"}


def test_a_product_with_an_unsupported_identifier_stays_in_its_statement() -> None:
    """Without products the statement would apply to the image that the document is attached to."""

    def replace_products(document: dict[str, Any]) -> None:
        document["statements"][0]["products"] = [{"@id": "https://example.org/other"}]

    (statement,) = vex_formats.read(change_document(replace_products), "x")
    assert statement.products == ("https://example.org/other",)


@pytest.mark.parametrize(
    ("change", "location"),
    [
        (lambda document: document.pop("author"), "author: this is missing"),
        (lambda document: document.pop("statements"), "statements: this is missing"),
        (lambda document: document.update(statements={}), "statements: this must be a list"),
        (
            lambda document: document.update({"@context": "https://openvex.dev/ns/v9"}),
            "@context: this version is not supported",
        ),
        (lambda document: document.update(timestamp="yesterday"), "timestamp: 'yesterday' is not a time"),
        (lambda document: document.update(timestamp="2026-11-01T00:00:00"), "timestamp: .* with a time zone"),
        (lambda document: document["statements"].append(7), r"statements\[1\]: this must be an object"),
        (
            lambda document: document["statements"][0].update(status="harmless"),
            r"statements\[0\].status: 'harmless' is not",
        ),
        (
            lambda document: document["statements"][0].update(status="not_affected"),
            r"statements\[0\]: not_affected needs a",
        ),
        (
            lambda document: document["statements"][0].update(justification="trust"),
            r"statements\[0\].justification: 'trust'",
        ),
        (
            lambda document: document["statements"][0].update(products=[{}]),
            r"statements\[0\].products\[0\]: this has neither",
        ),
        (
            lambda document: document["statements"][0].pop("vulnerability"),
            r"statements\[0\].vulnerability.name: this is missing",
        ),
        (lambda document: document.update(author="x" * 2000), "author: this has 2000 characters"),
    ],
)
def test_an_invalid_value_is_refused_with_its_location(change: Callable[[dict[str, Any]], None], location: str) -> None:
    with pytest.raises(UsageError, match=f"^vex.json: {location}"):
        vex_formats.read(change_document(change), "vex.json")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<bom/>", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"{}", "is not a VEX document"),
        (b"[" * 200_000, "is nested too deeply|is not JSON"),
        (b'{"@context": NaN}', "NaN is not a number"),
        (b'{"author": "Vendor", "author": "Other"}', "the key 'author' twice"),
        (b" " * (vex_formats.SIZE_LIMIT + 1), "the limit is"),
        (b"\xff\xfe", "is not JSON"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.3"}', "specVersion: '1.3' is not supported"),
        (b'{"document": {"csaf_version": "2.0", "category": "csaf_base"}}', "document.category: 'csaf_base' is not"),
    ],
)
def test_other_documents_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        vex_formats.read(data, "x")


def test_an_affected_version_that_is_not_stated_is_refused() -> None:
    """It would be every version of the package."""
    analysis, affected = {"state": "not_affected"}, {"ref": "pkg:npm/a", "versions": [{"status": "affected"}]}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "vulnerabilities": [{"id": "CVE-2024-1", "analysis": analysis, "affects": [affected]}],
    }
    with pytest.raises(UsageError, match=r"affects\[0\].versions\[0\]: this has neither a version nor a range"):
        vex_formats.read(json.dumps(document).encode(), "x")


def test_deeply_nested_branches_and_components_are_refused() -> None:
    branch: dict[str, Any] = {"name": "x"}
    component: dict[str, Any] = {"name": "x"}
    for _ in range(100):
        branch, component = {"branches": [branch]}, {"components": [component]}
    head = {"csaf_version": "2.0", "category": "csaf_vex", "publisher": {"name": "V"}, "tracking": {"status": "final"}}
    for document in (
        {"document": head, "product_tree": branch},
        {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [component]},
    ):
        with pytest.raises(UsageError, match="nested more than 64 deep"):
            vex_formats.read(json.dumps(document).encode(), "x")


def test_a_document_with_too_many_names_is_refused() -> None:
    def exceed_product_limit(document: dict[str, Any]) -> None:
        document["statements"][0]["products"] = [
            {"@id": f"pkg:npm/a{number}"} for number in range(vex_formats.COUNT_LIMIT)
        ]

    with pytest.raises(UsageError, match="the limit is 100000"):
        vex_formats.read(change_document(exceed_product_limit), "x")


def test_thousands_of_vulnerabilities_may_name_a_group_of_thousands() -> None:
    """Its members are not written out for each. The first entry for a product counts, by group or by itself."""
    (document,) = (entry for name, entry in list_documents() if name == "csaf-flags-threats-and-relationships")

    def enlarge(copy: dict[str, Any]) -> None:
        tree = copy["product_tree"]
        tree["product_groups"].append({"group_id": "MANY", "product_ids": ["B", *map(str, range(20_000))]})
        copy["vulnerabilities"] = [
            {
                "cve": f"CVE-2024-{number}",
                "product_status": {"known_not_affected": ["A", "B"]},
                "threats": [
                    {"category": "impact", "details": "Of the group.", "group_ids": ["MANY", "MANY"]},
                    {"category": "impact", "details": "Of both.", "product_ids": ["A", "B"]},
                ],
            }
            for number in range(10_000)
        ]

    statements = vex_formats.read(change_document(enlarge, document), "large.json")
    assert len(statements) == 20_000
    assert {(statement.products, statement.impact) for statement in statements} == {
        (("pkg:npm/a@1.0.0",), "Of both."),
        (("pkg:npm/b@1.0.0",), "Of the group."),
    }


def test_contradictions_in_a_csaf_document_are_refused() -> None:
    (document,) = (entry for name, entry in list_documents() if name == "csaf-flags-threats-and-relationships")

    def contradict(copy: dict[str, Any]) -> None:
        copy["vulnerabilities"][2]["product_status"]["known_affected"] = ["IMAGE"]

    def add_unknown_product(copy: dict[str, Any]) -> None:
        copy["vulnerabilities"][2]["product_status"]["fixed"] = ["NOWHERE"]

    def remove_reason(copy: dict[str, Any]) -> None:
        del copy["vulnerabilities"][0]["flags"]

    def define_twice(copy: dict[str, Any]) -> None:
        copy["product_tree"]["full_product_names"].append({"name": "b", "product_id": "B"})

    for change, reason in (
        (contradict, "IMAGE has two contradicting statuses"),
        (add_unknown_product, "there is no product 'NOWHERE'"),
        (remove_reason, "without a flag or a threat that says why"),
        (define_twice, "the product 'B' is defined twice"),
    ):
        with pytest.raises(UsageError, match=reason):
            vex_formats.read(change_document(change, document), "x")


@pytest.mark.parametrize("status", ["draft", "", None])
def test_a_csaf_document_that_is_not_released_is_refused(status: str | None) -> None:
    (document,) = (entry for name, entry in list_documents() if name == "csaf-flags-threats-and-relationships")

    def change_status(copy: dict[str, Any], status: str | None = status) -> None:
        copy["document"]["tracking"]["status"] = status

    with pytest.raises(
        UsageError, match=r"document\.tracking\.status: '.*' is not supported; supported: final, interim"
    ):
        vex_formats.read(change_document(change_status, document), "x")
    interim = change_document(lambda copy: change_status(copy, "interim"), document)
    assert vex_formats.read(interim, "x")


def test_an_unexplained_status_in_a_security_advisory_accepts_nothing() -> None:
    (document,) = (entry for name, entry in list_documents() if name == "csaf-flags-threats-and-relationships")

    def make_advisory(copy: dict[str, Any]) -> None:
        copy["document"]["category"] = "csaf_security_advisory"

    def remove_reasons(copy: dict[str, Any]) -> None:
        make_advisory(copy)
        for vulnerability in copy["vulnerabilities"]:
            vulnerability.pop("flags", None)
            vulnerability.pop("threats", None)

    as_vex = vex_formats.read(json.dumps(document).encode(), "x")
    as_advisory = vex_formats.read(change_document(make_advisory, document), "x")
    assert [replace(statement, document="") for statement in as_advisory] == [
        replace(statement, document="") for statement in as_vex
    ]
    statuses = [statement.status for statement in as_vex]
    without_reasons = [
        statement.status for statement in vex_formats.read(change_document(remove_reasons, document), "x")
    ]
    assert VexStatus.NOT_AFFECTED in statuses
    assert without_reasons == [status for status in statuses if status is not VexStatus.NOT_AFFECTED]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(list_documents()), st.data())
@settings(max_examples=scale_examples(80), deadline=None)
def test_a_document_changed_anywhere_is_read_or_refused(
    document_case: tuple[str, dict[str, Any]], data: st.DataObject
) -> None:
    document = json.loads(json.dumps(document_case[1]))
    entries: list[tuple[Any, Any]] = []
    pending = [document]
    while pending:
        value = pending.pop()
        keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        entries += [(value, key) for key in keys]
        pending += [value[key] for key in keys]
    holder, key = data.draw(st.sampled_from(entries))
    holder[key] = data.draw(JSON)
    try:
        statements = vex_formats.read(json.dumps(document).encode(), "x")
    except UsageError:
        return
    assert all(statement.vulnerabilities and statement.status in VexStatus for statement in statements)
