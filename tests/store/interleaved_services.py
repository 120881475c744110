"""Pairs of transactions on services, and what must hold after both."""

from dataclasses import replace

from tests.store.factories import (
    NOW,
    deploy,
    start_execution,
)
from tests.store.interleaving import Outcome, Pair, is_only_error
from tests.store.risks import reject

from dockgate.delivery.model import ExecutionId, RunState
from dockgate.delivery.service_model import RevisionCause, Service, ServiceChange, TaskDefinition
from dockgate.events.model import NewEvent
from dockgate.events.subject import EventSubject
from dockgate.shared.errors import ChangedError, DeployError
from dockgate.shared.references import ImageReference
from dockgate.store import Store

SOON, LATE = "2026-12-24T10:00:00.000Z", "2026-12-25T10:00:00.000Z"
DEFINITION = TaskDefinition("web", 0, "app", None, environment={"MODE": "demo"})


def add_service(store: Store, number: int) -> str:
    name = f"web{number}"
    assert store.services.put(Service(name, "podman", 1, 0), DEFINITION)
    return name


def make_built_definition(number: int) -> TaskDefinition:
    return replace(DEFINITION, image=ImageReference("127.0.0.1:5000/web", f"sha256:{number}"))


def race_two_new_services(store: Store, peer: Store, number: int) -> Pair:
    new = Service(f"web{number}", "podman", 1, 0)

    def check(*outcomes: Outcome) -> None:
        assert sorted(map(str, outcomes)) == ["False", "True"]
        assert store.services.get(new.name) == replace(new, revision=1)
        assert len(store.services.list_definitions(new.name)) == 1

    return Pair(lambda: store.services.put(new, DEFINITION), lambda: peer.services.put(new, replace(DEFINITION)), check)


def race_two_revisions(store: Store, peer: Store, number: int) -> Pair:
    name = add_service(store, number)

    def check(*outcomes: Outcome) -> None:
        assert sorted(definition.revision for definition in outcomes) == [2, 3]

    return Pair(
        lambda: store.services.register(name, make_built_definition(1), deploy("web-1")),
        lambda: peer.services.register(name, make_built_definition(2), deploy("web-2")),
        check,
    )


def race_two_deploys(store: Store, peer: Store, number: int) -> Pair:
    """The newer execution deploys first, and the older one while that has not committed."""
    return _race_deploys(store, peer, number, older_first=False)


def race_two_deploys_in_order(store: Store, peer: Store, number: int) -> Pair:
    return _race_deploys(store, peer, number, older_first=True)


def _race_deploys(store: Store, peer: Store, number: int, *, older_first: bool) -> Pair:
    name = add_service(store, number)
    older, newer = (start_execution(store, f"push {number} {age}") for age in ("older", "newer"))
    revisions = {
        execution: store.services.register(name, make_built_definition(at), deploy(execution)).revision
        for at, execution in enumerate((older, newer))
    }
    first, second = (older, newer) if older_first else (newer, older)

    def check(*outcomes: Outcome) -> None:
        assert store.services.find_deployed_by(name) == newer
        assert store.services.get(name).revision == revisions[newer]
        of_older = outcomes[0 if older_first else 1]
        assert of_older is None or isinstance(of_older, DeployError)

    return Pair(
        lambda: store.services.set_revision(name, revisions[first], first),
        lambda: peer.services.set_revision(name, revisions[second], second),
        check,
    )


def race_two_rollouts(store: Store, peer: Store, number: int) -> Pair:
    name = add_service(store, number)

    def check(*outcomes: Outcome) -> None:
        assert sorted(rollout.number for rollout in outcomes) == [1, 2]
        (going,) = (rollout for rollout in store.rollouts.list(name) if not rollout.state.is_final)
        assert (going.desired_count, going.definition.environment) == (3, {"MODE": "real"})

    changed_definition = replace(DEFINITION, environment={"MODE": "real"})
    return Pair(
        lambda: store.rollouts.begin(name, ServiceChange(desired_count=3), "ann", NOW),
        lambda: peer.rollouts.begin(name, ServiceChange(definition=changed_definition), "ben", NOW),
        check,
    )


def race_rollout_and_deploy(store: Store, peer: Store, number: int) -> Pair:
    name = add_service(store, number)
    changed_definition = replace(DEFINITION, environment={"MODE": "real"})
    rollout = store.rollouts.begin(name, ServiceChange(definition=changed_definition), "ann", NOW)
    assert rollout is not None
    of_rollout = store.services.register(name, changed_definition, RevisionCause(rollout.key, 1)).revision
    of_deploy = store.services.register(name, make_built_definition(1), deploy("web-1")).revision

    def check(*outcomes: Outcome) -> None:
        assert is_only_error(outcomes, ChangedError)
        revision = of_deploy if isinstance(outcomes[0], ChangedError) else of_rollout
        assert store.services.get(name).revision == revision

    return Pair(
        lambda: store.rollouts.end(rollout, RunState.SUCCEEDED, of_rollout, None, NOW),
        lambda: peer.services.set_revision(name, of_deploy, ExecutionId("web-1")),
        check,
    )


def race_two_risks(store: Store, peer: Store, number: int) -> Pair:
    name = add_service(store, number)

    def check(*_: Outcome) -> None:
        events = [event for event in store.event_log.read(0, 10_000) if event.subject == EventSubject("service", name)]
        assert len(events) == 1
        assert store.services.get(name).at_risk_until == SOON

    def make_events(until: str) -> list[NewEvent]:
        return [NewEvent(f"{name}/{until}", "dockgate", "service.at_risk", EventSubject("service", name), NOW, {})]

    return Pair(
        lambda: reject(store, name, "CVE-1", SOON, make_events(SOON)),
        lambda: reject(peer, name, "CVE-1", LATE, make_events(LATE)),
        check,
    )
