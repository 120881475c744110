"""The reference solution's defects, one case each. A case drives a `System` and asserts what ought to be.

`test_defects.py` runs every case against a running server, where it must pass, and against a model of the reference
solution's logic, where it must fail: so each is known to bite.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class PlannedFindings:
    """What a scan of an image finds. `counts` are findings with a fix, `unfixable` those without one.

    `status` is the scan's outcome: COMPLETE, UNSUPPORTED (no known operating system), UNREAD (a file was not read),
    ARTIFACT (no image at all), or anything else for a scan that ends in an unexpected way.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    unfixable: Mapping[str, int] = field(default_factory=dict)
    status: str = "COMPLETE"


class System(Protocol):
    """What waits, scans and answers. An answer is None while it is pending."""

    def plan_image(self, name: str, findings: PlannedFindings) -> str:
        """An image that a build will give and a scan will find so. Returns its digest."""
        ...

    def request_approval(self, image: str) -> str:
        """An execution builds the image and asks for its approval. Returns the execution."""
        ...

    def request_approval_after_scan(self, image: str) -> str:
        """Like `request_approval`, but the scan ends before the approval is requested."""
        ...

    def accept(self, image: str) -> None:
        """Accept the image's first CRITICAL finding until a date."""
        ...

    def end_scan(self, image: str) -> None:
        """The scan of the image ends, or its event comes once more."""
        ...

    def answer(self, execution: str) -> str | None:
        """Approved, Rejected, or None when there is none and none will come by itself."""
        ...

    def read_summary(self, execution: str) -> str:
        """The whole summary that the waiting caller gets."""
        ...

    def count_answers(self, execution: str) -> int: ...

    def count_expired_rows(self) -> int:
        """How many approvals are kept after their time to be kept is over."""
        ...

    def deploy_image(self, image: str) -> None:
        """The image is approved and runs."""
        ...

    def publish_advisory(self, image: str) -> None:
        """A critical advisory with a fix appears for a package of the image."""
        ...

    def is_at_risk(self, image: str) -> bool: ...

    def is_running(self, image: str) -> bool: ...

    def redeploy_image(self, image: str) -> str:
        """Tries to deploy the image again; "Deployed" or "Refused"."""
        ...


Case = Callable[[System], None]


def check_an_absent_severity_counts_as_zero(system: System) -> None:
    image = system.plan_image("sparse", PlannedFindings({"MEDIUM": 1}))
    execution = system.request_approval(image)
    system.end_scan(image)
    assert system.answer(execution) == "Approved"


def check_low_findings_are_counted(system: System) -> None:
    image = system.plan_image("low", PlannedFindings({"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0, "LOW": 16}))
    execution = system.request_approval(image)
    system.end_scan(image)
    assert system.answer(execution) == "Rejected"


def check_a_threshold_is_the_most_that_is_allowed(system: System) -> None:
    image = system.plan_image("ten-mediums", PlannedFindings({"MEDIUM": 10, "CRITICAL": 0, "HIGH": 0}))
    execution = system.request_approval(image)
    system.end_scan(image)
    assert system.answer(execution) == "Approved"


def check_every_violation_is_notified(system: System) -> None:
    image = system.plan_image("two-violations", PlannedFindings({"CRITICAL": 1, "HIGH": 2, "MEDIUM": 0}))
    execution = system.request_approval(image)
    system.end_scan(image)
    assert system.answer(execution) == "Rejected"
    summary = system.read_summary(execution).upper()
    assert "CRITICAL" in summary
    assert "HIGH" in summary


def check_a_scan_that_ends_before_the_approval_is_requested_is_not_lost(system: System) -> None:
    image = system.plan_image("early", PlannedFindings({"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0}))
    assert system.answer(system.request_approval_after_scan(image)) == "Approved"


def check_two_executions_waiting_on_one_digest_are_both_answered(system: System) -> None:
    image = system.plan_image("shared", PlannedFindings({"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0}))
    first, second = system.request_approval(image), system.request_approval(image)
    system.end_scan(image)
    assert [system.answer(first), system.answer(second)] == ["Approved", "Approved"]


def check_a_digest_that_is_built_again_is_answered(system: System) -> None:
    image = system.plan_image("again", PlannedFindings({"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0}))
    first = system.request_approval(image)
    system.end_scan(image)
    assert system.answer(first) == "Approved"
    assert system.answer(system.request_approval(image)) == "Approved"


def check_an_image_that_cannot_be_scanned_gets_an_answer(system: System) -> None:
    image = system.plan_image("unknown-system", PlannedFindings(status="UNSUPPORTED"))
    execution = system.request_approval(image)
    system.end_scan(image)
    assert system.answer(execution) == "Rejected"


def check_a_scan_that_ends_unexpectedly_gets_an_answer(system: System) -> None:
    image = system.plan_image("strange", PlannedFindings(status="STRANGE"))
    execution = system.request_approval(image)
    system.end_scan(image)
    assert system.answer(execution) == "Rejected"


def check_an_event_that_comes_twice_answers_once(system: System) -> None:
    image = system.plan_image("twice", PlannedFindings({"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0}))
    execution = system.request_approval(image)
    system.end_scan(image)
    system.end_scan(image)
    assert system.answer(execution) == "Approved"
    assert system.count_answers(execution) == 1


def check_settled_approvals_are_deleted_in_the_end(system: System) -> None:
    image = system.plan_image("kept", PlannedFindings({"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0}))
    execution = system.request_approval(image)
    system.end_scan(image)
    assert system.answer(execution) == "Approved"
    assert system.count_expired_rows() == 0


def check_findings_without_a_fix_do_not_block(system: System) -> None:
    image = system.plan_image("unfixable", PlannedFindings({"CRITICAL": 0, "MEDIUM": 0}, unfixable={"HIGH": 3}))
    execution = system.request_approval(image)
    system.end_scan(image)
    assert system.answer(execution) == "Approved"


def check_accepted_findings_do_not_block(system: System) -> None:
    image = system.plan_image("accepted", PlannedFindings({"CRITICAL": 1, "HIGH": 0, "MEDIUM": 0}))
    system.accept(image)
    execution = system.request_approval(image)
    system.end_scan(image)
    assert system.answer(execution) == "Approved"


def check_an_approved_image_is_judged_again(system: System) -> None:
    image = system.plan_image("old", PlannedFindings({"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0}))
    system.deploy_image(image)
    system.publish_advisory(image)
    assert system.is_at_risk(image)
    assert system.is_running(image)
    assert system.redeploy_image(image) == "Refused"


CASES: tuple[Case, ...] = (
    check_an_absent_severity_counts_as_zero,
    check_low_findings_are_counted,
    check_a_threshold_is_the_most_that_is_allowed,
    check_every_violation_is_notified,
    check_a_scan_that_ends_before_the_approval_is_requested_is_not_lost,
    check_two_executions_waiting_on_one_digest_are_both_answered,
    check_a_digest_that_is_built_again_is_answered,
    check_an_image_that_cannot_be_scanned_gets_an_answer,
    check_a_scan_that_ends_unexpectedly_gets_an_answer,
    check_an_event_that_comes_twice_answers_once,
    check_settled_approvals_are_deleted_in_the_end,
    check_findings_without_a_fix_do_not_block,
    check_accepted_findings_do_not_block,
    check_an_approved_image_is_judged_again,
)
