"""Who counts as a contributor: by name as the server knows it, by e-mail address however it is spelt."""

import pytest

from dockgate.delivery.contributors import HAS_NO_EMAIL, IS_CONTRIBUTOR, Contributors, normalize_email
from dockgate.delivery.trigger import add_retrier, list_starters, make_manual_trigger
from dockgate.identity.model import Principal, Role


def make_approver(name: str, email: str | None = None) -> Principal:
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
        (["no-address"], "no-address"),
        ([""], ""),
    ],
)
def test_spellings_of_one_mailbox_are_one_address(spellings: list[str], mailbox: str) -> None:
    assert {normalize_email(spelling) for spelling in spellings} == {mailbox}
    assert normalize_email(mailbox) == mailbox


def test_dots_tell_mailboxes_apart_but_at_google() -> None:
    assert normalize_email("a.da@example.org") != normalize_email("ada@example.org")


@pytest.mark.parametrize(
    "principal",
    [
        make_approver("mallory", "mallory@example.org"),
        make_approver("mallory"),
        make_approver("second", "MALLORY+second@example.org"),
        make_approver("author", "ada@example.org"),
        make_approver("Ada@Example.org", "other@example.org"),
    ],
)
def test_a_contributor_may_not_approve_under_any_of_their_names(principal: Principal) -> None:
    contributors = Contributors.from_names(["mallory", ""], ["Ada@example.org", "mallory@example.org", ""])
    assert contributors.find_objection(principal) == f"{principal.name} {IS_CONTRIBUTOR}"


def test_an_image_with_unknown_contributors_cannot_be_approved() -> None:
    unknown = Contributors.from_names([], [], "git log failed")
    assert (
        unknown.find_objection(make_approver("ben", "ben@example.org"))
        == "the contributors are unknown: git log failed"
    )
    assert Contributors().find_objection(make_approver("ben", "ben@example.org")) is None
    assert Contributors().find_objection(make_approver("ben")) == f"ben {HAS_NO_EMAIL}"


def test_an_invalid_address_excludes_no_principal() -> None:
    contributors = Contributors.from_names(["local"], ["local", "root"])
    assert contributors.names_and_emails == ("local",)
    assert contributors.find_objection(make_approver("root", "root@example.org")) is None


def test_everybody_who_started_an_execution_is_known() -> None:
    trigger = add_retrier(add_retrier(add_retrier(make_manual_trigger("ada"), "ben"), "ada"), "ben")
    assert trigger == {"cause": "started by hand", "started_by": "ada", "retried_by": "ben,ada"}
    assert list_starters(trigger) == ("ada", "ben")
    assert list_starters({"repository": "web", "by": "dev"}) == ("dev",)
    assert list_starters(add_retrier(make_manual_trigger(""), "")) == ()
