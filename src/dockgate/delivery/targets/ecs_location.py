"""Where Amazon ECS runs a service: the name of its target. Pure."""

from typing import NamedTuple

_ECS = "ecs:"


class EcsLocation(NamedTuple):
    """A cluster in a region, and the repository that it pulls images from.

    As text, "ecs:REGION/CLUSTER/REGISTRY/REPOSITORY".
    """

    region: str
    cluster: str
    repository: str

    def __str__(self) -> str:
        return _ECS + "/".join(self)

    @classmethod
    def parse(cls, target: str) -> "EcsLocation | None":
        """Read the name of a target. None for another one."""
        parts = target.removeprefix(_ECS).split("/", 2)
        return cls(*parts) if target.startswith(_ECS) and len(parts) == len(cls._fields) else None
