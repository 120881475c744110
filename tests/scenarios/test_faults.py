"""Unexpected errors, such as a full disk: waiting approvals are answered after it is resolved."""

from pathlib import Path
from typing import Any

import pytest
from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.gate.model import Policy
from dockgate.shared.errors import DockgateError, StoreError, UnavailableError
from dockgate.store import Store


class FailsAtFirst:
    """A part of the store whose `method` breaks the first `times` times."""

    def __init__(self, part: object, method: str, times: int) -> None:
        assert callable(getattr(part, method))
        self._part, self._method, self.remaining_faults = part, method, times

    def __getattr__(self, name: str) -> Any:
        if name == self._method and self.remaining_faults:
            self.remaining_faults -= 1
            raise OSError("no space left on device")
        return getattr(self._part, name)


@pytest.mark.parametrize(
    ("part", "method"),
    [
        pytest.param("executions", "advance", marks=pytest.mark.slow),
        ("push_events", "mark_handled"),
        ("approvals", "settle_by_verdict"),
        pytest.param("services", "set_revision", marks=pytest.mark.slow),
        pytest.param("executions", "finish", marks=pytest.mark.slow),
        pytest.param("executions", "start", marks=pytest.mark.slow),
        pytest.param("images", "request_scan", marks=pytest.mark.slow),
        pytest.param("verdicts", "add", marks=pytest.mark.slow),
        pytest.param("approvals", "list_open_executions", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_delays_work_and_loses_none(part: str, method: str, tmp_path: Path) -> None:
    faults: list[FailsAtFirst] = []

    def alter(store: Store) -> Store:
        values = {name: getattr(store, name) for name in Store.__dataclass_fields__}
        faults.append(FailsAtFirst(values[part], method, times=2))
        return Store(**{**values, part: faults[-1]})

    with ServerSystem(tmp_path, alter, sweep_seconds=0.5) as system:
        image = system.plan_image("unlucky", PlannedFindings())
        host = system.services.sources.host
        host.push("unlucky", {"Dockerfile": "FROM scratch\n# again\n"})  # type: ignore[attr-defined]
        system.end_scan(image)
        wait_until(lambda: _finish_push(system), seconds=20)
        for _ in range(3):
            wait_until(lambda: _get_state(system) in ("Succeeded", "Failed"), seconds=20)
            if _get_state(system) == "Failed":  # the fault hit an action itself, which says so and may be tried again
                assert "no space left" in system.get("/executions/unlucky-1")["execution"]["reason"]
                system.post("/executions/unlucky-1/retry")
        assert _get_state(system) == "Succeeded"
        assert system.is_running(image)
        # The execution may end while the event that started it still waits to be handled again.
        wait_until(lambda: [fault.remaining_faults for fault in faults] == [0], seconds=20)
        wait_until(lambda: not system.store.push_events.list_unhandled(), seconds=20)


@pytest.mark.parametrize(
    ("error", "status"), [(UnavailableError("no engine here"), 502), (StoreError("the disk is full"), 503)]
)
def test_the_servers_errors_differ_from_errors_of_dependencies(
    tmp_path: Path, error: DockgateError, status: int
) -> None:
    def fail_with_error(_: str) -> Policy:
        raise error

    with ServerSystem(tmp_path, policy=fail_with_error) as system:
        request = {"pipeline": "shop", "stage": "gate", "execution": "1", "image": "elsewhere.example/app:1"}
        answer = system.client.post("/approvals", json=request)
        assert (answer.status_code, answer.json()["error"]) == (status, str(error))


def _finish_push(system: ServerSystem) -> bool:
    """Tells the engine of the push until it has taken it up, as git's host does at every push and every start."""
    try:
        system.services.sources.pushes.finish_push("unlucky")
    except OSError:
        return False
    return bool(system.get("/pipelines/unlucky/executions"))


def _get_state(system: ServerSystem) -> str:
    state: str = system.get("/executions/unlucky-1")["execution"]["state"]
    return state
