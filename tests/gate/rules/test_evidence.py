from dataclasses import replace
from typing import Any

import pytest
from tests.gate.samples import CHECKED, NOW, make_inventory, make_package

from dockgate.gate.model import NonBlockingViolation, RuleAction, Violation
from dockgate.gate.rule import RuleInput
from dockgate.gate.rules.evidence import RULE
from dockgate.scanner.model import Inventory, Unread
from dockgate.shared.errors import DefinitionError
from dockgate.vulnerabilities.model import Coverage, Matches, UndeterminedFact

FRESH = (Coverage("npm", True, (), CHECKED),)


def judge(
    inventory: Inventory,
    *undetermined_entries: UndeterminedFact,
    coverage: tuple[Coverage, ...] = FRESH,
    **settings: object,
) -> list[object]:
    facts = RuleInput(inventory, Matches((), undetermined_entries), coverage, NOW)
    return list(RULE.judge(facts, RULE.parse_settings(settings)))


def make_coverage(at: str | None) -> tuple[Coverage, ...]:
    return (Coverage("npm", True, (), at),)


def test_an_unread_file_is_undetermined_unless_the_policy_relaxes_it() -> None:
    damaged_inventory = make_inventory(make_package("a"), unread_paths=(Unread("app/x", "The file ends too early."),))
    assert judge(damaged_inventory) == [UndeterminedFact("app/x", "The file ends too early.", "unread")]
    assert judge(damaged_inventory, unread="allow") == []
    assert judge(damaged_inventory, unread="reject") == [Violation("evidence", "The file ends too early.")]
    assert judge(damaged_inventory, unread="warn") == [
        NonBlockingViolation(RuleAction.WARN, Violation("evidence", "The file ends too early."))
    ]


def test_an_image_without_packages_is_undetermined() -> None:
    (result,) = judge(make_inventory())
    assert isinstance(result, UndeterminedFact)
    assert (result.subject, result.kind) == ("/", "unread")
    assert judge(make_inventory(), unread="allow") == []


@pytest.mark.parametrize("kind", ["uncomparable", "uncovered"])
def test_matching_problems_are_undetermined_and_relaxed_by_kind(kind: str) -> None:
    entry = UndeterminedFact("pkg:npm/a@1.0.0", "The version cannot be compared.", kind)
    other_kind = {"uncomparable": "uncovered", "uncovered": "uncomparable"}[kind]
    other_settings: dict[str, Any] = {other_kind: "allow", "unread": "allow"}
    exception: dict[str, Any] = {kind: "allow"}
    assert judge(make_inventory(make_package("a")), entry) == [entry]
    assert judge(make_inventory(make_package("a")), entry, **other_settings) == [entry]
    assert judge(make_inventory(make_package("a")), entry, **exception) == []


def test_a_named_ecosystem_may_lack_a_feed() -> None:
    of_docker = UndeterminedFact("vendor:docker.com", "There is no feed for vendor:docker.com.", "uncovered")
    of_java = UndeterminedFact("Java runtime", "There is no feed for Java runtime.", "uncovered")
    results = judge(make_inventory(make_package("a")), of_docker, of_java, no_feed_for=["vendor:docker.com", "npm"])
    assert results == [NonBlockingViolation(RuleAction.NOTE, Violation("evidence", of_docker.reason)), of_java]
    partial = UndeterminedFact("npm", "The feed for npm is partial and omits many.", "uncovered")
    assert judge(make_inventory(make_package("a")), partial, no_feed_for=["npm"]) == [partial]
    unread_entry = UndeterminedFact("vendor:docker.com", "It cannot be read.", "unread")
    assert judge(make_inventory(make_package("a")), unread_entry, no_feed_for=["vendor:docker.com"]) == [unread_entry]


def test_an_entry_without_a_known_kind_cannot_be_relaxed() -> None:
    entry = UndeterminedFact("database", "The version cannot be compared.")
    everything: dict[str, Any] = dict.fromkeys(("unread", "uncomparable", "uncovered", "stale"), "allow")
    assert judge(make_inventory(make_package("a")), entry, **everything) == [entry]


