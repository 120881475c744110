"""Listing the tasks of several services, some of whose targets do not answer."""

import threading
from collections.abc import Sequence

from tests.fakes.target import MemoryTarget

from dockgate.delivery.service_model import Task
from dockgate.services.pipelines.running_tasks import list_tasks


class HangingTarget(MemoryTarget):
    """A target that answers only after the test."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()

    def list_tasks(self, service: str) -> Sequence[Task]:
        self.may_answer.wait()
        return super().list_tasks(service)


def test_services_whose_target_fails_or_hangs_do_not_hide_the_others() -> None:
    hanging, broken = HangingTarget(), MemoryTarget()
    broken.available = False
    targets = {"podman": MemoryTarget(), "broken": broken, "hanging": hanging}
    services = [("slow", "hanging"), ("down", "broken"), ("gone", "unknown"), ("web", "podman")]
    try:
        lists = list_tasks(targets, services, 0.2)
    finally:
        hanging.may_answer.set()
    assert lists.tasks == {"web": []}
    assert lists.count_running() == {"web": 0}
    assert lists.failures["slow"] == "hanging did not answer within 0.2 s"
    assert lists.failures["gone"] == "this server has no target unknown"
    assert "down" in lists.failures


def test_without_services_nothing_is_waited_for() -> None:
    assert list_tasks({}, [], 60).tasks == {}
