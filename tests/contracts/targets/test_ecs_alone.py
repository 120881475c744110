"""What ECS alone promises as a target."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from tests.aws.ecs import CLUSTER, SIDECAR, Ecs
from tests.contracts.targets.systems import InEcs, make_definition, make_impatient_definition, make_service

from dockgate.delivery.targets.ecs import EcsTarget
from dockgate.shared.errors import DeployError, UnavailableError


def read_definition(ecs: InEcs, service: str = "web") -> dict[str, Any]:
    """What the service's task definition is now."""
    (description,) = ecs.ecs.client.describe_services(cluster=CLUSTER, services=[service])["services"]
    answer = ecs.ecs.client.describe_task_definition(taskDefinition=description["taskDefinition"], include=["TAGS"])
    tags = {tag["key"]: tag["value"] for tag in answer["tags"]}
    return {**answer["taskDefinition"], "desiredCount": description["desiredCount"], "tags": tags}


def test_a_revision_in_ecs_is_what_ran_with_another_image(ecs: InEcs) -> None:
    before = read_definition(ecs)
    ecs.target.deploy(make_service(1, 1), make_definition(1, ecs.first_image), None)
    after = read_definition(ecs)
    assert [container["image"] for container in after["containerDefinitions"]] == [ecs.first_image, SIDECAR["image"]]
    assert (after["taskRoleArn"], after["family"]) == (before["taskRoleArn"], before["family"])
    assert after["tags"]["team"] == "web"
    assert after["revision"] == before["revision"] + 1


def test_a_deploy_that_is_made_again_registers_and_publishes_once(ecs: InEcs) -> None:
    for _ in range(3):
        ecs.target.deploy(make_service(2, 1), make_definition(1, ecs.first_image), None)
        ecs.target = EcsTarget(lambda: ecs.ecs, CLUSTER, ecs.publish, pause=0.01)  # another process
    assert read_definition(ecs)["revision"] == 2
    assert ecs.published == [ecs.first_image]


def test_a_revision_that_was_registered_before_a_crash_is_used(ecs: InEcs) -> None:
    class PowerCut(Ecs):
        def update_service(self, **_: Any) -> None:
            raise EndpointConnectionError(endpoint_url="https://ecs")

    cut = PowerCut.__new__(PowerCut)
    cut.__dict__.update(ecs.ecs.__dict__)
    with pytest.raises(UnavailableError):
        EcsTarget(lambda: cut, CLUSTER, ecs.publish, pause=0.01).deploy(
            make_service(1, 1), make_definition(1, ecs.first_image), None
        )
    ecs.target.deploy(make_service(1, 1), make_definition(1, ecs.first_image), None)
    assert (read_definition(ecs)["revision"], ecs.published) == (2, [ecs.first_image])


def test_a_failed_deploy_restores_the_earlier_service_of_ecs(ecs: InEcs) -> None:
    ecs.ecs.create("old", count=3)
    before = read_definition(ecs, "old")
    for _ in range(2):
        with pytest.raises(DeployError, match=r"(?s)cannot find my database.*old-family:1 again"):
            ecs.target.deploy(make_service(1, 1, "old"), make_impatient_definition(1, ecs.sick), None)
        after = read_definition(ecs, "old")
        assert (after["revision"], after["desiredCount"]) == (before["revision"], 3)
    assert [task.revision for task in ecs.target.list_tasks("old")] == [0, 0, 0]


def test_a_rollout_that_ecs_gives_up_is_not_waited_for(ecs: InEcs) -> None:
    ecs.ecs.gives_up = True
    with pytest.raises(DeployError, match=r"did not become healthy.*circuit breaker"):
        ecs.target.deploy(make_service(1, 1), make_definition(1, ecs.sick), None)


def test_a_service_or_container_that_ecs_lacks_is_reported(ecs: InEcs) -> None:
    with pytest.raises(DeployError, match="no service api") as error_info:
        ecs.target.deploy(make_service(1, 1, "api"), make_definition(1, ecs.first_image), None)
    assert "Create it" in str(error_info.value.advice)
    with pytest.raises(DeployError, match="no container 'nginx'") as error_info:
        ecs.target.deploy(make_service(1, 1), replace(make_definition(1, ecs.first_image), container="nginx"), None)
    assert "app, log" in str(error_info.value.advice)
    assert list(EcsTarget(lambda: ecs.ecs, "nowhere", str).list_tasks("web")) == []


def test_a_task_in_ecs_tells_its_ports_and_its_start(ecs: InEcs) -> None:
    (task,) = ecs.target.deploy(make_service(1, 1), make_definition(1, ecs.first_image), None)
    assert task.started_at == "2026-11-24T10:00:00Z"
    assert (8080, 49_153) in task.ports
