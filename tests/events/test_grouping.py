"""Many events as one message, and the same thing once."""

import json
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockgate.events import dockgate_events
from dockgate.events.aws_events import make_finding_of_image
from dockgate.events.grouping import group_events, read_summary
from dockgate.events.notification_texts import describe_event, summarize
from dockgate.events.topics import make_topic
from dockgate.scanner.model import Package
from dockgate.vulnerabilities.model import Finding, Rating, Severity

LINK = "https://gate.example/events?before=9"


def make_verdict_event(number: int, cve: str = "CVE-2026-1", severity: str = "HIGH", **detail: Any) -> dict[str, Any]:
    return {
        "id": f"verdict.changed/{number}",
        "source": "dockgate",
        "detail-type": "verdict.changed",
        "time": f"2026-11-28T12:{number % 60:02}:00Z",
        "detail": {
            "repository": "team/app",
            "image": f"sha256:{number:064x}",
            "policy": "default",
            "status": "Rejected",
            "vulnerabilities": [{"id": cve, "severity": severity}],
            **detail,
        },
    }


def test_one_vulnerability_in_300_images_is_one_message_with_the_ten_worst() -> None:
    events = [make_verdict_event(number) for number in range(300)]
    events[250]["detail"]["service"] = "shop"
    message = group_events(events, LINK)
    assert message.title == "CVE-2026-1: 300 images affected"
    assert "CVE-2026-1 (HIGH): 300 images, 1 running" in message.text
    lines = [line for line in message.text.splitlines() if line.startswith("- ")]
    assert len(lines) == 10
    assert lines[0].startswith("- shop (team/app@sha256:")
    assert "and 290 more" in message.text
    assert message.text.endswith(f"`dockgate where CVE-2026-1` shows each place that has it.\n\nAll: {LINK}")
    assert message.detail["count"] == 300
    assert message.detail["vulnerabilities"] == [{"id": "CVE-2026-1", "severity": "HIGH", "images": 300}]


def test_a_service_and_its_image_are_one_image() -> None:
    at_risk = make_verdict_event(1, service="shop") | {"id": "risk/1", "detail-type": "service.at_risk"}
    message = group_events([make_verdict_event(1), at_risk], LINK)
    assert message.title == "CVE-2026-1: 1 image affected"
    assert "CVE-2026-1 (HIGH): 1 image, 1 running" in message.text
    assert message.detail["vulnerabilities"] == [{"id": "CVE-2026-1", "severity": "HIGH", "images": 1}]


def test_an_image_in_several_repositories_is_counted_and_listed_once() -> None:
    names = ("team/app", "other/app", "prod/app")
    message = group_events(
        [make_verdict_event(number, repository=name) for number in range(12) for name in names], LINK
    )
    assert message.title == "CVE-2026-1: 12 images affected"
    lines = [line for line in message.text.splitlines() if line.startswith("- ")]
    assert len(lines) == 10
    assert lines[0].startswith(f"- other/app@sha256:{0:064x}")
    assert lines[0].endswith("(also in prod/app, team/app)")
    assert "and 6 more" in message.text
    lax = make_verdict_event(1, repository="lax/app", status="Approved", vulnerabilities=[])
    assert len(group_events([make_verdict_event(1), lax], LINK).detail["worst"]) == 2


def make_inspector_event(number: int, repository: str = "team/app", package: str = "zlib") -> dict[str, Any]:
    """The event of a finding in an image, which has one for each package and repository."""
    package_in_image = Package(package, "1", f"pkg:deb/debian/{package}@1", "Debian:13", package, "1", "/var/lib/dpkg")
    finding = Finding("CVE-2026-1", (), package_in_image, Severity.HIGH, Rating("cve", Severity.HIGH), "2")
    image = f"sha256:{number:064x}"
    return make_finding_of_image(
        repository, image, ["1"], "linux/amd64", finding, is_waived=False, first_at="2026", time="2026"
    ).make_envelope()


