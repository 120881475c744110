"""Rollouts go on after faults of the store."""

from pathlib import Path

from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_faults import FailsAtFirst
from tests.scenarios.test_rollouts import apply, make_document, read_environment, wait_for_end

from dockgate.store import Store


def test_a_rollout_continues_after_a_full_disk(tmp_path: Path) -> None:
    failing_rollouts: list[FailsAtFirst] = []

    def alter(store: Store) -> Store:
        values = {name: getattr(store, name) for name in Store.__dataclass_fields__}
        failing_rollouts.append(FailsAtFirst(store.rollouts, "end", times=2))
        return Store(**{**values, "rollouts": failing_rollouts[0]})

    with ServerSystem(tmp_path, alter) as system:
        image = system.plan_image("unlucky", PlannedFindings())
        system.deploy_image(image)
        apply(system, make_document("unlucky", "  environment: {FEATURE: 'on'}\n"))
        assert wait_for_end(system, "unlucky", 1)["state"] == "Succeeded"
        assert failing_rollouts[0].remaining_faults == 0
        assert read_environment(system, "unlucky") == {"FEATURE": "on"}
