"""The content of the machine formats, beyond what their schemas check."""

import json
from typing import Any
from xml.etree import ElementTree

from tests.reports.samples import ODD_FINDINGS, make_reports
from tests.reports.test_schemas import INVENTORY_FORMATS, REPORTS, write_report

from dockgate.reports._image_report import build_image_purl, format_relative_uri


def write_document(name: str, form: str) -> Any:
    return json.loads(write_report(REPORTS[name], form))


def test_sarif_marks_what_breaks_the_policy_as_errors() -> None:
    (run,) = write_document("gate", "sarif")["runs"]
    levels = {result["ruleId"]: result["level"] for result in run["results"]}
    assert levels == {
        "CVE-2025-0001": "error",
        "CVE-2019-10906": "error",
        "CVE-2024-34069": "error",
        "CVE-2022-0563": "note",
    }
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    assert run["properties"]["status"] == "Rejected"
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert len(invocation["toolExecutionNotifications"]) == 2


def test_sarif_of_a_complete_scan_is_successful_and_has_a_run_for_each_platform() -> None:
    (run,) = write_document("scan without findings", "sarif")["runs"]
    assert (run["results"], run["invocations"][0]["executionSuccessful"]) == ([], True)
    runs = write_document("scan of an index", "sarif")["runs"]
    assert len({run["automationDetails"]["id"] for run in runs}) == 2


def test_sarif_fingerprints_are_unique_and_stable() -> None:
    (run,) = write_document("odd scan", "sarif")["runs"]
    prints = [result["partialFingerprints"]["dockgate/v1"] for result in run["results"]]
    assert len(set(prints)) == len(ODD_FINDINGS)
    (second_run,) = write_document("odd scan", "sarif")["runs"]
    assert [result["partialFingerprints"]["dockgate/v1"] for result in second_run["results"]] == prints


def test_sarif_has_a_result_for_a_violation_without_findings() -> None:
    run = write_document("odd gate of an index", "sarif")["runs"][0]
    (result,) = [result for result in run["results"] if result["ruleId"] == "policy/root_user"]
    assert (result["level"], result["message"]["text"]) == ("error", "It runs as root")


def test_cyclonedx_lists_a_vulnerability_once_for_all_packages_with_the_same_data() -> None:
    vulnerabilities = {
        vulnerability["id"]: vulnerability for vulnerability in write_document("scan", "cyclonedx")["vulnerabilities"]
    }
    assert len(vulnerabilities) == 4
    both = vulnerabilities["CVE-2025-0001"]
    assert [affected["ref"] for affected in both["affects"]] == [
        "pkg:deb/debian/libssl3t64@3.5.1-1",
        "pkg:deb/debian/openssl@3.5.1-1",
    ]
    assert both["recommendation"] == "Upgrade openssl to 3.5.4-1 or later."
    assert {"name": "dockgate:exploited", "value": "2025-01-01"} in both["properties"]


def test_cyclonedx_has_the_rating_of_the_preferred_source() -> None:
    worst_finding = write_document("odd scan", "cyclonedx")["vulnerabilities"][0]
    assert worst_finding["ratings"] == [
        {
            "source": {"name": "advisory"},
            "score": 9.8,
            "severity": "critical",
            "method": "CVSSv31",
            "vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
        }
    ]
    properties = {entry["name"]: entry["value"] for entry in worst_finding["properties"]}
    assert (properties["dockgate:epss"], properties["dockgate:due"], properties["dockgate:state"]) == (
        "0.943",
        "2025-02-01",
        "fixed",
    )


def test_cyclonedx_compositions_say_whether_the_image_was_read_completely() -> None:
    assert [composition["aggregate"] for composition in write_document("scan", "cyclonedx")["compositions"]] == [
        "incomplete"
    ]
    assert [composition["aggregate"] for composition in write_document("approval", "cyclonedx")["compositions"]] == [
        "complete"
    ]
    without = write_document("gate without inventories", "cyclonedx")
    assert [composition["aggregate"] for composition in without["compositions"]] == ["incomplete"]
    assert {component["name"] for component in without["components"]} == {
        "jinja2",
        "libssl3t64",
        "openssl",
        "util-linux",
        "werkzeug",
    }