def test_findings_are_counted_by_image_whatever_its_repositories_and_packages() -> None:
    packages = [(name, package) for name in ("team/app", "prod/app") for package in ("zlib", "lib32z1")]
    events = [
        make_inspector_event(number, *package_in_repository)
        for number in range(3)
        for package_in_repository in packages
    ]
    message = group_events(events, LINK)
    assert message.title == "CVE-2026-1: 3 images affected"
    assert message.detail["vulnerabilities"] == [{"id": "CVE-2026-1", "severity": "HIGH", "images": 3}]
    assert message.detail["kinds"] == {"Inspector2 Finding": 12}
    lines = [line for line in message.text.splitlines() if line.startswith("- ")]
    assert lines[0] == f"- prod/app@sha256:{0:064x}: Inspector2 Finding: ACTIVE: CVE-2026-1 (also in team/app)"
    assert len(lines) == 3
    assert summarize(events[0]) == "team/app@sha256:000000000000: ACTIVE: CVE-2026-1 - zlib"
    assert describe_event(events[0])[0] == "team/app: Inspector2 Finding"
    mixed_message = group_events([*events, make_verdict_event(1)], LINK)
    assert mixed_message.title == "CVE-2026-1: 3 images affected"
    assert len({make_topic(event) for event in events}) == len(events)


def test_a_line_names_the_policy_and_two_policies_have_two_lines() -> None:
    message = group_events(
        [make_verdict_event(1), make_verdict_event(1, policy="strict"), make_verdict_event(1, repository="prod/app")],
        LINK,
    )
    lines = [line for line in message.text.splitlines() if line.startswith("- ")]
    image = f"sha256:{1:064x}"
    assert lines == [
        f"- prod/app@{image}: verdict changed: Rejected by default: CVE-2026-1 (also in team/app)",
        f"- team/app@{image}: verdict changed: Rejected by strict: CVE-2026-1",
    ]


def test_a_failure_is_listed_before_a_start() -> None:
    kind = "CodePipeline Stage Execution State Change"
    states = [*["STARTED"] * 9, "FAILED", "SUCCEEDED"]
    events = [
        {"id": str(number), "detail-type": kind, "detail": {"pipeline": "shop", "state": state}}
        for number, state in enumerate(states)
    ]
    failure = {"id": "f", "detail-type": "execution.failed", "detail": {"pipeline": "shop", "reason": "Build failed"}}
    worst_entries = group_events([*events, failure], LINK).detail["worst"]
    assert [entry["text"].rpartition(": ")[2] for entry in worst_entries[:3]] == ["FAILED", "Build failed", "STARTED"]


def test_the_rules_of_a_repository_are_named_without_their_digest() -> None:
    event = make_verdict_event(1, policy=f"strict+sha256:{'a' * 64}")
    assert "Rejected by strict+repository:" in group_events([event, event], LINK).text
    assert summarize({**event, "detail-type": "image.judged"}).endswith("Rejected by strict+repository")


def test_two_services_that_run_one_image_are_one_running_image() -> None:
    risks = [
        make_verdict_event(1, service=name) | {"id": name, "detail-type": "service.at_risk"} for name in ("shop", "api")
    ]
    assert "CVE-2026-1 (HIGH): 1 image, 1 running" in group_events(risks, LINK).text


def test_a_vulnerability_that_went_before_the_message_is_not_counted() -> None:
    approval = make_verdict_event(1, status="Approved", vulnerabilities=[]) | {"id": "verdict.changed/1b"}
    message = group_events([make_verdict_event(1), approval, make_verdict_event(2, "CVE-2026-2")], LINK)
    assert message.title == "CVE-2026-2: 1 image affected"
    assert "CVE-2026-1" not in message.text


def test_a_waiver_that_ends_is_worse_than_an_approved_image() -> None:
    waiver = {"id": "w", "detail-type": "waiver.expiring", "detail": {"waiver": "w1", "reason": "It is not called."}}
    approvals = [make_verdict_event(number, status="Approved", vulnerabilities=[]) for number in range(12)]
    message = group_events([*approvals, waiver], LINK)
    assert message.detail["worst"][0]["subject"] == "w1"


