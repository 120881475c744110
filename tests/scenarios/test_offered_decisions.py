"""The console offers a decision to those who may make it, and says to others why not."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import insert
from tests.scenarios.browser import Browser, Forms
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_four_eyes import OUTSIDER, FourEyes

from dockgate.delivery.contributors import NO_OBJECT
from dockgate.delivery.model import Approval, ApprovalId, Approvers
from dockgate.delivery.source_ports import RefUpdate
from dockgate.gate.policy_reference import PolicyReference
from dockgate.services.approvals.decidable_approvals import BATCHES, MAX_LISTED
from dockgate.shared.timestamps import format_time
from dockgate.store.queries import make_row
from dockgate.store.schema.delivery import approvals

IMAGE = f"sha256:{1:064}"
UNKNOWN = "the pusher of the commit {} of {} is unknown"


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FourEyes]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server")), sweep_seconds=3600) as server:
        yield FourEyes(server)


def read(eyes: FourEyes, who: str, path: str) -> str:
    with Browser(eyes.server, eyes.tokens[who]) as browser:
        return browser.get(path).text


def has_form(eyes: FourEyes, page: str, execution: str, form: str) -> bool:
    return f"/approvals/{eyes.server._find_approval(execution)['id']}/{form}" in Forms(page).actions


def read_link(page: str, execution: str) -> str | None:
    """The words of the overview's link to an execution's approval, None without one."""
    link = re.search(rf'<a href="/executions/{execution}(?:#[a-z]+)?">(Decide|See approval)<', page)
    return link[1] if link else None


def start_with_unknown_pusher(eyes: FourEyes, *, people: bool = True) -> tuple[str, str]:
    """Start an execution of a commit whose pusher is not recorded; return it, and why the contributors are unknown."""
    name = eyes.create_repository(None if people else PlannedFindings({"CRITICAL": 1}), people=people)
    commit = eyes.host.push(name, {"Dockerfile": "FROM scratch\n"}, author=OUTSIDER)
    return eyes.start(name), UNKNOWN.format(commit[:12], name)


def test_a_vote_that_is_refused_because_contributors_are_unknown_is_not_offered(eyes: FourEyes) -> None:
    execution, reason = start_with_unknown_pusher(eyes)
    assert eyes.is_refusing("ben", execution, reason)
    page = read(eyes, "ben", f"/executions/{execution}")
    assert not has_form(eyes, page, execution, "vote")
    assert reason in page
    assert "No one can vote until the contributors are known." in page
    assert ">Decide<" not in page
    overview = read(eyes, "ben", "/")
    assert read_link(overview, execution) == "See approval"
    assert f"When it was requested, its contributors were unknown: {reason}" in overview
    assert read_link(read(eyes, "starter", "/"), execution) is None  # a contributor anyway


def test_the_page_says_to_others_too_that_no_one_can_vote(eyes: FourEyes) -> None:
    execution, reason = start_with_unknown_pusher(eyes)
    eyes.add("reader", "reader@example.org", "viewer")
    page = read(eyes, "reader", f"/executions/{execution}")
    assert f"No one can vote until the contributors are known: {reason}" in page
    assert reason in eyes.server._find_approval(execution)["contributors_unknown"]


def test_the_page_says_to_no_one_that_contributors_are_unknown_who_are_known_by_now(eyes: FourEyes) -> None:
    name = eyes.create_repository()
    commit = eyes.host.push(name, {"Dockerfile": "FROM scratch\n"}, author=OUTSIDER)
    execution = eyes.start(name)
    update = RefUpdate("refs/heads/main", NO_OBJECT, commit)
    eyes.server.services.sources.pushes.record_refs(f"late-{name}", name, "ann", None, [update])
    eyes.add("later-reader", "later@example.org", "viewer")
    for who in ("later-reader", "ben"):
        assert "unknown" not in read(eyes, who, f"/executions/{execution}")
    assert has_form(eyes, read(eyes, "ben", f"/executions/{execution}"), execution, "vote")
    overview = read(eyes, "ben", "/")
    assert read_link(overview, execution) == "See approval"
    assert "takes no votes" not in overview
    assert "Its page says whether votes are accepted now." in overview
    eyes.approve_execution("ben", execution)


def test_contributors_that_became_unknown_after_the_request_are_no_surprise(eyes: FourEyes) -> None:
    name = eyes.create_repository()
    commit = eyes.server.push(name, "ann", author=OUTSIDER)
    execution = eyes.start(name)
    eyes.host._commits.pop((name, commit))
    page = read(eyes, "ben", f"/executions/{execution}")
    assert not has_form(eyes, page, execution, "vote")
    assert "the contributors are unknown: no commit" in page.replace("The contributors", "the contributors")
    assert eyes.is_refusing("ben", execution, "the contributors are unknown: no commit")


def test_a_vote_is_offered_once_the_contributors_are_known(eyes: FourEyes) -> None:
    name = eyes.create_repository()
    commit = eyes.server.push(name, "ann", author=OUTSIDER)
    execution = eyes.start(name)
    lost_commit = eyes.host._commits.pop((name, commit))
    assert eyes.is_refusing("ben", execution, "the contributors are unknown: no commit")
    eyes.host._commits[name, commit] = lost_commit
    assert has_form(eyes, read(eyes, "ben", f"/executions/{execution}"), execution, "vote")
    assert read_link(read(eyes, "ben", "/"), execution) == "Decide"
    eyes.approve_execution("ben", execution)


def test_an_override_that_is_refused_because_contributors_are_unknown_is_not_offered(eyes: FourEyes) -> None:
    execution, reason = start_with_unknown_pusher(eyes, people=False)
    assert eyes.wait_for_end(execution) == "Failed"
    approval = eyes.server._find_approval(execution)["id"]
    answer = eyes.call("ben", f"/approvals/{approval}/override", {"reason": "no", "until": "2999-01-01"})
    assert (answer.status_code, reason in answer.json()["error"]) == (403, True)
    page = read(eyes, "ben", f"/executions/{execution}")
    assert not has_form(eyes, page, execution, "override")
    assert reason in page


def test_an_override_is_not_offered_to_a_token_for_the_pipeline_alone(eyes: FourEyes) -> None:
    name = eyes.create_repository(PlannedFindings({"CRITICAL": 1}), people=False)
    eyes.server.push(name, "ann", author=OUTSIDER)
    execution = eyes.start(name)
    assert eyes.wait_for_end(execution) == "Failed"
    for limits, is_allowed in (({"pipelines": [name]}, False), ({"repositories": [f"{name}/*"]}, True)):
        limits = {**limits, "pipelines": [name]}
        eyes.tokens["limited"] = eyes.server.post("/tokens", {"principal": "ben", **limits})["text"]
        page = read(eyes, "limited", f"/executions/{execution}")
        assert has_form(eyes, page, execution, "override") is is_allowed
        body = {"reason": "not reachable", "until": "2999-01-01"}
        answer = eyes.call("limited", f"/approvals/{eyes.server._find_approval(execution)['id']}/override", body)
        assert answer.status_code == (200 if is_allowed else 403)


def add_urgent(eyes: FourEyes, count: int, name: str, committers: tuple[str, ...] = ()) -> None:
    """Add approvals of an image that is being scanned. One person alone may decide on them; they end tomorrow."""
    eyes.server.plans[IMAGE] = "other", PlannedFindings()
    eyes.server.scan_may_end[IMAGE] = Event()
    now = eyes.server.clock()
    times = format_time(now), format_time(now + timedelta(days=1))
    policy, approvers = PolicyReference("default"), Approvers((name,))
    first = Approval(ApprovalId(""), "token", IMAGE, "other/app", policy, "", *times, approvers=approvers)
    waiting = [
        replace(first, id=ApprovalId(f"external/{name}-{number}"), committers=committers) for number in range(count)
    ]
    with eyes.server.store.database.write() as connection:
        connection.execute(insert(approvals), [make_row(approval) for approval in waiting])


def test_the_overview_has_what_a_person_may_decide_behind_many_that_they_may_not(eyes: FourEyes) -> None:
    name = eyes.create_repository()
    eyes.server.push(name, "ann", author=OUTSIDER)
    execution = eyes.start(name)
    add_urgent(eyes, MAX_LISTED + 1, "ben")
    page = read(eyes, "cyd", "/")
    assert read_link(page, execution) == "Decide"
    assert "At least" not in page
    page = read(eyes, "ben", "/")
    count = re.search(r"At least (\d+) things need you", page)
    assert count
    assert page.count(">Decide<") == MAX_LISTED
    assert "too many approvals are waiting to read them all" in page
    assert f">{count[1]}+<" in read(eyes, "ben", "/queue-count")


def test_a_page_that_could_not_read_all_does_not_say_that_nothing_needs_a_person(eyes: FourEyes) -> None:
    eyes.add("busy", "busy@example.org", "approver")
    add_urgent(eyes, sum(BATCHES) + 1, "busy", committers=("busy",))
    page = read(eyes, "busy", "/")
    assert ">Decide<" not in page
    assert re.search(r"At least \d+ things? needs? you", page)
