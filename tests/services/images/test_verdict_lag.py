"""One sentence says why the newest recorded verdict differs from the current one."""

from dataclasses import replace
from typing import Any

import pytest
from tests.reports import samples

from dockgate.gate.model import Status
from dockgate.gate.policy_reference import PolicyReference
from dockgate.services.images.search import ImageSummary
from dockgate.services.images.verdict_difference import explain_difference
from dockgate.store.records import VerdictRecord
from dockgate.store.verdict_causes import VerdictCause

RECORDED = samples.make_verdict()
COUNTS = RECORDED.platform_verdicts[0].counts
RECORD = VerdictRecord(
    "sha256:1",
    RECORDED.image,
    PolicyReference("default"),
    Status("Rejected"),
    "1 finding",
    VerdictCause("push/1"),
    "",
    "team/app",
)
CRITICAL = COUNTS.get("CRITICAL", 0)
CURRENT = ImageSummary(
    repository="team/app",
    tag="1",
    digest=RECORDED.image,
    pushed_at="2026-11-01T00:00:00.000Z",
    until=None,
    gone_at=None,
    scan="Done",
    scanner="1",
    status="Rejected",
    summary="1 finding",
    waived=None,
    waivers=(),
    policy=PolicyReference("default"),
    counts=COUNTS,
    since="2026-11-01T00:00:00.000Z",
    cannot_judge_since=None,
    services=[],
)
LATER = "advisories, waivers, VEX documents or the policy have changed since, or time has passed."


@pytest.mark.parametrize(
    ("current", "record", "reason"),
    [
        ({}, {}, None),
        ({"policy": None, "counts": None}, {}, None),
        ({"status": None}, {}, None),
        ({"status": "Approved", "cannot_judge_since": "2026-11-01T00:00:00.000Z"}, {}, None),
        ({"status": "Approved"}, {}, LATER),
        ({"counts": {**COUNTS, "CRITICAL": 9}}, {}, f"count other findings ({CRITICAL} CRITICAL, now 9): {LATER}"),
        ({"waived": "3 waived"}, {}, f"the current one has 3 waived: {LATER}"),
        ({}, {"waived": "3 waived"}, f"only the recorded one has waived findings: {LATER}"),
        ({"waived": "3 waived"}, {"waived": "2 waived findings"}, None),
        (
            {"status": "Approved"},
            {"policy": PolicyReference("lax+sha256:1")},
            "it is by the policy lax+repository, the current one by",
        ),
        ({"status": "Approved", "policy": None}, {"repository": "b/app"}, "it is of the repository b/app."),
    ],
)
def test_a_recorded_verdict_that_differs_says_why(
    current: dict[str, Any], record: dict[str, Any], reason: str | None
) -> None:
    sentence = explain_difference(replace(CURRENT, **current), replace(RECORD, **record), COUNTS)
    if reason is None:
        assert sentence is None
    else:
        assert sentence is not None
        status = current.get("status", "Rejected")
        differs = f"(Rejected) differs from the current one ({status}): {reason}"
        assert (differs if status != "Rejected" else f"are both Rejected, but {reason}") in sentence
