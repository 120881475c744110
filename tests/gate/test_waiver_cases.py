"""One readable file for each form of waiver and VEX statement, in tests/cases/waivers.

Packages are "npm NAME VERSION" or purls of Debian 13 ("deb NAME VERSION [SOURCE]"); vulnerabilities are
"ID[=ALIAS] PACKAGE [fixed VERSION]". `vex` has published documents, each with its signer. Expected are `waived`,
"ID PACKAGE: WAIVER: REASON", and `counting`, the findings that count. `{image}` and `{index}` are replaced by digests.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.gate.samples import IMAGE

from dockgate.gate import vex_formats, vex_statements, waivers
from dockgate.gate.model import ExemptionSet, VexSigner, Waiver
from dockgate.gate.policy import make_policy
from dockgate.scanner.model import Inventory, Package
from dockgate.vulnerabilities.model import Finding, Matches, Rating, Severity

CASES = sorted((Path(__file__).parent.parent / "cases" / "waivers").glob("*.yaml"))
INDEX = "sha256:" + "9" * 64
NOW = "2026-11-24T12:00:00Z"
KEYS = {"packages", "findings", "waivers", "vex", "authors", "repository", "now", "waived", "counting", "notes"}


def parse_package(text: str) -> Package:
    kind, name, version, *source = text.split()
    if kind == "deb":
        purl = f"pkg:deb/debian/{name}@{version}?arch=amd64&distro=debian-13"
        return Package(name, version, purl, "Debian:13", source[0] if source else name, version, "var/lib/dpkg/status")
    return Package(name, version, f"pkg:npm/{name.replace('@', '%40')}@{version}", "npm", name, version, f"app/{name}")


def parse_finding(text: str, packages: dict[str, Package]) -> Finding:
    names, name, *fixed = text.split()
    identity, *aliases = names.split("=")
    return Finding(
        identity, tuple(aliases), packages[name], Severity.HIGH, Rating("advisory", Severity.HIGH),
        fixed[1] if fixed else None,
    )  # fmt: skip


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_waivers_and_vex_apply_as_the_case_states(path: Path) -> None:
    text = path.read_text("utf-8").replace("{image}", IMAGE).replace("{index}", INDEX)
    case: dict[str, Any] = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - makes nothing but text
    assert not case.keys() - KEYS
    packages = {item.split()[1]: parse_package(item) for item in case["packages"]}
    now = case.get("now", NOW)
    value = []
    for number, item in enumerate(case.get("waivers", ()), 1):
        fields = {**item, "until_fixed": item.get("until_fixed") == "true"}
        waiver = Waiver(**{"id": f"w{number}", "owner": "ana", "reason": "It is never called.", **fields})
        waivers.check_waiver(waiver)
        value.append(waiver)
    output = []
    for item in case.get("vex", ()):
        document = json.dumps(_replace_version_texts(item["document"])).encode()
        output += [
            replace(statement, signer=VexSigner(item["signer"])) for statement in vex_formats.read(document, path.name)
        ]
    inventory = Inventory(IMAGE, "linux/amd64", None, (), tuple(packages.values()), ())
    waivers_of_case = ExemptionSet(
        waivers.select_waivers(value, case.get("repository", "team/app"), (IMAGE, INDEX), now),
        vex_statements.select_statements(output, (IMAGE, INDEX), [inventory]),
    )
    policy = make_policy("strict", {"vex": ({"authors": case.get("authors", [])},)})
    matches = Matches(tuple(parse_finding(item, packages) for item in case["findings"]), ())
    result = waivers.apply_to_findings(matches, waivers_of_case, policy, inventory, INDEX, now)
    accepted_by = {
        f"{applied_waiver.finding.id} {applied_waiver.finding.package.name}": (
            f"{applied_waiver.by if applied_waiver.kind == 'waiver' else applied_waiver.owner}: {applied_waiver.reason}"
        )
        for applied_waiver in result.applied_waivers
        if applied_waiver.finding
    }
    assert accepted_by == case.get("waived", {})
    assert [f"{finding.id} {finding.package.name}" for finding in result.matches.findings] == case.get("counting", [])
    assert [note.message for note in result.notes] == case.get("notes", [])


def _replace_version_texts(value: Any) -> Any:
    """CycloneDX wants its `version` as a number."""
    if isinstance(value, dict):
        return {
            key: int(item) if key == "version" and item == "1" else _replace_version_texts(item)
            for key, item in value.items()
        }
    return [_replace_version_texts(item) for item in value] if isinstance(value, list) else value


def test_every_format_has_a_case() -> None:
    texts = [path.read_text() for path in CASES]
    for word in ("until:", "until_fixed:", "package:", "repository:", "image:", "vulnerability:", "openvex.dev",
                 "CycloneDX", "csaf_vex"):  # fmt: skip
        assert any(word in text for text in texts), word
