"""What needs a person: their own executions and waivers, not those of others."""

from collections.abc import Sequence

import pytest

from dockgate.delivery.model import Execution, ExecutionId, RunState
from dockgate.gate.model import Status, Waiver
from dockgate.identity.model import Caller, Permission, Principal, ProjectRole, RepositoryScope, Role
from dockgate.services.attention import select_ending_waivers, select_own_failures
from dockgate.store.records import WaiverRecord

NOW = "2026-11-28T12:00:00.000Z"
ADA = Caller(Principal("ada", (Role.ADMIN,), "ada@example.org"))
VIEWER = Caller(Principal("vic", (Role.VIEWER,)))
DEVELOPER = Caller(
    Principal("dev", (Role.VIEWER,), project_roles=(ProjectRole(Role.DEVELOPER, "web"),)),
    projects={Permission.RUN: RepositoryScope(("web",), frozenset({"Web"}))},
)
SECURITY = Caller(Principal("sec", (Role.SECURITY,)))
EXECUTIONS = [
    Execution(ExecutionId("Doubt-1"), "Doubt", 1, 1, RunState.FAILED, {"by": "ada"}, started_at=NOW),
    Execution(ExecutionId("Fail-1"), "Fail", 1, 1, RunState.FAILED, {"by": "ada"}, started_at=NOW),
    Execution(ExecutionId("Web-1"), "Web", 1, 1, RunState.FAILED, {"cause": "an event"}, started_at=NOW),
    Execution(
        ExecutionId("Api-1"), "Api", 1, 1, RunState.FAILED, {"by": "eve", "retried_by": "ben,ada"}, started_at=NOW
    ),
]


@pytest.mark.parametrize(
    ("caller", "names"),
    [
        (ADA, ["Fail-1", "Web-1", "Api-1", "Doubt-1"]),
        (VIEWER, []),
        (DEVELOPER, ["Web-1"]),
        (SECURITY, ["Doubt-1"]),
    ],
)
def test_failed_executions_are_those_of_the_caller_and_undetermined_ones_come_last(
    caller: Caller, names: Sequence[str]
) -> None:
    states = {"Doubt-1": Status.UNDETERMINED, "Fail-1": Status.REJECTED}
    assert [execution.id for execution in select_own_failures(caller, EXECUTIONS, states)] == names


def test_ending_waivers_are_those_of_the_caller() -> None:
    def record(
        identity: str, owner: str, until: str, creator: str = "eve", revoked_at: str | None = None
    ) -> WaiverRecord:
        return WaiverRecord(Waiver(identity, owner, "why", rule=identity, until=until, created_by=creator), revoked_at)

    soon, later, much_later = "2026-11-29T00:00:00Z", "2026-12-01T00:00:00Z", "2027-12-01T00:00:00Z"
    records = [
        record("later", "ada@example.org", later),
        record("soon", "ada", soon),
        record("added", "team", later, "ada"),
        record("revoked", "ada", soon, revoked_at=NOW),
        record("far", "ada", much_later),
        record("other", "eve", soon),
    ]
    assert [waiver.id for waiver in select_ending_waivers(ADA, records, NOW)] == ["soon", "later", "added"]
    assert not select_ending_waivers(VIEWER, records, NOW)
