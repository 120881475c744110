"""The name of a target on Amazon ECS."""

import pytest

from dockgate.delivery.targets.ecs_location import EcsLocation


def test_the_name_of_a_target_is_read_and_written() -> None:
    name = "ecs:eu-west-1/main/registry.example:5000/team/app"
    location = EcsLocation("eu-west-1", "main", "registry.example:5000/team/app")
    assert EcsLocation.parse(name) == location
    assert str(location) == name


@pytest.mark.parametrize("name", ["podman", "eu-west-1/main/registry.example/app", "ecs:", "ecs:eu-west-1/main"])
def test_other_names_are_not_of_ecs(name: str) -> None:
    assert EcsLocation.parse(name) is None
