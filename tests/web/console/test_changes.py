"""What changed, in words: every kind of event that the overview shows."""

from pathlib import Path
from typing import Any

from tests.events.test_dockgate_events import list_all_events
from tests.store.factories import LATER, NOW, open_store_of_kind

from dockgate.events.dockgate_events import make_service_unhealthy, make_verdict_changed
from dockgate.events.model import NewEvent, StoredEvent
from dockgate.events.subject import EventSubject
from dockgate.identity.model import Caller, Principal, Role
from dockgate.web.console.formats import get_mark
from dockgate.web.console.pages.changes import KINDS, MAX_READ, find_changes, make_change


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


def _make_restarts(service: str, *keys: int) -> list[NewEvent]:
    task: dict[str, Any] = {"task": "t", "revision": 1, "image": None, "reason": "died", "time": LATER}
    return [make_service_unhealthy(key=str(key), service=service, **task) for key in keys]


def test_a_list_in_which_one_service_hides_others_says_that_there_are_more(tmp_path: Path) -> None:
    caller = Caller(Principal("ann", (Role.VIEWER,)))
    with open_store_of_kind("sqlite", tmp_path) as store:
        store.event_log.record(_make_restarts("quiet", 0))
        for keys, shown_services, is_more_shown in (
            (range(1, MAX_READ - 1), ["loud", "quiet"], False),
            ((MAX_READ, MAX_READ + 1), ["loud"], True),
        ):
            store.event_log.record(_make_restarts("loud", *keys))
            changes, has_more = find_changes(store, caller, NOW, {"quiet", "loud"})
            assert [change.subject for change in changes] == shown_services
            assert has_more == is_more_shown


def test_an_event_without_what_it_should_have_is_left_out() -> None:
    bodies: tuple[dict[str, Any], ...] = ({}, {"detail": None}, {"detail": {}})
    for kind in KINDS:
        for body in bodies:
            assert make_change(StoredEvent(1, "a", "dockgate", kind, EventSubject("x"), "", None, None, body)) is None
