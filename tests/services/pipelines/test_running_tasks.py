"""Listing the tasks of several services, some of whose targets do not answer."""

import threading
from collections.abc import Sequence

from tests.fakes.target import MemoryTarget
from tests.parts import wait_until

from dockgate.delivery.service_model import Task
from dockgate.services.pipelines.running_tasks import RunningTasks


class HangingTarget(MemoryTarget):
    """A target that answers only after the test."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()
        self.questions = 0

    def list_tasks(self, service: str) -> Sequence[Task]:
        self.questions += 1
        self.may_answer.wait()
        return super().list_tasks(service)


def test_services_whose_target_fails_or_hangs_do_not_hide_the_others() -> None:
    hanging, broken_target = HangingTarget(), MemoryTarget()
    broken_target.available = False
    targets = {"podman": MemoryTarget(), "broken": broken_target, "hanging": hanging}
    services = [("slow", "hanging"), ("down", "broken"), ("gone", "unknown"), ("web", "podman")]
    try:
        lists = RunningTasks(targets).list_tasks(services, 0.2)
    finally:
        hanging.may_answer.set()
    assert lists.tasks == {"web": []}
    assert lists.count_running() == {"web": 0}
    assert lists.failures["slow"] == "hanging did not answer within 0.2 s"
    assert lists.failures["gone"] == "this server has no target unknown"
    assert "down" in lists.failures


def test_a_target_that_hangs_keeps_no_other_from_being_asked_and_gets_few_questions() -> None:
    hanging = HangingTarget()
    running_tasks = RunningTasks({"podman": MemoryTarget(), "hanging": hanging})
    services = [*((f"slow-{number}", "hanging") for number in range(30)), ("web", "podman")]
    before = threading.active_count()
    try:
        for _ in range(5):
            assert running_tasks.list_tasks(services, 0.1).tasks == {"web": []}
        assert hanging.questions == 8
    finally:
        hanging.may_answer.set()
    wait_until(lambda: threading.active_count() <= before)
    assert len(running_tasks.list_tasks(services, 60).tasks) == 31


def test_without_services_nothing_is_waited_for() -> None:
    assert RunningTasks({}).list_tasks([], 60).tasks == {}
