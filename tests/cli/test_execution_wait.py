"""Commands that wait for the end of an execution: `dockgate pipeline wait`, and `start` and `retry` with `--wait`."""

from tests.cli import answers
from tests.cli.answers import NAME, VERDICT, serve
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer
from tests.reports import samples

from dockgate.delivery.model import RunState
from dockgate.shared.canonical import to_plain


def test_wait_exits_by_the_outcome(dockgate: Dockgate, server: FakeServer) -> None:
    rejected_view, succeeded_view, stopped_view = (
        answers.make_rejected_execution(),
        answers.make_rejected_execution(),
        answers.make_rejected_execution(),
    )
    succeeded_view["execution"] = answers.make_execution(state=RunState.SUCCEEDED)
    stopped_view["execution"] = answers.make_execution(state=RunState.STOPPED)
    failed_view, expired_view = answers.make_rejected_execution(), answers.make_rejected_execution()
    failed_view["stages"][1]["actions"] = [answers.make_action("Image", "build", RunState.FAILED)]
    failed_view["stages"][2]["actions"] = [answers.make_action("Gate", "approval", RunState.PENDING)]
    expired_view["stages"][2]["actions"][0]["approval"] |= {"state": "Expired", "decided_by": "timeout"}
    for view, code in ((rejected_view, 1), (succeeded_view, 0), (stopped_view, 2), (failed_view, 2), (expired_view, 3)):
        serve(server, view)
        assert dockgate("pipeline", "wait", NAME).code == code
    server.answers[f"GET /verdicts/{VERDICT}"] = to_plain(samples.make_verdict()) | {"status": "Undetermined"}
    server.answers[f"GET /executions/{NAME}-1"] = rejected_view
    result = dockgate("pipeline", "wait", f"{NAME}-1")
    assert result.code == 3
    assert f"{NAME}-1: failed: Assess/Gate: 2 HIGH findings" in result.out
    assert f"dockgate pipeline show {NAME}-1" in result.out


def test_wait_polls_until_the_end_or_the_timeout(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, answers.make_waiting_execution())
    assert dockgate("pipeline", "wait", NAME, "--timeout", "0s").code == 3
    views = [
        answers.make_waiting_execution(),
        (503, {"error": "being restarted", "advice": None}),
        answers.make_rejected_execution(),
    ]
    server.answers[f"GET /executions/{NAME}-1"] = lambda request: views.pop(0) if len(views) > 1 else views[0]
    assert dockgate("pipeline", "wait", f"{NAME}-1", "-o", "json").code == 1
    assert dockgate("pipeline", "wait", NAME, "--timeout", "soon").code == 2


def test_start_and_retry_wait_for_the_outcome(dockgate: Dockgate, server: FakeServer) -> None:
    serve(server, answers.make_rejected_execution())
    running = answers.make_execution(1, RunState.IN_PROGRESS)
    server.answers |= {
        f"POST /pipelines/{NAME}/executions": (201, running),
        f"POST /executions/{NAME}-1/retry": running,
    }
    assert dockgate("pipeline", "start", NAME, "--wait").code == 1
    assert dockgate("pipeline", "retry", f"{NAME}-1", "--wait", "--timeout", "1m").code == 1
    assert dockgate("pipeline", "start", NAME).code == 0
