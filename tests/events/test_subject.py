"""The subjects of events: their text, and what matches them."""

import pytest

from dockgate.events.subject import EventSubject, SubjectKind


@pytest.mark.parametrize("text", ["service shop", "service a b", "advisories", "image sha256:1", "", " ", "tag ", " a"])
def test_a_subject_is_read_back_from_its_text(text: str) -> None:
    assert str(EventSubject.parse(text)) == text


def test_a_subject_has_a_kind_and_a_name() -> None:
    assert EventSubject.parse("service a b") == EventSubject(SubjectKind.SERVICE, "a b")
    assert EventSubject.parse("advisories") == EventSubject(SubjectKind.ADVISORIES)


def test_a_subject_matches_itself_and_a_kind_matches_all_of_it() -> None:
    shop = EventSubject.parse("execution shop-1")
    assert shop.is_match(EventSubject.parse("execution shop-1"))
    assert not shop.is_match(EventSubject.parse("execution shop-10"))
    assert EventSubject.parse("execution").is_match(shop)
    assert not shop.is_match(EventSubject.parse("execution"))
    assert not EventSubject.parse("service").is_match(shop)
