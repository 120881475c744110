"""Who counts as a contributor: by name as the server knows it, by e-mail address however it is spelt."""

import pytest

from dockgate.delivery.contributors import Contributors, normalized
from dockgate.delivery.pipeline import retried, started_by_hand, starters
from dockgate.identity.model import Principal, Role


def approver(name: str, email: str = "") -> Principal:
    return Principal(name, (Role.APPROVER,), email)


@pytest.mark.parametrize(
    ("spellings", "mailbox"),
    [
        (["Ada@Example.org", " ada@example.org ", "<ada@example.org>", "ada+git@example.org."], "ada@example.org"),
        (["a.d.a@gmail.com", "ADA+x+y@googlemail.com"], "ada@gmail.com"),
        (["ada@münchen.example", "ADA@xn--mnchen-3ya.example"], "ada@xn--mnchen-3ya.example"),
        (["ａｄａ@example.org"], "ada@example.org"),
        (["+tag@example.org"], "+tag@example.org"),
        (["ada@" + "x" * 70 + ".example"], "ada@" + "x" * 70 + ".example"),
        (["nobody"], "nobody"),
        ([""], ""),
    ],
)
def test_spellings_of_one_mailbox_are_one_address(spellings: list[str], mailbox: str) -> None:
    assert {normalized(one) for one in spellings} == {mailbox}
    assert normalized(mailbox) == mailbox


def test_dots_tell_mailboxes_apart_but_at_google() -> None:
    assert normalized("a.da@example.org") != normalized("ada@example.org")


@pytest.mark.parametrize(
    "principal",
    [
        approver("mallory", "mallory@example.org"),
        approver("mallory"),
        approver("second", "MALLORY+second@example.org"),
        approver("author", "ada@example.org"),
        approver("Ada@Example.org", "other@example.org"),
    ],
)
def test_a_contributor_may_not_approve_under_any_of_their_names(principal: Principal) -> None:
    found = Contributors.of(["mallory", ""], ["Ada@example.org", "mallory@example.org", ""])
    assert "is the committer, pushed part of it" in found.objection(principal)


def test_nobody_approves_what_it_is_not_known_who_contributed_to() -> None:
    unknown = Contributors.of([], [], "git log failed")
    assert unknown.objection(approver("ben", "ben@example.org")) == "it is not known who contributed: git log failed"
    assert Contributors().objection(approver("ben", "ben@example.org")) == ""
    assert "no e-mail address" in Contributors().objection(approver("ben"))


def test_an_address_that_is_none_excludes_nobody() -> None:
    found = Contributors.of(["local"], ["local", "root"])
    assert found.listed == ("local",)
    assert found.objection(approver("root", "root@example.org")) == ""


def test_everybody_who_started_an_execution_is_known() -> None:
    trigger = retried(retried(retried(started_by_hand("ada"), "ben"), "ada"), "ben")
    assert trigger == {"cause": "started by hand", "started_by": "ada", "retried_by": "ben,ada"}
    assert starters(trigger) == ("ada", "ben")
    assert starters({"repository": "web", "by": "dev"}) == ("dev",)
    assert starters(retried(started_by_hand(""), "")) == ()
