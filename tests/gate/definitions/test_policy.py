import pytest

from dockgate.gate import rules
from dockgate.gate.definitions.policy import BUILTIN, add_mandatory_rules, read_builtin_policy, read_named_policy
from dockgate.gate.policy import encode_policy, make_policy
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
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


def test_the_default_policy_has_the_documented_limits() -> None:
    assert read_builtin_policy("default", RULES).rules == {
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
def test_every_builtin_policy_is_valid(name: str) -> None:
    assert read_builtin_policy(name, RULES).name == name


def test_an_unknown_policy_is_refused_with_those_that_exist() -> None:
    with pytest.raises(NotFoundError, match="'strict'") as error:
        read_builtin_policy("strict", RULES)
    assert error.value.advice == "Policies that exist: default, reference-2022."


def test_a_policy_gets_defaults_and_mandatory_rules() -> None:
    read = read_named_policy("max_findings:\n  HIGH: 3\nevidence:\n  unread: allow\n", "ours", RULES)
    assert read.rules == {
        "max_findings": ({"HIGH": 3, **SELECTION, "action": "reject"},),
        "malicious": ({},),
        "evidence": ({**EVIDENCE, "unread": "allow"},),
    }


def test_equal_policies_have_equal_digests_whatever_their_spelling() -> None:
    compact = read_named_policy("max_findings: {HIGH: 3, LOW: 0x0}\nmalicious:\n", "ours", RULES)
    verbose = read_named_policy(
        "# ours\nmalicious: {}\nmax_findings:\n  LOW: 0\n  HIGH: 3\n  only_fixable: false\n", "ours", RULES
    )
    assert compact == verbose
    assert canonical.encode(compact) == canonical.encode(verbose)
    assert compact.digest == compute_digest(encode_policy(verbose))


def test_a_different_name_or_number_gives_another_digest() -> None:
    texts = [("max_findings: {HIGH: 3}", "a"), ("max_findings: {HIGH: 3}", "b"), ("max_findings: {HIGH: 4}", "a")]
    assert len({read_named_policy(text, name, RULES).digest for text, name in texts}) == 3


@pytest.mark.parametrize(
    ("text", "error"),
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
        ("evidence: 7\n", "policy.yaml:1: evidence: the settings of a rule must be a mapping"),
        ("evidence: []\n", "policy.yaml:1: evidence: the list of settings is empty"),
        ("evidence:\n" + "  - {}\n" * 101, "policy.yaml:1: evidence: the rule is used 101 times, at most 100"),
        ("", "policy.yaml:1: a policy is a mapping from rules to their settings; rules: "),
        ("- max_findings\n", "policy.yaml:1: a policy is a mapping"),
        ("{}", "policy.yaml:1: a policy is a mapping"),
    ],
)
def test_a_mistake_is_refused_with_file_line_key_and_allowed_values(text: str, error: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        read_named_policy(text, "ours", RULES, file="policy.yaml")
    assert str(refusal.value).startswith(error)


def test_errors_name_the_file_after_the_policy_by_default() -> None:
    with pytest.raises(DefinitionError, match=r"^ours\.yaml:1: "):
        read_named_policy("", "ours", RULES)


def test_a_rule_may_be_used_several_times_with_different_actions() -> None:
    read = read_named_policy("max_findings:\n- {HIGH: 0}\n- {LOW: 5, action: warn}\n", "ours", RULES)
    assert [(use.get("LOW"), use["action"]) for use in read.rules["max_findings"]] == [(None, "reject"), (5, "warn")]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("max_findings:\n- {HIGH: 0}\n- {LOW: 5, action: stop}\n", r"ours.yaml:3: max_findings.1.action: 'stop'"),
        ("malicious: {action: note}\n", r"ours.yaml:1: malicious.action: unknown key"),
        ("max_findings: []\n", r"ours.yaml:1: max_findings: the list of settings is empty"),
    ],
)
def test_a_wrong_action_is_refused_with_its_line(text: str, error: str) -> None:
    with pytest.raises(DefinitionError, match=error):
        read_named_policy(text, "ours", RULES)


DOCUMENT = """\
kind: Policy
name: strict
rules:
  max_findings:
    HIGH: 0
"""


def test_a_policy_may_be_a_document() -> None:
    bare = read_named_policy("max_findings:\n  HIGH: 0\n", "strict", RULES)
    assert read_named_policy(DOCUMENT, "strict", RULES) == bare


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("HIGH: 0", "HIHG: 0"), "strict.yaml:5: rules.max_findings.HIHG: unknown key"),
        (("name: strict", "name: other"), "strict.yaml:2: name: this is the policy 'other'"),
        (("name: strict", "name: a/b"), "strict.yaml:2: name: 'a/b' is not a policy name"),
        (("kind: Policy", "kind: Pipeline"), "strict.yaml:1: kind: unknown kind"),
        (("rules:", "rulse:"), "strict.yaml:3: rulse: unknown key"),
    ],
)
def test_errors_in_a_document_have_their_line(change: tuple[str, str], error: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        read_named_policy(DOCUMENT.replace(*change), "strict", RULES)
    assert str(refusal.value).startswith(error)


def test_new_mandatory_rules_are_added_to_stored_policies() -> None:
    complete = read_named_policy(DOCUMENT, "strict", RULES)
    stored_policy = make_policy("strict", {"max_findings": complete.rules["max_findings"]})
    assert add_mandatory_rules(stored_policy, RULES) == complete
