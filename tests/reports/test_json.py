"""The JSON that programs read. The keys are a promise: whoever changes one raises SCHEMA_VERSION."""

import io
import json
from typing import Any

import pytest
from tests.reports.samples import FINDINGS, MANIFEST, UNDETERMINED, inventory, verdict

from dockgate.core.errors import UsageError
from dockgate.core.model import Coverage, Matches
from dockgate.reports import GateReport, ScanReport, load, names


def gated(*inventories: Any) -> Any:
    out = io.StringIO()
    load("json").gate(GateReport("registry.test/app:1", verdict(), inventories), out)
    return json.loads(out.getvalue())


def scanned() -> Any:
    out = io.StringIO()
    coverage = (Coverage("Debian:13", True, ("openssl",), "2026-11-24T10:00:00Z"),)
    report = ScanReport(
        "registry.test/app:1", MANIFEST, ((inventory(), Matches(FINDINGS, UNDETERMINED[1:])),), coverage
    )
    load("json").scan(report, out)
    return json.loads(out.getvalue())


def test_a_scan_has_these_keys() -> None:
    document = scanned()
    assert document.keys() == {"schema_version", "kind", "image", "coverage", "platforms"}
    assert (document["schema_version"], document["kind"]) == (1, "scan")
    assert document["image"] == {"reference": "registry.test/app:1", "digest": MANIFEST}
    assert document["coverage"] == [{"ecosystem": "Debian:13", "complete": True, "checked_at": "2026-11-24T10:00:00Z"}]
    (platform,) = document["platforms"]
    assert platform.keys() == {
        "platform", "manifest", "distribution", "packages", "unread", "findings", "undetermined",
    }  # fmt: skip
    assert platform["distribution"] == {"id": "debian", "version": "13", "name": "Debian GNU/Linux 13 (trixie)"}
    assert platform["packages"][1] == {
        "name": "libssl3t64",
        "version": "3.5.1-1",
        "purl": "pkg:deb/debian/libssl3t64@3.5.1-1",
        "ecosystem": "Debian:13",
        "source": {"name": "openssl", "version": "3.5.1-1"},
        "path": "var/lib/dpkg/status",
        "layer": "",
        "owner": None,
    }


def test_a_finding_has_these_keys_and_null_for_what_is_not_known() -> None:
    unfixed = scanned()["platforms"][0]["findings"][3]
    assert unfixed == {
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
        },
        "fixed": None,
        "note": None,
        "known_exploited_since": None,
        "malicious": False,
        "summary": "",
    }


def test_a_verdict_has_its_inputs_breaches_and_remedy() -> None:
    document = gated(inventory())
    assert document["kind"] == "gate"
    assert document["verdict"].keys() == {"status", "policy", "summary", "inputs"}
    assert document["verdict"]["status"] == "Rejected"
    assert document["verdict"]["inputs"]["now"] == "2026-11-25T00:00:00Z"
    (platform,) = document["platforms"]
    assert platform["status"] == "Rejected"
    assert platform["counts"]["CRITICAL"] == 2
    assert [breach["message"] for breach in platform["breaches"]] == [
        "2 CRITICAL findings, at most 0 allowed",
        "2 HIGH findings, at most 0 allowed",
    ]
    assert platform["breaches"][0]["findings"][0]["fixed"] == "3.5.4-1"
    assert platform["remedy"][0]["fixed"] == "2.11.3"
    assert len(platform["packages"]) == 5
    assert platform["unread"][0]["path"] == "var/lib/dpkg/info/foo.list"


def test_a_verdict_without_its_inventory_says_null_and_not_empty() -> None:
    (platform,) = gated()["platforms"]
    assert (platform["packages"], platform["unread"], platform["distribution"]) == (None, None, None)


def test_the_formats_are_found_by_their_files() -> None:
    assert names() == ("json", "table")


def test_an_unknown_format_names_those_that_exist() -> None:
    with pytest.raises(UsageError) as error:
        load("yaml")
    assert error.value.advice == "Formats: json, table."
