"""New tables beside the old workflows of dbos: no old workflow counts as done."""

from pathlib import Path

from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem


def test_a_recreated_database_with_old_workflows_runs_every_action(tmp_path: Path) -> None:
    for _ in range(2):
        with ServerSystem(tmp_path) as system:
            image = system.plan_image("again", PlannedFindings())
            system.deploy_image(image)
            assert system.is_running(image)
        for file in tmp_path.glob("dockgate.db*"):
            file.unlink()
