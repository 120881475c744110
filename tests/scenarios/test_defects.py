"""The reference solution's defects: mended here, and seen in a model of the reference solution."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenarios.defects import CASES, Case
from tests.scenarios.reference import Reference
from tests.scenarios.server import ServerSystem


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as system:
        yield system


def name(case: Case) -> str:
    return case.__name__


@pytest.mark.parametrize("case", CASES, ids=name)
def test_here(case: Case, server: ServerSystem) -> None:
    case(server)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_the_reference_fails(case: Case) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - each breaks in its own way: a wrong answer, none, or a crash
        case(Reference())
