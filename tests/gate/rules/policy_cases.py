"""Reads tests/cases/policies/*.yaml: one file per rule; each case has an image, a policy and the expected verdict.

What a file may hold:

    policy: {…}                  # for all cases without their own
    cases:
      - name: what it shows
        policy: {…}              # rules as in a policy file
        now: 2026-11-24T12:00:00Z
        image: {user: "1000", created: …, base: debian:13, base_layers: 1, distribution: {id: debian, version: "13"},
                diff_ids: [of the base's layer, of the image's own]}
        packages: [pkg:npm/b@1.0.0]       # in addition to those of the findings
        findings:                         # one advisory each, matched with the package that it names
          - {id: CVE-2026-1, package: pkg:npm/a@1.0.0, severity: HIGH, fixed: 2.0.0, layer: base, published: 2026-01-01,
             score: 7.5, epss: 0.1, percentile: 0.9, exploited: 2026-01-01, due: 2026-02-01}
        unread: [path]
        running: [pkg:npm/a@0.9.0]        # the packages of a baseline; so `approved`
        checked: 2026-11-24T06:00:00Z     # when every feed was checked
        feeds: [npm, kev, epss]           # of the database; these by default
        provenance: {statements: [{builder: B, keys: [PEM], source: S, bases: [D], finished_at: T}], refused: [why],
                     unavailable: why}    # attached to the image; not looked up by default
        external: true                    # the findings are another scanner's, which does not tell the fields
        `missing_fields` expect:
          status: Rejected
          violations: [complete messages]  # also `warnings` and `notes`; none by default
          undetermined: [a part of each reason]
          summary: text               # optional
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.gate.samples import CHECKED, ECOSYSTEMS, IMAGE, NOW, RULES

from dockgate.gate import evaluate
from dockgate.gate.definitions.policy import read_named_policy
from dockgate.gate.model import ExternalReport, Verdict, VerdictCase
from dockgate.gate.policy import compute_fingerprint
from dockgate.gate.provenance import BUILD_TYPE, ProvenanceFacts, ProvenanceStatement
from dockgate.scanner.model import Distribution, Inventory, Package, Unread
from dockgate.services.packages import Purls
from dockgate.shared.yaml import load_document
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, Coverage, Cve, Range, Rating, Severity

FOLDER = Path(__file__).parent.parent.parent / "cases" / "policies"
_PURLS = Purls(ECOSYSTEMS)
_LAYERS = {"base": "sha256:" + "a" * 64, "own": "sha256:" + "b" * 64}


def list_cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """The cases of all files by name, such as "exploited: one is enough"."""
    for file in sorted(FOLDER.glob("*.yaml")):
        document = load_document(file.read_text("utf-8"), file.name).value
        for case in document["cases"]:
            yield f"{file.stem}: {case['name']}", {"policy": document.get("policy"), "file": file.name, **case}


def judge_case(case: Mapping[str, Any]) -> Verdict:
    """The verdict on a case, which has one platform."""
    return evaluate.judge(make_verdict_case(case), ECOSYSTEMS, RULES)


def make_verdict_case(case: Mapping[str, Any]) -> VerdictCase:
    """The input of the verdict on a case."""
    findings = case.get("findings", [])
    inventory = _make_inventory(case, [*findings, *case.get("packages", [])])
    checked_at = case.get("checked", CHECKED)
    snapshot = AdvisorySnapshot(
        tuple(map(_make_advisory, findings)),
        tuple(Coverage(feed, True, (), checked_at) for feed in case.get("feeds", ["npm", "epss", "kev"])),
        tuple(map(_make_cve, findings)),
    )
    scanned_case = VerdictCase(
        image=IMAGE,
        policy=read_named_policy(json.dumps(case["policy"]), "case", RULES, case["file"]),
        now=case.get("now", NOW),
        engine="0.1.0",
        inventories=(inventory,),
        snapshot=snapshot,
        baselines={name: (_make_inventory({}, case[name]),) for name in ("running", "approved") if name in case},
        provenance=_make_provenance(case["provenance"]) if "provenance" in case else None,
    )
    if case.get("external"):
        matches = Matcher(snapshot, ECOSYSTEMS).match(inventory.packages)
        external_report = ExternalReport(
            "another", NOW, inventory, matches, missing_fields=tuple(case.get("missing_fields", []))
        )
        provenance = scanned_case.provenance
        scanned_case = VerdictCase(
            IMAGE,
            scanned_case.policy,
            scanned_case.now,
            "0.1.0",
            external_reports=(external_report,),
            provenance=provenance,
        )
    return scanned_case


def _make_provenance(provenance: Mapping[str, Any]) -> ProvenanceFacts:
    statements = [
        ProvenanceStatement(
            digest=f"sha256:{number:064x}",
            keys=tuple(filter(None, map(compute_fingerprint, statement["keys"]))),
            builder=statement["builder"],
            build_type=BUILD_TYPE,
            source=statement.get("source"),
            bases=tuple(statement.get("bases", ())),
            finished_at=statement.get("finished_at"),
        )
        for number, statement in enumerate(provenance.get("statements", []))
    ]
    return ProvenanceFacts(
        IMAGE, tuple(statements), tuple(provenance.get("refused", ())), provenance.get("unavailable")
    )


def _make_inventory(case: Mapping[str, Any], packages: list[Any]) -> Inventory:
    image = case.get("image", {})
    by_purl = {package.purl: package for package in map(_make_package, packages)}
    distribution = image.get("distribution")
    return Inventory(
        image=IMAGE,
        platform="linux/amd64",
        distribution=Distribution(**distribution) if distribution else None,
        layers=tuple(_LAYERS.values()),
        packages=tuple(by_purl.values()),
        unread=tuple(Unread(path, f"{path} cannot be read.") for path in case.get("unread", [])),
        base_layers=int(image.get("base_layers", 0)),
        base=image.get("base"),
        created=image.get("created"),
        user=image.get("user"),
        diff_ids=tuple(image.get("diff_ids", ())),
    )


def _make_package(entry: Any) -> Package:
    """The package of a purl, or of a mapping with purl and layer."""
    if isinstance(entry, str):
        entry = {"package": entry}
    package = _PURLS.make_package(_PURLS.parse(entry["package"]))
    path = f"app/{package.name}/{package.version}"
    return Package(
        package.name,
        package.version,
        package.purl,
        package.ecosystem,
        package.source_name,
        package.source_version,
        path,
        _LAYERS[entry.get("layer", "own")],
    )


def _make_advisory(finding: Mapping[str, Any]) -> Advisory:
    package = _make_package(finding)
    fixed = finding.get("fixed", "")
    events = (("introduced", "0"), ("fixed", fixed))[: 2 if fixed else 1]
    severity = Severity(finding.get("severity", "UNTRIAGED"))
    rating = Rating("advisory", severity, float(finding["score"]) if "score" in finding else None)
    return Advisory(
        finding["id"],
        package.ecosystem,
        package.source_name,
        (Range("SEMVER", events),),
        ratings=() if severity is Severity.UNTRIAGED and rating.score is None else (rating,),
        published=finding.get("published"),
    )


def _make_cve(finding: Mapping[str, Any]) -> Cve:
    return Cve(
        finding["id"],
        exploited=finding.get("exploited"),
        due=finding.get("due"),
        epss=float(finding["epss"]) if "epss" in finding else None,
        percentile=float(finding["percentile"]) if "percentile" in finding else None,
    )