@pytest.mark.parametrize("at", ["2026-11-17T12:00:01Z", "2026-11-24T12:00:00Z", "2026-11-25T11:00:00Z", "2026-11-20"])
def test_a_feed_checked_within_the_allowed_days_is_fresh(at: str) -> None:
    assert judge(make_inventory(make_package("a")), coverage=make_coverage(at)) == []


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("2026-11-17T12:00:00Z", "last checked 7 days ago, at 2026-11-17T12:00:00Z; it is stale after 7 days"),
        ("2026-01-01T00:00:00Z", "last checked 327 days ago"),
        ("2026-11-26T00:00:00Z", "last checked in the future"),
        ("", "does not say when it was last checked"),
        ("yesterday", "does not say when it was last checked"),
    ],
)
def test_a_stale_feed_is_undetermined_with_the_command_that_updates_it(at: str, reason: str) -> None:
    (result,) = judge(make_inventory(make_package("a")), coverage=make_coverage(at))
    assert isinstance(result, UndeterminedFact)
    assert (result.subject, result.kind) == ("npm", "stale")
    assert reason in result.reason
    assert "`dockgate db update`" in result.reason


def test_the_policy_sets_the_allowed_days() -> None:
    month_old = make_coverage("2026-10-25T12:00:00Z")
    assert judge(make_inventory(make_package("a")), coverage=month_old, stale_after_days=31) == []
    assert judge(make_inventory(make_package("a")), coverage=month_old, stale_after_days=30) != []


def test_only_feeds_of_the_images_packages_can_be_stale() -> None:
    stale = (*FRESH, Coverage("Debian:13", True, (), None), Coverage("PyPI", True, (), None))
    owned_package = replace(make_package("b"), ecosystem="PyPI", owner="python3-b")
    assert judge(make_inventory(make_package("a"), owned_package), coverage=stale) == []


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"unread": False}, "unread: false is not allowed; allowed: undetermined, reject, warn, allow"),
        ({"uncovered": "ignore"}, 'uncovered: "ignore" is not allowed; allowed: undetermined, reject, warn, allow'),
        (
            {"age": 7},
            "age: unknown key; allowed here: unread, uncomparable, uncovered, stale, no_feed_for, stale_after_days",
        ),
        ({"no_feed_for": []}, "no_feed_for: [] is not allowed; allowed: a list of ecosystems"),
        ({"no_feed_for": "npm"}, 'no_feed_for: "npm" is not allowed'),
        ({"stale_after_days": 0}, "stale_after_days: 0 is not allowed; allowed: a whole number, 1 or more"),
        ({"stale_after_days": 7.5}, "stale_after_days: 7.5 is not allowed"),
    ],
)
def test_an_invalid_setting_is_refused_with_allowed_values(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        RULE.parse_settings(settings)
    assert str(refusal.value).startswith(reason)


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("2026-11-17T12:00:00Z", "was made 7 days ago, at 2026-11-17T12:00:00Z; it is stale after 7 days"),
        (None, "does not say when it was made"),
        ("2027-01-01T00:00:00Z", "in the future"),
    ],
)
def test_a_report_of_another_scanner_becomes_stale(at: str | None, reason: str) -> None:
    facts = RuleInput(make_inventory(make_package("a")), Matches((), ()), (), NOW, source="trivy", reported_at=at)
    (result,) = RULE.judge(facts, RULE.parse_settings({}))
    assert isinstance(result, UndeterminedFact)
    assert (result.subject, result.kind) == ("trivy", "stale")
    assert reason in result.reason


def test_another_scanners_fresh_report_may_name_no_package() -> None:
    facts = RuleInput(make_inventory(), Matches((), ()), (), NOW, source="trivy", reported_at=CHECKED)
    assert list(RULE.judge(facts, RULE.parse_settings({}))) == []