def test_cyclonedx_names_the_image_by_its_digest() -> None:
    component = write_document("scan", "cyclonedx")["metadata"]["component"]
    assert component["version"] == "sha256:" + "a" * 64
    assert component["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]


def test_spdx_ids_do_not_depend_on_the_rest_of_the_document() -> None:
    """The ids of a platform's packages stay the same in a document with another platform."""

    def list_ids(name: str) -> set[str]:
        return {package["SPDXID"] for package in json.loads(write_report(INVENTORY_FORMATS[name], "spdx"))["packages"]}

    assert list_ids("one") < list_ids("index")


def test_spdx_references_the_advisories_of_a_package() -> None:
    packages = {package["name"]: package for package in write_document("scan", "spdx")["packages"]}
    references = packages["jinja2"]["externalRefs"]
    assert references[1]["referenceLocator"] == "https://osv.dev/vulnerability/CVE-2019-10906"
    assert packages["libssl3t64"]["sourceInfo"] == "built package from: openssl 3.5.1-1"


def test_openvex_has_affected_and_under_investigation_statements() -> None:
    statements = write_document("odd scan", "openvex")["statements"]
    by_status: dict[str, list[str]] = {}
    for statement in statements:
        by_status.setdefault(statement["status"], []).append(statement["vulnerability"]["name"])
    assert by_status["under_investigation"] == ["CVE-2020-1", "GHSA-1111-2222-3333"]
    assert by_status["affected"] == [finding.id for finding in ODD_FINDINGS[:-1]]
    assert statements[0]["action_statement"] == "Upgrade openssl to 3.5.4-1 or later."
    assert "disputed" in statements[2]["status_notes"]


def test_openvex_products_are_package_urls_with_the_registry() -> None:
    product = write_document("gate", "openvex")["statements"][0]["products"][0]
    assert product["@id"] == (
        f"pkg:oci/app@sha256:{'a' * 64}?arch=amd64&repository_url=registry.test:5000%2Fteam%2Fapp"
    )
    assert [subcomponent["@id"] for subcomponent in product["subcomponents"]] == [
        "pkg:deb/debian/libssl3t64@3.5.1-1",
        "pkg:deb/debian/openssl@3.5.1-1",
    ]


def test_a_local_image_has_a_package_url_too() -> None:
    assert build_image_purl("oci:/srv/App:1", "sha256:1") == "pkg:oci/app@sha256:1"
    assert build_image_purl("./app.tar", "sha256:1") == "pkg:oci/app.tar@sha256:1"
    assert build_image_purl("app@sha256:1", "sha256:1") == "pkg:oci/app@sha256:1"
    assert build_image_purl("docker:nginx:1.2", "sha256:1") == "pkg:oci/nginx@sha256:1"
    assert build_image_purl("podman:localhost/app:1", "sha256:1") == "pkg:oci/app@sha256:1"
    assert build_image_purl("containers-storage:app", "sha256:1") == "pkg:oci/app@sha256:1"
    assert build_image_purl("dir:/srv/root", "sha256:1") == "pkg:oci/root@sha256:1"
    assert build_image_purl("sbom:app.cdx.json", "sha256:1") == "pkg:oci/app.cdx.json@sha256:1"


def test_an_image_of_a_registry_whose_host_is_named_like_an_engine_has_this_registry_in_its_package_url() -> None:
    assert build_image_purl("docker:5000/app:1", "sha256:1") == "pkg:oci/app@sha256:1?repository_url=docker:5000%2Fapp"


def test_a_path_becomes_a_relative_uri() -> None:
    assert format_relative_uri("opt/\udcff ü%") == "opt/%5Cudcff%20%C3%BC%25"


def count_outcomes(name: str) -> dict[str, tuple[int, int, int, int]]:
    """Platform -> tests, failures, errors, skipped, as counted by the reader."""
    suites = ElementTree.fromstring(write_report(REPORTS[name], "junit")).findall("testsuite")  # noqa: S314 - our own
    for suite in suites:
        assert suite.get("failures") == str(len(suite.findall("testcase/failure")))
        assert suite.get("errors") == str(len(suite.findall("testcase/error")))
    return {
        suite.get("name", "").rpartition(" ")[2]: (
            len(suite.findall("testcase")),
            len(suite.findall("testcase/failure")),
            len(suite.findall("testcase/error")),
            len(suite.findall("testcase/skipped")),
        )
        for suite in suites
    }


def test_junit_fails_for_each_finding_of_a_scan() -> None:
    assert count_outcomes("scan") == {"linux/amd64": (7, 5, 2, 0)}


def test_junit_fails_for_blocking_findings_and_skips_the_others() -> None:
    assert count_outcomes("gate") == {"linux/amd64": (7, 4, 2, 1)}
    assert count_outcomes("odd gate of an index") == {"linux/arm64/v8": (10, 3, 2, 5), "linux/amd64": (1, 0, 0, 0)}


def test_junit_has_one_passing_case_without_findings() -> None:
    assert count_outcomes("approval") == {"linux/amd64": (1, 0, 0, 0)}


def test_every_kind_of_report_is_among_the_samples() -> None:
    assert {type(report).__name__ for report in make_reports().values()} == {"ScanReport", "GateReport"}
