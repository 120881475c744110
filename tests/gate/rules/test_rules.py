"""The contract of all rules as plugins."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.gate.samples import CHECKED, NOW, make_inventory, make_package

from dockgate.gate import rules
from dockgate.gate.policy import compute_fingerprint
from dockgate.gate.provenance import BUILD_TYPE, ProvenanceFacts, ProvenanceStatement
from dockgate.gate.rule import Rule, RuleInput
from dockgate.scanner.model import Distribution
from dockgate.shared.errors import DefinitionError, DockgateError
from dockgate.vulnerabilities.model import Coverage, Matches

RULES = rules.load()
BUILDER = "https://ci.example/builder"
KEY = "-----BEGIN PUBLIC KEY-----\nMCo=\n-----END PUBLIC KEY-----\n"
NEEDED: dict[str, dict[str, object]] = {"max_findings": {"HIGH": 0}, "cvss": {"score": 7}, "epss": {"score": 0.5}}
NEEDED |= {"image_age": {"days": 30}, "database_age": {"hours": 24}, "base_image": {"allowed": ["**"]}}
NEEDED |= {"provenance": {"builders": [{"id": BUILDER, "keys": [KEY]}]}}
WHEN = "findings.size() > 5 && packages.size() > 5 || image.user == 'x'"
NEEDED |= {"expression": {"when": WHEN, "message": "Too many"}}
NEEDED |= {"forbidden_packages": {"packages": ["pkg:npm/x"]}, "vex": {"authors": [{"name": "Acme"}]}}
NEEDED |= {"at_risk": {"CRITICAL": "3d"}}
# The required settings by rule.


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
class TestEveryRule:
    def test_complete_settings_are_unchanged(self, rule: Rule) -> None:
        full = rule.parse_settings(NEEDED.get(rule.name, {}))
        assert rule.parse_settings(full) == full

    def test_raw_settings_are_not_modified(self, rule: Rule) -> None:
        raw = dict(NEEDED.get(rule.name, {}))
        rule.parse_settings(raw)
        assert raw == NEEDED.get(rule.name, {})

    def test_an_unknown_key_is_refused_by_name(self, rule: Rule) -> None:
        with pytest.raises(DefinitionError, match=r"^colour: unknown key; allowed here: "):
            rule.parse_settings({**NEEDED.get(rule.name, {}), "colour": "red"})

    def test_mandatory_settings_are_valid(self, rule: Rule) -> None:
        assert rule.mandatory_settings is None or isinstance(rule.parse_settings(rule.mandatory_settings), dict)

    def test_texts_of_an_image_that_are_not_unicode_are_judged(self, rule: Rule) -> None:
        odd = "a\udcff"  # a byte that is not UTF-8
        inventory = make_inventory(make_package(odd, version=f"1{odd}", path=f"app/{odd}/package.json"))
        distribution = Distribution(odd, odd, odd, (odd,))
        strange = replace(inventory, distribution=distribution, base=odd, created=odd, user=odd, platform=odd)
        list(rule.judge(RuleInput(strange, Matches((), ()), (), NOW), rule.parse_settings(NEEDED.get(rule.name, {}))))

    def test_a_clean_image_has_no_violation(self, rule: Rule) -> None:
        clean = replace(
            make_inventory(make_package("a")),
            distribution=Distribution("debian", "13"),
            base="docker.io/library/debian:13",
            created="2026-11-01T00:00:00Z",
            user="1000",
        )
        statement = ProvenanceStatement("sha256:" + "5" * 64, (compute_fingerprint(KEY) or "",), BUILDER, BUILD_TYPE)
        facts = RuleInput(clean, Matches((), ()), (Coverage("npm", True, (), CHECKED),), NOW)
        facts = replace(facts, provenance=ProvenanceFacts(clean.image_digest, (statement,)))
        assert list(rule.judge(facts, rule.parse_settings(NEEDED.get(rule.name, {})))) == []


def test_rules_are_loaded_from_their_folder() -> None:
    modules = {path.stem for path in Path(rules.__file__).parent.glob("[!_]*.py")}
    assert {rule.name for rule in RULES} == modules


@pytest.mark.parametrize(
    ("module", "content", "error"),
    [
        ("torn", "import nowhere_to_be_found", "does not import: .*nowhere_to_be_found"),
        ("empty", "RULES = 1", "declares no object RULE"),
    ],
)
def test_a_rule_that_fails_to_load_is_an_error(
    module: str, content: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package_name = f"rules_with_{module}"
    folder = tmp_path / package_name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / f"{module}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DockgateError, match=f"{package_name}.{module} {error}"):
        rules.load(package_name)
