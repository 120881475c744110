"""The JSON for programs. The keys are stable: a change of one raises SCHEMA_VERSION."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.reports.samples import FINDINGS, MANIFEST, UNDETERMINED, make_inventory, make_reports, make_verdict

from dockgate.reports import GateReport, ScanReport, list_names, load, load_inventory_format
from dockgate.reports._document import write
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.model import Coverage, Matches, State

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "json-report.md"


def write_verdict(*inventories: Any) -> Any:
    output = io.StringIO()
    load("json").write_verdict(GateReport("registry.test/app:1", make_verdict(), inventories), output)
    return json.loads(output.getvalue())


def write_scan() -> Any:
    output = io.StringIO()
    coverage = (Coverage("Debian:13", True, ("openssl",), "2026-11-24T10:00:00Z"),)
    report = ScanReport(
        "registry.test/app:1", MANIFEST, ((make_inventory(), Matches(FINDINGS, UNDETERMINED[1:])),), coverage
    )
    load("json").write_scan(report, output)
    return json.loads(output.getvalue())


def test_a_scan_has_these_keys() -> None:
    document = write_scan()
    assert document.keys() == {"schema_version", "kind", "image", "coverage", "platforms"}
    assert (document["schema_version"], document["kind"]) == (2, "scan")
    assert document["image"] == {"reference": "registry.test/app:1", "digest": MANIFEST}
    assert document["coverage"] == [
        {"ecosystem": "Debian:13", "is_complete": True, "checked_at": "2026-11-24T10:00:00Z"}
    ]
    (platform,) = document["platforms"]
    assert platform.keys() == {
        "platform", "manifest", "reported_by", "distribution", "layers", "base_layers", "base", "created", "user",
        "packages", "unread", "findings", "undetermined",
    }  # fmt: skip
    assert platform["distribution"] == {
        "id": "debian",
        "version": "13",
        "name": "Debian GNU/Linux 13 (trixie)",
        "like": [],
        "support_end": None,
        "repository": None,
    }
    assert platform["packages"][1] == {
        "name": "libssl3t64",
        "version": "3.5.1-1",
        "purl": "pkg:deb/debian/libssl3t64@3.5.1-1",
        "ecosystem": "Debian:13",
        "source": {"name": "openssl", "version": "3.5.1-1"},
        "arch": None,
        "module": None,
        "vendor": None,
        "path": "var/lib/dpkg/status",
        "layer": None,
        "is_in_base": None,
        "owner": None,
    }


def test_a_finding_has_these_keys_and_null_for_unknown_values() -> None:
    unfixed_finding = write_scan()["platforms"][0]["findings"][3]
    assert unfixed_finding == {
        "id": "CVE-2024-34069",
        "aliases": [],
        "severity": "HIGH",
        "score": None,
        "vector": None,
        "rated_by": "cve",
        "package": {
            "name": "werkzeug",
            "version": "0.14.1",
            "purl": "pkg:pypi/werkzeug@0.14.1",
            "path": "usr/lib/python3/dist-packages/werkzeug-0.14.1.dist-info/METADATA",
            "layer": None,
            "is_in_base": None,
        },
        "fixed": None,
        "state": "unfixed",
        "note": None,
        "is_disputed": False,
        "reachable": None,
        "known_exploited_since": None,
        "due": None,
        "epss": None,
        "is_malicious": False,
        "published": None,
        "summary": None,
    }


def test_a_verdict_has_its_inputs_violations_and_remediation() -> None:
    document = write_verdict(make_inventory())
    assert document["kind"] == "gate"
    assert document["verdict"].keys() == {"status", "policy", "summary", "inputs"}
    assert document["verdict"]["status"] == "Rejected"
    assert document["verdict"]["inputs"]["now"] == "2026-11-25T00:00:00Z"
    (platform,) = document["platforms"]
    assert platform["status"] == "Rejected"
    assert platform["counts"]["CRITICAL"] == 2
    assert [violation["message"] for violation in platform["violations"]] == [
        "2 CRITICAL findings, at most 0 allowed",
        "2 HIGH findings, at most 0 allowed",
    ]
    assert platform["violations"][0]["findings"][0]["fixed"] == "3.5.4-1"
    assert platform["remediation"]["upgrades"][0]["fixed"] == "2.11.3"
    assert len(platform["packages"]) == 5
    assert platform["unread"][0]["path"] == "var/lib/dpkg/info/foo.list"


def test_a_verdict_without_inventory_has_null_instead_of_empty_lists() -> None:
    (platform,) = write_verdict()["platforms"]
    assert (platform["packages"], platform["unread"], platform["distribution"]) == (None, None, None)


def test_findings_have_epss_due_dates_states_and_base_layers() -> None:
    output = io.StringIO()
    report = make_reports()["odd scan"]
    assert isinstance(report, ScanReport)
    load("json").write_scan(report, output)
    (platform,) = json.loads(output.getvalue())["platforms"]
    assert (platform["base_layers"], platform["base"], platform["user"]) == (1, "debian:10", "app")
    worst_finding, _, disputed_finding, later, *_ = platform["findings"]
    assert (worst_finding["due"], worst_finding["epss"]) == ("2025-02-01", {"score": 0.943, "percentile": 0.5})
    assert (worst_finding["package"]["is_in_base"], platform["packages"][1]["is_in_base"]) == (True, False)
    assert (disputed_finding["state"], disputed_finding["is_disputed"]) == ("end of life", True)
    assert later["state"] == "won't fix"
    assert platform["packages"][3]["module"] == "nodejs:18"


def test_every_key_is_documented() -> None:
    """By its name in the page, in back-quotes."""

    def iterate_keys(value: Any) -> Iterator[str]:
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, dict):
                for key, inner in entry.items():
                    yield key
                    if key not in ("counts", "inputs"):
                        yield from iterate_keys(inner)

    documentation = PAGE.read_text()
    used = {*iterate_keys(write_scan()), *iterate_keys(write_verdict(make_inventory()))}
    assert {key for key in used if f"`{key}`" not in documentation} == set()


def test_the_formats_are_found_by_their_files() -> None:
    assert list_names() == (
        "case",
        "cyclonedx",
        "html",
        "json",
        "junit",
        "markdown",
        "openvex",
        "sarif",
        "spdx",
        "table",
    )


def test_an_unknown_format_is_refused_with_the_list_of_formats() -> None:
    with pytest.raises(UsageError) as error:
        load("yaml")
    assert error.value.advice == f"Formats: {', '.join(list_names())}."


def test_a_format_without_inventories_is_refused_with_the_list_of_those_with() -> None:
    with pytest.raises(UsageError) as error:
        load_inventory_format("table")
    assert error.value.advice == "Formats: cyclonedx, json, spdx."


def test_every_state_of_a_fix_is_documented() -> None:
    assert [state for state in State if f'"{state}"' not in PAGE.read_text()] == []


def write_texts(*texts: str) -> str:
    output = io.StringIO()
    write({"texts": list(texts)}, output)
    return output.getvalue()


def test_a_lone_surrogate_does_not_change_the_rest_of_a_document() -> None:
    plain, odd = write_texts("ü€\x7f\x1b", "HALF"), write_texts("ü€\x7f\x1b", "\udcff")
    assert plain.isascii()
    assert not {"\x7f", "\x1b"}.intersection(plain)
    assert odd == plain.replace("HALF", r"\\udcff")


def test_text_that_looks_like_an_escaped_surrogate_is_unchanged() -> None:
    texts = ["😀", r"\ud83d", r"\\ud83d", r"\U\u"]
    assert json.loads(write_texts(*texts))["texts"] == texts
    assert json.loads(write_texts(*texts, "\udcff"))["texts"] == [*texts, r"\udcff"]