def test_vulnerabilities_are_ordered_by_severity_then_by_how_many_images_have_them() -> None:
    events = [make_verdict_event(number, "CVE-1", "LOW") for number in range(5)]
    events += [make_verdict_event(10 + number, "CVE-2", "CRITICAL") for number in range(2)]
    events += [make_verdict_event(20 + number, "CVE-3", "CRITICAL") for number in range(3)]
    message = group_events(events, LINK)
    assert message.title == "3 vulnerabilities, 10 images affected"
    assert [vulnerability["id"] for vulnerability in message.detail["vulnerabilities"]] == ["CVE-3", "CVE-2", "CVE-1"]
    worst_entries = message.detail["worst"]
    assert [("CVE-1" in entry["text"]) for entry in worst_entries] == [False] * 5 + [True] * 5


def test_events_of_several_kinds_are_counted() -> None:
    events = [
        make_verdict_event(1),
        {"id": "2", "detail-type": "service.unhealthy", "detail": {"service": "web", "reason": "no answer"}},
    ]
    message = group_events(events, LINK)
    assert "By kind: service.unhealthy 1, verdict.changed 1" in message.text
    longer_message = group_events([*events, make_verdict_event(2)], LINK)
    assert "By kind: verdict.changed 2, service.unhealthy 1" in longer_message.text
    assert (longer_message.detail["count"], longer_message.detail["kinds"]) == (
        3,
        {"verdict.changed": 2, "service.unhealthy": 1},
    )
    assert "- web: service unhealthy: no answer" in message.text


def test_hostile_names_stay_in_their_line() -> None:
    event = make_verdict_event(1, "CVE\r\nBcc: all@example.org", repository="team/\x1b[31mapp\u202e")
    message = group_events([event], LINK)
    title, text = describe_event(event)
    for line in (*message.text.split("\n"), *text.split("\n"), title, message.title):
        assert line.isprintable()
    assert not any(line.startswith("Bcc") for line in message.text.splitlines())


def test_a_message_about_thousands_of_events_is_short_and_made_in_little_memory() -> None:
    tracemalloc.start()
    message = group_events((make_verdict_event(number, f"CVE-{number % 500}") for number in range(5_000)), LINK)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(message.text) < 5000
    assert len(json.dumps(message.detail)) < 10_000
    assert peak < 5 << 20


_LEAVES = st.none() | st.booleans() | st.integers() | st.text()
_JSON = st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
_FIELDS = st.sampled_from(
    ("service", "image", "repository", "status", "vulnerabilities", "summary", "id", "packageVulnerabilityDetails")
)


@given(detail=st.dictionaries(_FIELDS, _JSON) | _JSON)
@settings(max_examples=40)
def test_any_detail_is_described_and_grouped(detail: object) -> None:
    event = {"id": "1", "detail-type": "x", "detail": detail}
    read_summary(event)
    make_topic(event)
    title, text = describe_event(event)
    assert title.isprintable()
    assert summarize(event).isprintable()
    assert all(line.isprintable() for line in text.split("\n"))
    assert group_events([event], LINK).text


def test_a_tag_that_moved_is_named_with_where_it_moved_from_and_to() -> None:
    old, new = (f"sha256:{letter * 64}" for letter in "ab")
    move = dockgate_events.make_tag_moved(
        push="p", repository="team/app", tag="1.7", previous=old, image=new, by=None, time="2026-11-28T12:00:00.000Z"
    )
    assert describe_event(move.make_envelope())[0] == "team/app:1.7 names another image now"
    assert describe_event(move.make_envelope())[1].startswith("from sha256:aaaaaaaaaaaa to sha256:bbbbbbbbbbbb\n")
    assert summarize(move.make_envelope()) == "team/app:1.7: from sha256:aaaaaaaaaaaa to sha256:bbbbbbbbbbbb"
    second_move = dockgate_events.make_tag_moved(
        push="q", repository="team/api", tag="2", previous=old, image=new, by=None, time="2026-11-28T12:00:00.000Z"
    )
    lines = group_events([move.make_envelope(), second_move.make_envelope()], "https://g/events").text.splitlines()
    assert "- team/app:1.7: tag moved: from sha256:aaaaaaaaaaaa to sha256:bbbbbbbbbbbb" in lines


