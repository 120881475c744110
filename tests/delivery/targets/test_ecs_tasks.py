"""Tasks as ECS describes them."""

import pytest

from dockgate.delivery.service_model import Probe
from dockgate.delivery.targets._ecs import Revision, parse_task

REVISION = Revision("arn:definition", "web", {"containerDefinitions": [{"name": "app", "image": "web"}]}, {})


@pytest.mark.parametrize(
    ("health", "probe"),
    [("HEALTHY", Probe(True)), ("UNHEALTHY", Probe(False)), ("UNKNOWN", None), (None, None)],
)
def test_of_a_health_check_ecs_says_only_whether_it_passes(health: str | None, probe: Probe | None) -> None:
    task_document = {"taskArn": "arn:task/1", "lastStatus": "RUNNING", **({"healthStatus": health} if health else {})}
    assert parse_task(task_document, "web", REVISION).probe == probe
