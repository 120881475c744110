"""The next command that is advised for an execution that did not succeed."""

from dataclasses import replace
from typing import Any

import pytest
from tests.cli import answers
from tests.cli.answers import NAME, VERDICT
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer
from tests.reports import samples

from dockgate.delivery.model import ApprovalState, RunState
from dockgate.gate.model import Status
from dockgate.shared.canonical import to_plain

RETRY = f"dockgate pipeline retry {NAME}-1"


def show_advice(dockgate: Dockgate, server: FakeServer, view: Any, verdict: Any = None) -> str:
    """The end of what `pipeline show` prints: the advice, in one line."""
    server.answers |= {
        f"GET /pipelines/{NAME}/executions": [view["execution"]],
        f"GET /executions/{NAME}-1": view,
        f"GET /verdicts/{VERDICT}": to_plain(verdict or samples.make_verdict()),
    }
    return " ".join(dockgate("pipeline", "show", NAME).out.rpartition("\n\n")[2].replace("\\\n", "").split())


def settle_approval(**changes: Any) -> Any:
    view = answers.make_rejected_execution()
    view["stages"][2]["actions"][0]["approval"] |= changes
    return view


def test_after_a_rejection_override_and_waiver_are_offered(dockgate: Dockgate, server: FakeServer) -> None:
    certain = samples.make_verdict(samples.make_platform_verdict(undetermined_subjects=()))
    text = show_advice(dockgate, server, answers.make_rejected_execution(), certain)
    assert "Push a commit with the upgrades above, or accept the findings (needs the role security)." in text
    assert f"dockgate approval override {NAME}-1/Assess/Gate/1 --until DATE --reason TEXT" in text
    assert "dockgate waiver add --vulnerability ID" in text
    assert RETRY in text


def test_after_a_rejection_that_is_undetermined_in_part_no_override_is_offered(
    dockgate: Dockgate, server: FakeServer
) -> None:
    text = show_advice(dockgate, server, answers.make_rejected_execution())
    assert "override" not in text
    assert "dockgate waiver add --vulnerability ID" in text


def test_after_an_undetermined_verdict_no_override_is_offered(dockgate: Dockgate, server: FakeServer) -> None:
    unsure = samples.make_platform_verdict(Status.UNDETERMINED, violations=(), remediation=(), findings=())
    verdict = replace(samples.make_verdict(unsure), status=Status.UNDETERMINED)
    text = show_advice(dockgate, server, answers.make_rejected_execution(), verdict)
    assert "Follow the next steps above" in text
    assert "override" not in text


def test_no_retry_is_offered_for_a_superseded_execution(dockgate: Dockgate, server: FakeServer) -> None:
    text = show_advice(dockgate, server, answers.make_rejected_execution() | {"superseded_by": f"{NAME}-2"})
    assert f"{NAME}-2 was deployed since. This execution can no longer be deployed." in text
    assert "push a commit that reverts the later ones" in text
    assert f"dockgate pipeline show {NAME} --execution 2" in text
    assert "retry" not in text


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (settle_approval(decided_by="ann", summary="no"), "ann rejected it."),
        (
            settle_approval(state=ApprovalState.EXPIRED.value, decided_by="timeout", verdict=None),
            "The approval expired without a decision.",
        ),
    ],
)
def test_only_a_retry_is_offered_after_a_persons_rejection_or_expiry(
    dockgate: Dockgate, server: FakeServer, view: Any, expected: str
) -> None:
    text = show_advice(dockgate, server, view)
    assert expected in text
    assert RETRY in text
    assert "override" not in text
    assert "waiver" not in text


def test_retry_and_logs_are_offered_for_a_failed_build(dockgate: Dockgate, server: FakeServer) -> None:
    view = answers.make_rejected_execution()
    view["stages"][1]["actions"] = [answers.make_action("Image", "build", RunState.FAILED, reason="RUN failed")]
    view["stages"][2]["actions"] = [answers.make_action("Gate", "approval", RunState.PENDING)]
    text = show_advice(dockgate, server, view)
    assert "Push a commit that fixes it, or retry." in text
    assert f"dockgate pipeline logs {NAME}-1" in text


def test_approval_show_offers_how_to_accept_a_rejection(dockgate: Dockgate, server: FakeServer) -> None:
    approval = answers.make_approval()
    server.answers |= {
        f"GET /approvals/{approval['id']}": approval,
        f"GET /verdicts/{VERDICT}": to_plain(
            samples.make_verdict(samples.make_platform_verdict(undetermined_subjects=()))
        ),
    }
    output = dockgate("approval", "show", approval["id"]).out
    assert f"dockgate approval override {approval['id']}" in output
    assert "dockgate waiver add --vulnerability" in output