def make_state_event(kind: str, number: int, **detail: Any) -> dict[str, Any]:
    return {"id": f"{kind}/{number}", "source": "dockgate", "detail-type": kind, "detail": detail}


def test_of_a_vulnerability_that_comes_and_goes_in_one_group_neither_the_rejection_nor_the_fix_is_reported() -> None:
    image = {"repository": "team/app", "image": "sha256:a"}
    verdict = {**image, "policy": "default"}
    events = []
    for number in range(5):
        reasons = [{"id": f"CVE-2026-{number}", "severity": "HIGH"}]
        events += [
            make_state_event(
                "verdict.changed", number, **verdict, previous="Approved", status="Rejected", vulnerabilities=reasons
            ),
            make_state_event(
                "fix.available",
                number,
                **image,
                fix=f"f{number}",
                pipeline="app",
                vulnerabilities=[f"CVE-2026-{number}"],
            ),
            make_state_event("verdict.changed", number, **verdict, previous="Rejected", status="Approved"),
        ]
    message = group_events(events, LINK)
    assert message.title == "team/app@sha256:a: Approved by default, as before"
    assert message.text == (
        f"What happened:\n- team/app@sha256:a: verdict changed: Approved by default, as before\n\nAll: {LINK}"
    )
    assert (message.detail["count"], message.detail["kinds"]) == (1, {"verdict.changed": 1})
    rejected_message = group_events(events[:-1], LINK)
    assert rejected_message.title == "CVE-2026-4: 1 image affected"
    assert rejected_message.detail["kinds"] == {"verdict.changed": 1, "fix.available": 1}
    stricter_rejection = make_state_event("verdict.changed", 9, **image, policy="strict", status="Rejected")
    assert group_events([*events, stricter_rejection], LINK).detail["kinds"]["fix.available"] == 1


@pytest.mark.parametrize(
    ("kinds", "detail", "reported_kinds"),
    [
        (("service.at_risk", "service.recovered"), {"service": "shop"}, ["service.recovered"]),
        (("service.recovered", "service.at_risk"), {"service": "shop"}, ["service.at_risk"]),
        (("feed.stale", "feed.failed", "feed.recovered"), {"feed": "kev"}, ["feed.recovered"]),
        (("feed.failed", "feed.stale"), {"feed": "kev"}, ["feed.failed", "feed.stale"]),
        (("waiver.expiring", "waiver.expired", "waiver.restored"), {"waiver": "w"}, ["waiver.restored"]),
        (("service.unhealthy", "service.unhealthy"), {"service": "shop"}, ["service.unhealthy"] * 2),
    ],
)
def test_of_one_state_the_last_change_is_reported(
    kinds: tuple[str, ...], detail: dict[str, Any], reported_kinds: list[str]
) -> None:
    message = group_events([make_state_event(kind, number, **detail) for number, kind in enumerate(kinds)], LINK)
    assert sorted(message.detail["kinds"]) == sorted(set(reported_kinds))
    assert message.detail["count"] == len(reported_kinds)


def test_a_deadline_that_comes_near_keeps_the_vulnerability_that_is_the_reason() -> None:
    reason = [{"id": "CVE-2026-1", "severity": "HIGH"}]
    risk = {"service": "shop", "image": "sha256:a"}
    events = [
        make_state_event("service.at_risk", 1, **risk, vulnerabilities=reason),
        make_state_event("service.deadline_near", 2, **risk),
    ]
    assert group_events(events, LINK).title == "shop (sha256:a): service deadline near (CVE-2026-1)"


def test_of_a_tag_that_moves_several_times_one_move_is_reported() -> None:
    images = [f"sha256:{letter * 64}" for letter in "eadbca"]
    moves = [
        make_state_event("tag.moved", number, repository="team/c", tag="1", previous=previous, image=image)
        for number, (previous, image) in enumerate(pairwise(images))
    ]
    line = "team/c:1: tag moved: from sha256:eeeeeeeeeeee to sha256:aaaaaaaaaaaa"
    assert [vulnerability["text"] for vulnerability in group_events(moves, LINK).detail["worst"]] == [line]
    line = "team/c:1: tag moved: back to sha256:aaaaaaaaaaaa"
    assert [vulnerability["text"] for vulnerability in group_events(moves[1:], LINK).detail["worst"]] == [line]


