from dataclasses import replace

import pytest
from tests.gate.gating import CHECKED, NOW, inventory, package

from dockgate.gate.model import NonBlockingViolation, RuleAction, Violation
from dockgate.gate.rule import Facts
from dockgate.gate.rules.evidence import RULE
from dockgate.scanner.model import Inventory, Unread
from dockgate.shared.errors import DefinitionError
from dockgate.vulnerabilities.model import Coverage, Matches, Undetermined

FRESH = (Coverage("npm", True, (), CHECKED),)


def judge(
    judged: Inventory, *undetermined: Undetermined, coverage: tuple[Coverage, ...] = FRESH, **settings: object
) -> list[object]:
    facts = Facts(judged, Matches((), undetermined), coverage, NOW)
    return list(RULE.judge(facts, RULE.settings(settings)))


def checked(at: str) -> tuple[Coverage, ...]:
    return (Coverage("npm", True, (), at),)


def test_what_could_not_be_read_is_undetermined() -> None:
    torn = inventory(package("a"), unread=(Unread("app/x", "The file ends too early."),))
    assert judge(torn) == [Undetermined("app/x", "The file ends too early.", "unread")]
    assert judge(torn, unread="allow") == []
    assert judge(torn, unread="reject") == [Violation("evidence", "The file ends too early.")]
    assert judge(torn, unread="warn") == [
        NonBlockingViolation(RuleAction.WARN, Violation("evidence", "The file ends too early."))
    ]


def test_an_image_in_which_nothing_was_found_is_undetermined() -> None:
    (said,) = judge(inventory())
    assert isinstance(said, Undetermined)
    assert (said.subject, said.kind) == ("/", "unread")
    assert judge(inventory(), unread="allow") == []


@pytest.mark.parametrize("kind", ["uncomparable", "uncovered"])
def test_what_matching_could_not_say_is_undetermined_and_relaxed_kind_by_kind(kind: str) -> None:
    doubt = Undetermined("pkg:npm/a@1.0.0", "It cannot be said.", kind)
    other = {"uncomparable": "uncovered", "uncovered": "uncomparable"}[kind]
    assert judge(inventory(package("a")), doubt) == [doubt]
    assert judge(inventory(package("a")), doubt, **{other: "allow", "unread": "allow"}) == [doubt]
    assert judge(inventory(package("a")), doubt, **{kind: "allow"}) == []


def test_an_ecosystem_may_be_without_a_feed_by_name() -> None:
    of_docker = Undetermined("vendor:docker.com", "There is no feed for vendor:docker.com.", "uncovered")
    of_java = Undetermined("Java runtime", "There is no feed for Java runtime.", "uncovered")
    found = judge(inventory(package("a")), of_docker, of_java, no_feed_for=["vendor:docker.com", "npm"])
    assert found == [NonBlockingViolation(RuleAction.NOTE, Violation("evidence", of_docker.reason)), of_java]
    partial = Undetermined("npm", "The feed for npm is partial and does not speak of many.", "uncovered")
    assert judge(inventory(package("a")), partial, no_feed_for=["npm"]) == [partial]
    other = Undetermined("vendor:docker.com", "It cannot be read.", "unread")
    assert judge(inventory(package("a")), other, no_feed_for=["vendor:docker.com"]) == [other]


def test_a_doubt_of_no_known_kind_cannot_be_relaxed() -> None:
    doubt = Undetermined("database", "It cannot be said.")
    everything = dict.fromkeys(("unread", "uncomparable", "uncovered", "stale"), "allow")
    assert judge(inventory(package("a")), doubt, **everything) == [doubt]


@pytest.mark.parametrize("at", ["2026-11-17T12:00:01Z", "2026-11-24T12:00:00Z", "2026-11-25T11:00:00Z", "2026-11-20"])
def test_a_feed_checked_within_the_days_allowed_is_believed(at: str) -> None:
    assert judge(inventory(package("a")), coverage=checked(at)) == []


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("2026-11-17T12:00:00Z", "last checked 7 days ago, at 2026-11-17T12:00:00Z; it is stale after 7 days"),
        ("2026-01-01T00:00:00Z", "last checked 327 days ago"),
        ("2026-11-26T00:00:00Z", "last checked in the future"),
        ("", "does not say when it was last checked"),
        ("yesterday", "does not say when it was last checked"),
    ],
)
def test_a_stale_feed_is_undetermined_and_the_command_that_mends_it_is_named(at: str, told: str) -> None:
    (said,) = judge(inventory(package("a")), coverage=checked(at))
    assert isinstance(said, Undetermined)
    assert (said.subject, said.kind) == ("npm", "stale")
    assert told in said.reason
    assert "`dockgate db update`" in said.reason


def test_the_days_are_the_policys_to_set() -> None:
    month_old = checked("2026-10-25T12:00:00Z")
    assert judge(inventory(package("a")), coverage=month_old, stale_after_days=31) == []
    assert judge(inventory(package("a")), coverage=month_old, stale_after_days=30) != []


def test_only_feeds_that_the_image_needs_can_be_stale() -> None:
    stale = (*FRESH, Coverage("Debian:13", True, (), ""), Coverage("PyPI", True, (), ""))
    owned = replace(package("b"), ecosystem="PyPI", owner="python3-b")
    assert judge(inventory(package("a"), owned), coverage=stale) == []


@pytest.mark.parametrize(
    ("settings", "told"),
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
def test_a_wrong_setting_is_refused_with_what_is_allowed(settings: dict[str, object], told: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        RULE.settings(settings)
    assert str(refusal.value).startswith(told)


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("2026-11-17T12:00:00Z", "was made 7 days ago, at 2026-11-17T12:00:00Z; it is stale after 7 days"),
        ("", "does not say when it was made"),
        ("2027-01-01T00:00:00Z", "in the future"),
    ],
)
def test_another_scanners_findings_grow_old(at: str, told: str) -> None:
    facts = Facts(inventory(package("a")), Matches((), ()), (), NOW, is_external=True, source="trivy", at=at)
    (said,) = RULE.judge(facts, RULE.settings({}))
    assert isinstance(said, Undetermined)
    assert (said.subject, said.kind) == ("trivy", "stale")
    assert told in said.reason


def test_another_scanners_fresh_report_may_name_no_package() -> None:
    facts = Facts(inventory(), Matches((), ()), (), NOW, is_external=True, source="trivy", at=CHECKED)
    assert list(RULE.judge(facts, RULE.settings({}))) == []
