"""Each rule says in words what an image must satisfy under its settings."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.rules.test_rules import BUILDER, KEY, NEEDED
from tests.gate.test_whole_gate_properties import SETTINGS

from dockgate.gate import rules
from dockgate.gate.definitions.policy import read_builtin_policy
from dockgate.gate.model import RuleAction
from dockgate.gate.policy import make_policy
from dockgate.gate.rule_descriptions import describe_rules

RULES = {rule.name: rule for rule in rules.load()}
BASE = "sha256:" + "1" * 64
UNTRIAGED_AS_HIGH = (
    "Findings without a severity (UNTRIAGED) count as HIGH; if they could exceed another limit, the image is "
    "Undetermined."
)
UNSCORED = "A finding without a score makes the image Undetermined if it could exceed the limit."
DESCRIPTIONS: list[tuple[str, dict[str, object], list[str]]] = [
    (
        "max_findings",
        {"CRITICAL": 0, "HIGH": 1, "only_fixable": True},
        [
            "At most 0 CRITICAL findings that have a fix.",
            "At most 1 HIGH finding that has a fix.",
            UNTRIAGED_AS_HIGH,
        ],
    ),
    ("max_findings", {"total": 9}, ["At most 9 findings of all severities together."]),
    (
        "max_findings",
        {"LOW": 2, "scope": "own", "baseline": "running", "grace_days": 0.5, "untriaged_counts_as": "LOW"},
        [
            "At most 2 LOW findings in own layers that the running image does not have; each counts only from 0.5 "
            "days after the advisory was published.",
            "Findings without a severity (UNTRIAGED) count as LOW.",
        ],
    ),
    (
        "max_findings",
        {
            "UNTRIAGED": 3,
            "total": 9,
            "scope": "base",
            "only_fixable": True,
            "baseline": "approved",
            "grace_days": {"UNTRIAGED": 1, "LOW": 30},
            "grace_from": "fix",
        },
        [
            "At most 3 UNTRIAGED findings in the base image that have a fix and that the last approved image does not "
            "have; each counts only from 1 day after a fix was published.",
            "At most 9 findings of all severities together in the base image that have a fix and that the last "
            "approved image does not have; each counts only some time after a fix was published: LOW 30 days, "
            "UNTRIAGED 1 day.",
        ],
    ),
    ("cvss", {"score": 7.5, "max": 1}, ["At most 1 finding of CVSS 7.5 or more.", UNSCORED]),
    (
        "epss",
        {"score": 0.5, "percentile": 0.9, "unscored": "count"},
        ["At most 0 findings of EPSS 0.5 or EPSS percentile 0.9 or more.", "A finding without a score counts."],
    ),
    (
        "exploited",
        {"past_due": True, "only_fixable": True},
        ["At most 0 findings known to be exploited, past the due date, that have a fix."],
    ),
    ("malicious", {}, ["No package that is known to be malicious."]),
    ("image_age", {"days": 30}, ["The image was created within 30 days."]),
    (
        "database_age",
        {"hours": 1},
        ["Each feed that the verdict uses was checked within 1 hour; otherwise the image is Undetermined."],
    ),
    (
        "base_image",
        {"allowed": ["docker.io/library/debian:*", "registry.example/base"]},
        ["The base image is named docker.io/library/debian:* or registry.example/base."],
    ),
    (
        "base_image",
        {"images": [{"name": "debian:13", "layers": [BASE], "until": "2026-12-31T00:00:00Z"}]},
        ["The lowest layers are exactly those of debian:13 until 2026-12-31T00:00:00Z."],
    ),
    (
        "end_of_life",
        {"within_days": 90, "unknown": "allow"},
        [
            "The distribution's release is supported for 90 more days.",
            "An image whose end of support is unknown is allowed.",
        ],
    ),
    (
        "runs_as_root",
        {},
        ["The image does not start as root.", "A user that is named without a number is Undetermined."],
    ),
    (
        "evidence",
        {"unread": "reject", "uncovered": "warn", "stale": "allow", "no_feed_for": ["Java runtime", "Vendor"]},
        [
            "An image is Undetermined if a version cannot be compared.",
            "An image is rejected if a file of it cannot be read.",
            "There is a warning if a package has no feed.",
            "It does not matter if a feed was not checked for 7 days.",
            "No feed is needed for Java runtime and Vendor.",
        ],
    ),
    (
        "provenance",
        {
            "builders": [{"id": BUILDER, "keys": [KEY]}],
            "sources": ["git.example/*"],
            "bases": [BASE],
            "max_age_days": 1,
        },
        [
            f"A signed statement says that the image was built by {BUILDER}.",
            "It was built from the source git.example/*.",
            f"It was built on no other base images than {BASE}.",
            "It was built within 1 day.",
        ],
    ),
    (
        "forbidden_packages",
        {
            "packages": [
                "pkg:npm/a",
                {"purl": "pkg:npm/lodash", "versions": "vers:npm/<4.17.21", "reason": "prototype pollution"},
            ]
        },
        ["No package pkg:npm/a or pkg:npm/lodash in vers:npm/<4.17.21 (prototype pollution)."],
    ),
    (
        "expression",
        {"when": "image.user == 'x'", "message": "The user is x."},
        ["Not allowed: The user is x.", "This is the case when `image.user == 'x'`."],
    ),
    (
        "vex",
        {"authors": [{"name": "Acme"}, {"name": "Example"}]},
        ["Findings do not count that a VEX statement by Acme or Example says do not affect the image."],
    ),
    (
        "at_risk",
        {"CRITICAL": "3d", "LOW": 3601},
        ["A running image that is rejected must be replaced in time: CRITICAL 3 days, LOW 3,601 seconds."],
    ),
    (
        "reference_2022",
        {},
        [
            "No CRITICAL finding.",
            "No HIGH finding.",
            "Fewer than 10 MEDIUM findings.",
            "Fewer than 15 LOW findings. Otherwise there is a warning.",
        ],
    ),
]


@pytest.mark.parametrize(
    ("name", "raw", "sentences"), DESCRIPTIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_rule_is_described_in_words(name: str, raw: Mapping[str, object], sentences: list[str]) -> None:
    rule = RULES[name]
    assert list(rule.describe(rule.parse_settings(raw))) == sentences


def test_every_rule_has_a_case_here() -> None:
    assert {name for name, _, _ in DESCRIPTIONS} == RULES.keys()


@pytest.mark.parametrize("name", RULES)
@given(data=st.data())
def test_sentences_are_whole_under_all_settings(name: str, data: st.DataObject) -> None:
    rule = RULES[name]
    raw = data.draw(SETTINGS[name]) if name in SETTINGS else NEEDED.get(name, {})
    sentences = rule.describe(rule.parse_settings({key: value for key, value in raw.items() if key != "action"}))
    assert sentences
    for sentence in sentences:
        assert sentence.endswith(".")
        assert not sentence.endswith("..")
        assert "None" not in sentence


def test_a_policy_is_described_with_its_mandatory_rules_and_the_action_of_each_use() -> None:
    policy = make_policy("brief", {"image_age": [{"days": 30, "action": "warn"}, {"days": 90}]})
    descriptions = describe_rules(policy, tuple(RULES.values()))
    assert [(entry.rule, entry.action) for entry in descriptions] == [
        ("evidence", RuleAction.REJECT),
        ("image_age", RuleAction.WARN),
        ("image_age", RuleAction.REJECT),
        ("malicious", RuleAction.REJECT),
    ]


def test_a_rule_that_does_not_exist_is_described_as_such() -> None:
    policy = make_policy("odd", {"zodiac": [{"sign": "lion"}]})
    *_, last = describe_rules(policy, tuple(RULES.values()))
    assert (last.rule, last.sentences) == ("zodiac", ("This rule does not exist here: no verdict is possible.",))


def test_the_built_in_policy_is_described() -> None:
    policy = read_builtin_policy("default", tuple(RULES.values()))
    sentences = [sentence for entry in describe_rules(policy, tuple(RULES.values())) for sentence in entry.sentences]
    assert "At most 0 CRITICAL findings that have a fix." in sentences
    assert "At most 10 MEDIUM findings that have a fix." in sentences
