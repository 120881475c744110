"""The reference solution's defects, on the handlers. That the model of its logic fails each is shown in
`scenarios/test_defects.py`, by the same cases."""

import pytest
from tests.aws.account import Account
from tests.aws.functions.system import Functions
from tests.scenarios.defects import CASES, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_handlers_repeat_no_defect_of_the_reference_solution(case: Case, aws: Account) -> None:
    case(Functions(aws))
