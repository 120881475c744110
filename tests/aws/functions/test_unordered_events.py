"""Many executions wait on few digests; findings roll in after the coverage; events come last, in any order, side
by side, twice, or never; some messages about approvals are forged, and name another image."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.aws.account import SCANNED, Account, digest_of, make_approval_event, make_finding, scan_event

CLOCK = {"source": "aws.events"}
ANSWER = "PutApprovalResult"


class OneByOne:
    """A client whose calls are each atomic, as DynamoDB's are; moto's are not among threads."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if not callable(value):
            return value

        def call(**arguments: Any) -> Any:
            with self._lock:
                return value(**arguments)

        return call


@pytest.mark.parametrize(
    ("executions", "digests", "threads"),
    [(12, 4, 8), *(pytest.param(*counts, marks=pytest.mark.slow) for counts in ((20, 6, 8), (12, 4, 1)))],
)
def test_each_approval_of_a_storm_is_answered_once(aws: Account, executions: int, digests: int, threads: int) -> None:
    chance = random.Random(threads)  # noqa: S311 - no secret
    aws.clients["dynamodb"] = OneByOne(aws.get_client("dynamodb"))
    images = [digest_of(number) for number in range(1, digests + 1)]
    bad = set(images[::3])
    aws.now = SCANNED + 1
    waiting = {aws.ask(image): image for image in (images[number % digests] for number in range(executions))}
    handlers = aws.make_functions()

    def end_scan(image: str) -> None:
        count: dict[str, Any] = {"CRITICAL": 1, "LOW": 4} if image in bad else {"LOW": 4}
        total = sum(count.values())
        handlers.judge(scan_event(image, **{key: n for key, n in count.items() if key != "LOW"}, TOTAL=total))

    def inspect_image(image: str) -> None:
        """The scan ends, and its findings roll in, the worst at last; in one case of four no event says so."""
        result = [make_finding(image, "LOW", number) for number in range(2, 6)]
        result += [make_finding(image, "CRITICAL")] if image in bad else []
        aws.inspector.lag[image] = [*sorted(chance.choices(range(len(result)), k=3)), len(result)]
        aws.complete_scan(image, *result, ended_at=SCANNED)
        if chance.random() < 0.75:
            end_scan(image)

    events: list[Callable[[], object]] = []
    for token, image in waiting.items():
        event = make_approval_event(token, image=image, Execution=aws.approvals.run(token).execution)
        events += [lambda event=event: handlers.record(event)] * chance.choice((1, 1, 2, 3))  # type: ignore[misc]
    for token in list(waiting)[::5]:
        forged_event = make_approval_event(
            token, image=chance.choice(images), Execution=aws.approvals.run(token).execution
        )
        events.append(lambda event=forged_event: handlers.record(event))  # type: ignore[misc]
    for image in images:
        events.append(lambda image=image: inspect_image(image))  # type: ignore[misc]
    chance.shuffle(events)
    with ThreadPoolExecutor(threads) as pool:
        for job in [pool.submit(event) for event in events]:
            job.result()
        for late_job in [pool.submit(end_scan, image) for image in images[:3] * 2]:  # and late
            late_job.result()
        for _ in range(8):  # minutes pass: the lists become complete, and are confirmed
            aws.now += 120
            for sweep in [pool.submit(handlers.sweep, CLOCK) for _ in range(min(threads, 2))]:
                sweep.result()
    right = {token: "Rejected" if image in bad else "Approved" for token, image in waiting.items()}
    assert aws.approvals.answered == right
    answer_counts = Counter(request["token"] for name, request in aws.services["codepipeline"].calls if name == ANSWER)
    assert set(answer_counts.values()) == {1}
    aws.now += 3600  # until then a forged message about what was answered may be one that is not listed yet
    assert handlers.sweep(CLOCK) == {"waiting": 0}
    assert aws.approvals.answered == right
