"""What needs a person on the overview: their own executions and waivers, not those of others."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dockgate.delivery.model import Execution, ExecutionId, RunState
from dockgate.gate.model import Status, Waiver
from dockgate.identity.model import Caller, Permission, Principal, ProjectRole, RepositoryScope, Role
from dockgate.store.records import WaiverRecord
from dockgate.web.console.pages.overview import describe_change, list_own_ending_waivers, list_own_failures

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
    assert [item.subject for item in list_own_failures(caller, EXECUTIONS, states)] == names


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
    assert [item.subject for item in list_own_ending_waivers(ADA, records, NOW)] == ["soon", "later", "added"]
    assert not list(list_own_ending_waivers(VIEWER, records, NOW))


def test_a_change_of_the_queue_is_a_new_or_missing_item_not_a_new_sentence() -> None:
    first, second = list_own_failures(ADA, EXECUTIONS[1:3], {})
    shown_keys = f"{first.key},{second.key}"
    assert describe_change(shown_keys, [second, replace(first, sentence="It failed again.")]) is None
    assert describe_change(first.key, [first, second]) == "1 new"
    assert describe_change(shown_keys, []) == "2 gone"
    assert describe_change(first.key, [second]) == "1 new, 1 gone"
    assert describe_change("", []) is None
