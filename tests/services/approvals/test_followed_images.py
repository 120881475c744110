"""What was approved for outside pipelines is judged again in turn: none waits for ever behind those that fail."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.scenarios.server import ServerSystem
from tests.store.factories import FACTORIES, NOW

from dockgate.services.reconciler_rounds import ROUND_LIMIT
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import UnavailableError
from dockgate.store.delivery.followed_images import follow_images

IMAGES = [compute_digest(str(number).encode()) for number in range(2 * ROUND_LIMIT + 10)]


class FailingVerdicts:
    """Verdicts that always fail. Counts the requests."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()

    def read_advisory_digest(self) -> str:
        return "sha256:0"

    def judge_followed(self, image: str, repository: str, policy: str) -> None:
        self.requests[image] += 1
        raise UnavailableError("The registry does not answer.")


@pytest.fixture(params=sorted(FACTORIES))
def system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerSystem]:
    result = ServerSystem(tmp_path, database=request.param)
    yield result
    result.store.close()


def test_images_that_always_fail_keep_no_other_from_being_judged(system: ServerSystem) -> None:
    with system.store.database.write() as connection:
        rows = [(f"external/{number}", image, "team/app", "default") for number, image in enumerate(IMAGES)]
        follow_images(connection, rows, "sha256:1", NOW)
    verdicts = FailingVerdicts()
    followed = replace(system.use_cases.approved_images, verdicts=verdicts)  # type: ignore[arg-type]
    for _ in range(3):
        followed.review()
    assert verdicts.requests.keys() == set(IMAGES)
    assert verdicts.requests.total() == 3 * ROUND_LIMIT
