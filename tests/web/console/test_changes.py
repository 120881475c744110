"""What changed, in words: every kind of event that the overview shows."""

from typing import Any

from tests.events.test_dockgate_events import list_all_events

from dockgate.events.dockgate_events import make_verdict_changed
from dockgate.events.model import StoredEvent
from dockgate.events.subject import EventSubject
from dockgate.web.console.formats import get_mark
from dockgate.web.console.pages.changes import KINDS, make_change


def test_every_kind_has_a_state_that_people_know_a_sentence_and_a_page() -> None:
    kinds = set()
    for number, event in enumerate(list_all_events()):
        if event.detail_type not in KINDS:
            continue
        body = event.make_envelope()
        stored_event = StoredEvent(
            number, event.id, "dockgate", event.detail_type, event.subject, event.time, None, None, body
        )
        change = make_change(stored_event)
        if change is None:
            assert event.detail_type == "deploy.failed"
            continue
        kinds.add(event.detail_type)
        assert get_mark(change.state).word != "Unknown", event.detail_type
        assert change.subject, event.detail_type
        assert change.sentence, event.detail_type
        assert (change.href or "").startswith("/"), event.detail_type
    assert kinds == set(KINDS)


def test_a_verdict_by_another_policy_than_before_names_both() -> None:
    names = "sha256:" + "a" * 64, "team/app", "crit", "Approved", "Rejected"
    for former, sentence in (("lax", "lax, before crit"), ("crit", "crit"), (None, "crit")):
        event = make_verdict_changed(*names, {}, "2026-11-29T00:00:00.000Z", former_policy=former)
        stored_event = StoredEvent(
            1, event.id, "dockgate", event.detail_type, EventSubject("x"), "", None, None, event.make_envelope()
        )
        change = make_change(stored_event)
        assert change is not None
        assert change.sentence == f"Was Approved by the policy {sentence}."


def test_an_event_without_what_it_should_have_is_left_out() -> None:
    bodies: tuple[dict[str, Any], ...] = ({}, {"detail": None}, {"detail": {}})
    for kind in KINDS:
        for body in bodies:
            assert make_change(StoredEvent(1, "a", "dockgate", kind, EventSubject("x"), "", None, None, body)) is None
