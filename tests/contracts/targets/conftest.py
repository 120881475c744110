from collections.abc import Iterator

import pytest
from moto import mock_aws
from tests.contracts.targets.systems import InEcs, Memory, Podman, System, clean
from tests.parts import run_host


@pytest.fixture
def ecs() -> Iterator[InEcs]:
    with mock_aws():
        yield InEcs()


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    with run_host(tmp_path_factory.mktemp("targets")) as host:
        yield Podman(host)


@pytest.fixture(params=["memory", "ecs", pytest.param("podman", marks=pytest.mark.real)])
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    system: System = Memory() if request.param == "memory" else request.getfixturevalue(request.param)
    yield system
    if request.param == "podman":
        clean(system.target)
