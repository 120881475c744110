"""The reference solution's defects: fixed here, and shown in a model of the reference solution."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenarios.defects import (
    CASES,
    Case,
    check_an_absent_severity_counts_as_zero,
    check_an_event_that_comes_twice_answers_once,
)
from tests.scenarios.reference import Reference, SpentTokenError
from tests.scenarios.server import ServerSystem
from tests.store.factories import FACTORIES, limit_to_sqlite

# How the reference solution fails, where that is not a wrong answer and not none at all either.
BREAKS: dict[Case, type[Exception]] = {
    check_an_absent_severity_counts_as_zero: KeyError,
    check_an_event_that_comes_twice_answers_once: SpentTokenError,
}


@pytest.fixture(scope="module", params=FACTORIES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server")), database=request.param) as system:
        yield system


def name(case: Case) -> str:
    return case.__name__


@limit_to_sqlite("server")
@pytest.mark.parametrize("case", CASES, ids=name)
def test_each_defect_is_fixed(case: Case, server: ServerSystem) -> None:
    case(server)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_the_reference_solution_has_each_defect(case: Case) -> None:
    with pytest.raises(BREAKS.get(case, AssertionError)):
        case(Reference())
