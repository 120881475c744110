"""Rollouts go on after faults of the store."""

from pathlib import Path

from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_faults import FailsAtFirst
from tests.scenarios.test_rollouts import apply, document, ended, environment

from dockgate.store import Store


def test_a_rollout_continues_after_a_full_disk(tmp_path: Path) -> None:
    broken: list[FailsAtFirst] = []

    def alter(store: Store) -> Store:
        values = {name: getattr(store, name) for name in Store.__dataclass_fields__}
        broken.append(FailsAtFirst(store.rollouts, "end", times=2))
        return Store(**{**values, "rollouts": broken[0]})

    with ServerSystem(tmp_path, alter) as system:
        image = system.plan_image("unlucky", PlannedFindings())
        system.deploy_image(image)
        apply(system, document("unlucky", "  environment: {FEATURE: 'on'}\n"))
        assert ended(system, "unlucky", 1)["state"] == "Succeeded"
        assert broken[0].remaining_faults == 0
        assert environment(system, "unlucky") == {"FEATURE": "on"}
