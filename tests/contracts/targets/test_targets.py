"""What every target promises. Each changing call is made twice."""

import pytest
from tests.contracts.targets.systems import (
    RUNNING,
    Memory,
    System,
    digest,
    list_task_states,
    make_definition,
    make_impatient_definition,
    make_service,
)
from tests.fakes.target import MemoryTarget
from tests.parts import Faults, wait_until

from dockgate.shared.errors import DeployError, UnavailableError


def test_an_unknown_service_has_no_tasks(system: System) -> None:
    assert list(system.target.list_tasks("web")) == []


def test_as_many_tasks_run_as_are_desired(system: System) -> None:
    target, first = system.target, make_definition(1, system.first_image)
    is_deployed = target.deploy(make_service(2, 1), first, None)
    assert list_task_states(target) == [(1, RUNNING, digest(system.first_image))] * 2
    assert not [task for task in is_deployed if task.probe and not task.probe.is_healthy]
    is_deployed_again = target.deploy(make_service(2, 1), first, None)
    assert [(task.id, task.started_at) for task in is_deployed_again] == [
        (task.id, task.started_at) for task in is_deployed
    ]
    for count in (1, 2, 0, 0):
        assert len(target.deploy(make_service(count, 1), first, None)) == count
        assert list_task_states(target) == [(1, RUNNING, digest(system.first_image))] * count


def test_a_new_revision_takes_the_place_of_the_old_even_with_the_same_image(system: System) -> None:
    target, first, second = (
        system.target,
        make_definition(1, system.first_image),
        make_definition(2, system.second_image),
    )
    target.deploy(make_service(1, 1), first, None)
    for _ in range(2):
        target.deploy(make_service(1, 1), second, first)
        assert list_task_states(target) == [(2, RUNNING, digest(system.second_image))]
    former_ids = {task.id for task in target.list_tasks("web")}
    third = make_definition(3, system.second_image)
    for _ in range(2):
        target.deploy(make_service(1, 1), third, second)
        assert list_task_states(target) == [(3, RUNNING, digest(system.second_image))]
    assert former_ids.isdisjoint(task.id for task in target.list_tasks("web"))


def test_a_revision_that_does_not_become_healthy_gives_way_to_what_ran_before(system: System) -> None:
    target, first = system.target, make_definition(1, system.first_image)
    target.deploy(make_service(1, 1), first, None)
    for _ in range(2):
        with pytest.raises(DeployError, match="healthy"):
            target.deploy(make_service(1, 1), make_impatient_definition(2, system.sick), first)
        wait_until(lambda: list_task_states(target) == [(1, RUNNING, digest(system.first_image))])


def test_a_first_revision_that_does_not_become_healthy_leaves_nothing(system: System) -> None:
    for _ in range(2):
        with pytest.raises(DeployError, match="healthy"):
            system.target.deploy(make_service(1, 1), make_impatient_definition(1, system.sick), None)
        assert list_task_states(system.target) == []


@pytest.mark.parametrize("image", ["", "127.0.0.1:7421/web:latest"])
def test_only_digests_are_deployed(system: System, image: str) -> None:
    first = make_definition(1, system.first_image)
    system.target.deploy(make_service(1, 1), first, None)
    with pytest.raises(DeployError, match="has no image"):
        system.target.deploy(make_service(1, 1), make_definition(2, image), first)
    assert list_task_states(system.target) == [(1, RUNNING, digest(system.first_image))]


def test_a_task_is_restarted_unless_the_engine_does_that_by_itself(system: System) -> None:
    target = system.target
    (task,) = target.deploy(make_service(1, 1), make_definition(1, system.first_image), None)
    for _ in range(2):
        assert target.restart("web", task.id) is system.is_restarted_by_us
        wait_until(lambda: list_task_states(target) == [(1, RUNNING, digest(system.first_image))])
    assert target.restart("web", "nothing") is False
    assert target.restart("web-1", task.id) is False
    assert [task.id for task in target.list_tasks("web")] == [task.id]


def test_services_leave_each_other_alone(system: System) -> None:
    target = system.target
    target.deploy(make_service(1, 1), make_definition(1, system.first_image), None)
    target.deploy(make_service(1, 1, "web-1"), make_definition(1, system.second_image), None)
    for _ in range(2):
        assert list(target.deploy(make_service(0, 1), make_definition(1, system.first_image), None)) == []
    assert list_task_states(target) == []
    assert list_task_states(target, "web-1") == [(1, RUNNING, digest(system.second_image))]


def test_an_engine_that_does_not_answer_is_unavailable(system: System) -> None:
    target = system.make_unreachable()
    for call in (
        lambda: target.list_tasks("web"),
        lambda: target.restart("web", "dockgate-web-1-0"),
        lambda: target.deploy(make_service(1, 1), make_definition(1, system.first_image), None),
    ):
        with pytest.raises(UnavailableError) as error_info:
            call()
        assert error_info.value.advice


@pytest.mark.parametrize("moment", ["before_deploy", "before_start", "after_start", "before_stop", "after_deploy"])
def test_the_fake_completes_what_a_crash_left(moment: str) -> None:
    errors: dict[str, list[Exception | None]] = {moment: [None, None, UnavailableError("power cut")]}
    target = MemoryTarget(fault=Faults(**errors))
    first, second = make_definition(1, Memory.first_image), make_definition(2, Memory.second_image)
    for count, revision, before in ((3, first, None), (3, second, first), (1, second, first)):
        try:
            target.deploy(make_service(count, 1), revision, before)
        except UnavailableError:
            target.deploy(make_service(count, 1), revision, before)
        assert list_task_states(target) == [(revision.revision, RUNNING, digest(revision.image))] * count
