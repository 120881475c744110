"""What workflows need to know of their actions."""

from contextlib import closing
from pathlib import Path

from dockgate.store import open_store
from dockgate.workflows.queues import Workflow
from dockgate.workflows.workflows import find_labels


def test_a_workflow_whose_execution_was_deleted_needs_no_labels(tmp_path: Path) -> None:
    """It can be put back into a queue, where it ends."""
    with closing(open_store(tmp_path / "data")) as store:
        assert find_labels(store, Workflow.BUILD, "gone-1/Build/Build/1") == {}
