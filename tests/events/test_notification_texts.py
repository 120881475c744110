"""The sentences of a notification: subject, text and topic of one event."""

from typing import Any

import pytest

from dockgate.events.notification_texts import describe_event, summarize
from dockgate.events.topics import make_topic


@pytest.mark.parametrize(
    ("kind", "detail", "change"),
    [
        ("ECR Image Action", {"repository-name": "app", "image-digest": "sha256:a", "action-type": "PUSH"}, "DELETE"),
        ("policy.changed", {"policy": "default", "version": 2}, 3),
        ("vex.added", {"image": None, "document": "a"}, "b"),
        ("deploy.failed", {"service": "web", "reason": "no answer"}, "unhealthy"),
        ("Inspector2 Scan", {"repository-name": "app", "finding-severity-counts": {"HIGH": 1}}, {"HIGH": 2}),
    ],
)
def test_events_that_say_something_else_have_other_topics(kind: str, detail: dict[str, Any], change: Any) -> None:
    event = {"id": "1", "source": "dockgate", "detail-type": kind, "detail": detail}
    changed_event = {**event, "id": "2", "detail": {**detail, list(detail)[-1]: change}}
    assert make_topic(event) != make_topic(changed_event)


def test_the_topic_is_the_same_for_what_happens_again_and_another_for_what_differs() -> None:
    first: dict[str, Any] = {
        "id": "verdict.changed/1",
        "source": "dockgate",
        "detail-type": "verdict.changed",
        "time": "2026-11-28T12:01:00Z",
        "detail": {
            "repository": "team/app",
            "image": "sha256:a",
            "policy": "default",
            "status": "Rejected",
            "vulnerabilities": [{"id": "CVE-2026-1", "severity": "HIGH"}],
        },
    }
    repeated_event = {**first, "id": "another", "time": "2027", "detail": {**first["detail"], "since": "2027"}}
    assert make_topic(first) == make_topic(repeated_event)
    changes: list[dict[str, Any]] = [
        {"status": "Approved"},
        {"image": "sha256:b"},
        {"policy": "strict"},
        {"vulnerabilities": []},
    ]
    topics = {make_topic({**first, "detail": {**first["detail"], **change}}) for change in changes}
    topics |= {make_topic(first), make_topic({**first, "detail-type": "image.judged"})}
    assert len(topics) == 6
    unknown = {"id": "1", "source": "mine", "detail-type": "x", "detail": {"y": 1}}
    assert make_topic(unknown) != make_topic({**unknown, "id": "2"})


def test_fields_are_described_as_people_write_them() -> None:
    detail = {"counts": {"CRITICAL": 1200, "HIGH": 0, "LOW": 2}, "owners": ["ada", "role:security"], "none": {"LOW": 0}}
    _, text = describe_event(
        {"id": "1", "source": "dockgate", "detail-type": "x", "detail": {**detail, "more": [{"a": 1}]}}
    )
    assert text.split("\n") == [
        "counts: 1,200 CRITICAL, 2 LOW",
        "owners: ada, role:security",
        "none: 0",
        'more: [{"a": 1}]',
    ]


@pytest.mark.parametrize(
    ("kind", "detail", "line"),
    [
        ("feed.suspect", {"feed": "kev", "newest": "2026-01-01"}, "The feed kev brings no new records"),
        ("feed.failed", {"feed": "osv", "parts": [{"part": "npm", "reason": "no zip archive"}]}, "osv: no zip archive"),
        (
            "verdict.changed",
            {"repository": "team/app", "previous": "Approved", "status": "Rejected"},
            "team/app: Rejected, before: Approved",
        ),
        (
            "verdict.changed",
            {
                "repository": "team/app",
                "policy": "strict",
                "former_policy": "default",
                "previous": "Approved",
                "status": "Rejected",
            },
            "team/app: Rejected by strict, before: Approved by default",
        ),
        (
            "image.judged",
            {"repository": "team/app", "status": "Rejected", "summary": "1 CRITICAL finding"},
            "team/app: Rejected: 1 CRITICAL finding",
        ),
        (
            "ECR Image Action",
            {"action-type": "PUSH", "image-tag": "1", "repository-name": "team/app"},
            "team/app:1: action-type: PUSH, image-tag: 1",
        ),
        ("Inspector2 Scan", {"repository-name": "arn:aws:ecr:l:0:repository/app", "version": "1"}, "app: version: 1"),
        ("execution.failed", {"pipeline": "shop", "reason": "Build failed"}, "shop: Build failed"),
        (
            "verdict.changed",
            {"repository": "team/app", "image": f"sha256:{'a' * 64}", "status": "Rejected", "previous": "Approved"},
            "team/app@sha256:aaaaaaaaaaaa: Rejected, before: Approved",
        ),
        (
            "verdict.changed",
            {"repository": "team/app", "tag": "1", "image": "sha256:a", "status": "Rejected", "previous": "Approved"},
            "team/app:1: Rejected, before: Approved",
        ),
    ],
)
def test_a_line_says_what_an_event_is_about_and_what_happened(kind: str, detail: dict[str, Any], line: str) -> None:
    assert summarize({"detail-type": kind, "detail": detail}) == line
