"""The JSON Schema of a policy agrees with the reader: what is a policy validates, and what it refuses is refused as far
as a schema can say it."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.gate.rules.policy_cases import list_cases
from tests.gate.samples import RULES

from dockgate.gate.definitions.policy import BUILTIN, build_policy_schema, complete_settings, read_named_policy
from dockgate.shared.errors import DefinitionError
from dockgate.shared.yaml import load_document

ROOT = Path(__file__).parent.parent.parent.parent
SCHEMA = build_policy_schema(RULES)
BY_NAME = {rule.name: rule for rule in RULES}
KEY = "-----BEGIN PUBLIC KEY-----\nMCo=\n-----END PUBLIC KEY-----\n"
BUILDERS = [{"id": "https://ci.example", "keys": [KEY]}]
LAYER = "sha256:" + "c" * 64


@cache
def _make_validator() -> Any:
    from jsonschema import Draft202012Validator  # takes a second

    return Draft202012Validator(SCHEMA)


def test_the_schema_is_valid_for_its_draft() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


def test_every_policy_in_the_documentation_validates() -> None:
    texts = re.findall(r"(?ms)^```yaml policy\n(.*?)^```$", (ROOT / "docs" / "reference" / "policies.md").read_text())
    assert len(texts) > 2
    for text in texts:
        _make_validator().validate(load_document(text, "policies.md").value)


@pytest.mark.parametrize("name", BUILTIN)
def test_every_builtin_policy_validates(name: str) -> None:
    text = (ROOT / "src" / "dockgate" / "gate" / "definitions" / f"{name}.yaml").read_text()
    _make_validator().validate(load_document(text, name).value)


def test_every_policy_in_cases_validates() -> None:
    for _, case in list_cases():
        _make_validator().validate(case["policy"])


def test_a_whole_document_validates() -> None:
    _make_validator().validate(
        {"kind": "Policy", "name": "ours", "rules": {"malicious": None}, "examples": [{"name": "clean"}]}
    )


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"max_finding": {"HIGH": 0}},
        {"max_findings": None},
        {"max_findings": []},
        {"evidence": 7},
        {"evidence": {"action": "warn"}},
        {"kind": "Polcy", "name": "ours", "rules": {"malicious": {}}},
        {"kind": "Policy", "name": "our own", "rules": {"malicious": {}}},
        {"kind": "Policy", "name": "ours"},
        {"kind": "Policy", "name": "ours", "rules": {}},
        {"kind": "Policy", "name": "ours", "rules": {"malicious": {}}, "max_findings": {"HIGH": 0}},
    ],
)
def test_the_schema_refuses_documents_that_the_reader_refuses(document: Any) -> None:
    with pytest.raises(DefinitionError):
        read_named_policy(json.dumps(document), "ours", RULES)
    assert not _make_validator().is_valid(document)


WRONG: list[tuple[str, dict[str, Any]]] = [
    *(
        ("max_findings", {"HIGH": 0, **wrong})
        for wrong in (
            {"HIGH": -1},
            {"HIGH": "0"},
            {"total": 0.5},
            {"scope": "mine"},
            {"only_fixable": 1},
            {"grace_days": -1},
            {"grace_days": "7"},
            {"grace_days": 40_000},
            {"grace_days": {"HIGH": True}},
            {"grace_days": {"SEVERE": 3}},
            {"grace_from": "today"},
            {"baseline": "last"},
            {"untriaged_counts_as": "high"},
            {"action": "stop"},
            {"colour": "red"},
        )
    ),
    ("max_findings", {"only_fixable": True}),
    ("exploited", {"max": -1}),
    ("exploited", {"past_due": "yes"}),
    ("epss", {}),
    ("epss", {"score": 1.5}),
    ("epss", {"percentile": "0.9"}),
    ("epss", {"score": 0.5, "unscored": "allow"}),
    ("cvss", {}),
    ("cvss", {"score": 11}),
    ("cvss", {"score": True}),
    ("evidence", {"unread": "ignore"}),
    ("evidence", {"stale_after_days": 0}),
    ("malicious", {"max": 1}),
    ("forbidden_packages", {}),
    ("forbidden_packages", {"packages": []}),
    ("forbidden_packages", {"packages": "pkg:npm/a"}),
    ("forbidden_packages", {"packages": ["lodash"]}),
    ("forbidden_packages", {"packages": [7]}),
    ("forbidden_packages", {"packages": [{"versions": "vers:npm/<1"}]}),
    ("forbidden_packages", {"packages": [{"purl": "pkg:npm/a", "versions": "<1"}]}),
    ("forbidden_packages", {"packages": [{"purl": "pkg:npm/a", "version": "1"}]}),
    ("forbidden_packages", {"packages": [{"purl": "pkg:npm/a", "reason": 7}]}),
    ("image_age", {}),
    ("image_age", {"days": -1}),
    ("image_age", {"days": "30d"}),
    ("end_of_life", {"within_days": -1}),
    ("end_of_life", {"within_days": 1.5}),
    ("end_of_life", {"unknown": "reject"}),
    ("base_image", {}),
    ("base_image", {"allowed": []}),
    ("base_image", {"allowed": "debian:13"}),
    ("base_image", {"allowed": [""]}),
    ("base_image", {"images": []}),
    ("base_image", {"images": [{"name": "debian"}]}),
    ("base_image", {"images": [{"layers": [LAYER]}]}),
    ("base_image", {"images": [{"name": "debian", "layers": []}]}),
    ("base_image", {"images": [{"name": "debian", "layers": LAYER}]}),
    ("base_image", {"images": [{"name": "debian", "layers": ["sha256:00"]}]}),
    ("base_image", {"images": [{"name": "debian", "layers": [LAYER], "digest": LAYER}]}),
    ("base_image", {"images": [{"name": "debian", "layers": [LAYER] * 501}]}),
    ("provenance", {}),
    ("provenance", {"builders": []}),
    ("provenance", {"builders": ["https://ci.example"]}),
    ("provenance", {"builders": [{"id": "https://ci.example"}]}),
    ("provenance", {"builders": [{"keys": [KEY]}]}),
    ("provenance", {"builders": [{"id": "", "keys": [KEY]}]}),
    ("provenance", {"builders": [{"id": "https://ci.example", "keys": []}]}),
    ("provenance", {"builders": [{"id": "https://ci.example", "keys": ["sha256:00"]}]}),
    ("provenance", {"builders": BUILDERS, "sources": []}),
    ("provenance", {"builders": BUILDERS, "bases": ["debian:13"]}),
    ("provenance", {"builders": BUILDERS, "max_age_days": 0}),
    ("runs_as_root", {"named": "reject"}),
    ("database_age", {}),
    ("database_age", {"hours": 0}),
    ("database_age", {"hours": "24"}),
    ("at_risk", {}),
    ("at_risk", {"SEVERE": "3d"}),
    ("at_risk", {"HIGH": "30m"}),
    ("at_risk", {"HIGH": 14}),
    ("at_risk", {"HIGH": "14"}),
    ("vex", {}),
    ("vex", {"authors": []}),
    ("vex", {"authors": ["Acme"]}),
    ("vex", {"authors": [{"keys": []}]}),
    ("vex", {"authors": [{"name": ""}]}),
    ("vex", {"authors": [{"name": "Acme", "keys": KEY}]}),
    ("vex", {"authors": [{"name": "Acme", "keys": ["sha256:00"]}]}),
    ("vex", {"authors": [{"name": "Acme", "key": KEY}]}),
    ("reference_2022", {"HIGH": -1}),
    ("reference_2022", {"UNTRIAGED": 0}),
    ("expression", {}),
    ("expression", {"when": "true"}),
    ("expression", {"when": 7, "message": "x"}),
    ("expression", {"when": "true", "message": ""}),
    ("expression", {"when": "true", "message": "x" * 501}),
]
ONLY_REFUSED_BY_RULES: list[tuple[str, dict[str, Any], str]] = [
    ("max_findings", {"UNTRIAGED": 5, "untriaged_counts_as": "HIGH"}, "UNTRIAGED: the limit has no effect"),
    ("max_findings", {"HIGH": 0, "grace_days": {"SEVERE": 3}}, "grace_days.SEVERE: unknown key; allowed here: CRIT"),
    (
        "forbidden_packages",
        {"packages": ["pkg:npm/a", {"purl": "pkg:npm/a", "versions": "vers:pypi/<1"}]},
        'packages.1.versions: "vers:pypi/<1" is not allowed; allowed: a range of the pattern\'s type, vers:npm/…',
    ),
    (
        "forbidden_packages",
        {"packages": [{"purl": "pkg:npm/a", "versions": "vers:npm/<1|>1"}]},
        'packages.0.versions: "vers:npm/<1|>1" is not allowed; allowed: a VERS range, such as vers:npm',
    ),
    (
        "vex",
        {"authors": [{"name": "Acme", "keys": [KEY.replace("MCo=", "…")]}]},
        "authors.0.keys.0: ",
    ),
    ("expression", {"when": "findings.size()", "message": "x"}, "when: the expression is of type INT"),
]


@pytest.mark.parametrize(("name", "settings"), WRONG)
def test_the_schema_refuses_settings_that_a_rule_refuses(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError) as refusal:
        complete_settings(BY_NAME[name], settings)
    key = str(refusal.value).partition(": ")[0].partition(".")[0]
    assert key in {name, "action", *BY_NAME[name].schema["properties"], *settings}
    assert "allowed" in str(refusal.value) or " set " in str(refusal.value) or "at most" in str(refusal.value)
    assert not _make_validator().is_valid({name: settings})


def test_every_rule_has_refused_settings() -> None:
    assert {name for name, _ in WRONG} == set(BY_NAME)


@pytest.mark.parametrize(("name", "settings", "error"), ONLY_REFUSED_BY_RULES)
def test_rules_refuse_more_than_the_schema(name: str, settings: dict[str, Any], error: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        complete_settings(BY_NAME[name], settings)
    assert str(refusal.value).startswith(error)


def test_a_nested_key_is_refused_with_its_line() -> None:
    text = "forbidden_packages:\n  packages:\n    - pkg:npm/a\n    - purl: pkg:npm/b\n      versions: <1\n"
    with pytest.raises(DefinitionError, match=r"^ours\.yaml:5: forbidden_packages\.packages\.1\.versions: "):
        read_named_policy(text, "ours", RULES)