@pytest.mark.parametrize(
    ("kind", "time", "deadline"),
    [
        ("service.at_risk", "2026-12-04T12:00:00Z", "replace it before 2026-12-07T12:00:00Z: "),
        ("service.deadline_near", "2026-12-06T12:00:00Z", "replace it before 2026-12-07T12:00:00Z: "),
        ("service.deadline_passed", "2026-12-07T12:00:00Z", "its deadline passed at 2026-12-07T12:00:00Z: "),
        ("service.risk_increased", "2026-12-08T12:00:00Z", "its deadline passed at 2026-12-07T12:00:00Z: "),
        ("service.recovered", "2026-12-08T12:00:00Z", ""),
    ],
)
def test_the_line_of_a_service_at_risk_has_the_deadline(kind: str, time: str, deadline: str) -> None:
    detail = {"service": "shop", "deadline": "2026-12-07T12:00:00.000Z", "summary": "policy strict: 1 CRITICAL finding"}
    (line,) = group_events([{**make_state_event(kind, 1, **detail), "time": time}], LINK).detail["worst"]
    assert (
        line["text"] == f"shop: {kind.replace('.', ' ').replace('_', ' ')}: {deadline}policy strict: 1 CRITICAL finding"
    )


@pytest.mark.parametrize(
    ("kind", "detail", "title"),
    [
        (
            "verdict.changed",
            {"repository": "team/app", "image": f"sha256:{'0' * 64}", "status": "Rejected", "policy": "strict"},
            "team/app@sha256:000000000000: Rejected by strict (CVE-2026-1, CVE-2026-2, CVE-2026-3 …)",
        ),
        (
            "service.at_risk",
            {"service": "shop", "repository": "team/app", "image": f"sha256:{'0' * 64}"},
            "shop (team/app@sha256:000000000000): service at risk (CVE-2026-1, CVE-2026-2, CVE-2026-3 …)",
        ),
        ("execution.failed", {"pipeline": "Web", "vulnerabilities": None}, "Web: execution failed"),
        ("feed.failed", {"feed": "kev", "vulnerabilities": None}, "kev: feed failed"),
    ],
)
def test_the_title_of_one_line_names_what_it_is_about(kind: str, detail: dict[str, Any], title: str) -> None:
    vulnerabilities = [{"id": f"CVE-2026-{number}", "severity": "HIGH"} for number in range(1, 5)]
    event = make_state_event(kind, 1, **{"vulnerabilities": vulnerabilities, **detail})
    assert group_events([event], LINK).title == title
    if kind == "verdict.changed":
        assert describe_event(event)[0] == title.partition(" (")[0]
    other_event = make_state_event("feed.stale", 2, feed="epss")
    assert group_events([event, other_event], LINK).title != title


def test_a_failed_feed_is_reported_with_its_reason_and_without_json() -> None:
    parts = [{"part": f"osv {name}", "reason": f"{name} is not readable"} for name in ("Debian", "PyPI")]
    event = make_state_event("feed.failed", 1, feed="osv", parts=parts)
    other_event = make_state_event("feed.failed", 2, feed="kev", parts=[{"part": "kev", "reason": "no answer"}])
    assert [line["text"] for line in group_events([event, other_event], LINK).detail["worst"]] == [
        "kev: feed failed: no answer",
        "osv: feed failed: Debian is not readable",
    ]
    failed_execution = make_state_event("execution.failed", 3, pipeline="Web", reason="x")
    assert group_events([event, failed_execution], LINK).title == "2 events: execution failed, feed failed"
    text = describe_event(event)[1]
    assert text.startswith("Debian is not readable\n")
    assert "parts: osv Debian: Debian is not readable; osv PyPI: PyPI is not readable" in text
    assert "parts: kev\n" in f"{describe_event(other_event)[1]}\n"
