import pytest

from dockgate.gate import rules
from dockgate.gate.definitions.policy import BUILTIN, builtin, completed, policy
from dockgate.gate.policy import encode_policy, make_policy
from dockgate.shared import canonical
from dockgate.shared.errors import DefinitionError, NotFoundError

RULES = rules.load()

SELECTION = {
    "scope": "image",
    "only_fixable": False,
    "grace_days": 0,
    "grace_from": "advisory",
    "baseline": "none",
    "untriaged_counts_as": "any",
}
EVIDENCE = {
    "unread": "undetermined",
    "uncomparable": "undetermined",
    "uncovered": "undetermined",
    "stale": "undetermined",
    "stale_after_days": 7,
}


def test_the_default_policy_has_the_designs_numbers() -> None:
    assert builtin("default", RULES).rules == {
        "max_findings": (
            {
                "CRITICAL": 0,
                "HIGH": 0,
                "MEDIUM": 10,
                "LOW": 15,
                **SELECTION,
                "only_fixable": True,
                "untriaged_counts_as": "HIGH",
                "action": "reject",
            },
        ),
        "exploited": ({"past_due": False, "max": 0, **SELECTION, "action": "reject"},),
        "malicious": ({},),
        "evidence": (EVIDENCE,),
    }


@pytest.mark.parametrize("name", BUILTIN)
def test_every_builtin_policy_reads(name: str) -> None:
    assert builtin(name, RULES).name == name


def test_an_unknown_policy_is_told_with_those_that_exist() -> None:
    with pytest.raises(NotFoundError, match="'strict'") as missing:
        builtin("strict", RULES)
    assert missing.value.advice == "Policies that exist: default, reference-2022."


def test_a_policy_is_filled_in_with_defaults_and_with_the_rules_that_always_hold() -> None:
    read = policy("max_findings:\n  HIGH: 3\nevidence:\n  unread: allow\n", "ours", RULES)
    assert read.rules == {
        "max_findings": ({"HIGH": 3, **SELECTION, "action": "reject"},),
        "malicious": ({},),
        "evidence": ({**EVIDENCE, "unread": "allow"},),
    }


def test_equal_policies_have_equal_digests_however_they_are_written() -> None:
    one = policy("max_findings: {HIGH: 3, LOW: 0x0}\nmalicious:\n", "ours", RULES)
    other = policy("# ours\nmalicious: {}\nmax_findings:\n  LOW: 0\n  HIGH: 3\n  only_fixable: false\n", "ours", RULES)
    assert one == other
    assert canonical.encode(one) == canonical.encode(other)
    assert one.digest == canonical.digest(encode_policy(other))


def test_another_name_or_number_is_another_digest() -> None:
    texts = [("max_findings: {HIGH: 3}", "a"), ("max_findings: {HIGH: 3}", "b"), ("max_findings: {HIGH: 4}", "a")]
    assert len({policy(text, name, RULES).digest for text, name in texts}) == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "# ours\nmax_findings:\n  HIGH: 0\n  HIHG: 0\n",
            "policy.yaml:4: max_findings.HIHG: unknown key; allowed here: CRITICAL, HIGH, MEDIUM, LOW, INFORMATIONAL, "
            "UNTRIAGED, total, scope, only_fixable, grace_days, grace_from, baseline, untriaged_counts_as, action",
        ),
        ("malicious:\n  acton: warn\n", "policy.yaml:2: malicious.acton: unknown key; allowed here: "),
        (
            "malicious: {}\nmax_findings:\n  HIGH: none\n",
            'policy.yaml:3: max_findings.HIGH: "none" is not allowed; allowed: a whole number, 0 or more',
        ),
        ("malicious: {}\nmax_findings:\n", "policy.yaml:2: max_findings: no limit is set; set one or more of: "),
        ("max_finding:\n  HIGH: 0\n", "policy.yaml:1: max_finding: unknown rule; allowed here: "),
        ("evidence: 7\n", "policy.yaml:1: evidence: the settings of a rule are a mapping"),
        ("evidence: []\n", "policy.yaml:1: evidence: the list of settings is empty"),
        ("", "policy.yaml:1: a policy is a mapping from rules to their settings; rules: "),
        ("- max_findings\n", "policy.yaml:1: a policy is a mapping"),
        ("{}", "policy.yaml:1: a policy is a mapping"),
    ],
)
def test_a_mistake_is_told_with_file_line_key_and_what_is_allowed(text: str, told: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        policy(text, "ours", RULES, file="policy.yaml")
    assert str(refusal.value).startswith(told)


def test_the_file_is_named_after_the_policy_unless_said_otherwise() -> None:
    with pytest.raises(DefinitionError, match=r"^ours\.yaml:1: "):
        policy("", "ours", RULES)


def test_a_rule_may_hold_several_times_each_with_an_action_of_its_own() -> None:
    read = policy("max_findings:\n- {HIGH: 0}\n- {LOW: 5, action: warn}\n", "ours", RULES)
    assert [(use.get("LOW"), use["action"]) for use in read.rules["max_findings"]] == [(None, "reject"), (5, "warn")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_findings:\n- {HIGH: 0}\n- {LOW: 5, action: stop}\n", r"ours.yaml:3: max_findings.1.action: 'stop'"),
        ("malicious: {action: note}\n", r"ours.yaml:1: malicious.action: unknown key"),
        ("max_findings: []\n", r"ours.yaml:1: max_findings: the list of settings is empty"),
    ],
)
def test_a_wrong_action_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        policy(text, "ours", RULES)


WHOLE = """\
kind: Policy
name: strict
rules:
  max_findings:
    HIGH: 0
"""


def test_a_policy_may_be_a_whole_document() -> None:
    bare = policy("max_findings:\n  HIGH: 0\n", "strict", RULES)
    assert policy(WHOLE, "strict", RULES) == bare


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("HIGH: 0", "HIHG: 0"), "strict.yaml:5: rules.max_findings.HIHG: unknown key"),
        (("name: strict", "name: other"), "strict.yaml:2: name: this is the policy 'other'"),
        (("name: strict", "name: a/b"), "strict.yaml:2: name: 'a/b' is no name"),
        (("kind: Policy", "kind: Pipeline"), "strict.yaml:1: kind: unknown kind"),
        (("rules:", "rulse:"), "strict.yaml:3: rulse: unknown key"),
    ],
)
def test_errors_in_a_whole_document_have_their_line(change: tuple[str, str], said: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        policy(WHOLE.replace(*change), "strict", RULES)
    assert str(raised.value).startswith(said)


def test_rules_that_always_hold_are_added_to_a_policy_of_before_they_did() -> None:
    whole = policy(WHOLE, "strict", RULES)
    before = make_policy("strict", {"max_findings": whole.rules["max_findings"]})
    assert completed(before, RULES) == whole
