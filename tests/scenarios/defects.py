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

    def image(self, name: str, findings: PlannedFindings) -> str:
        """An image that a build will give and a scan will find so. Returns its digest."""
        ...

    def approval(self, image: str) -> str:
        """An execution builds the image and asks for its approval. Returns the execution."""
        ...

    def early_approval(self, image: str) -> str:
        """Like `approval`, but the scan has ended before the approval is asked for."""
        ...

    def accept(self, image: str) -> None:
        """Accept the image's first CRITICAL finding until a date."""
        ...

    def scanned(self, image: str) -> None:
        """The scan of the image ends, or its event comes once more."""
        ...

    def answer(self, execution: str) -> str | None:
        """Approved, Rejected, or None when there is none and none will come by itself."""
        ...

    def summary(self, execution: str) -> str:
        """The whole summary that the waiting caller gets."""
        ...

    def answers_sent(self, execution: str) -> int: ...

    def rows(self) -> int:
        """How many approvals are kept after their time to be kept is over."""
        ...

    def deployed(self, image: str) -> None:
        """The image is approved and runs."""
        ...

    def advisory_appears(self, image: str) -> None:
        """A critical advisory with a fix appears for a package of the image."""
        ...

    def marked_at_risk(self, image: str) -> bool: ...

    def runs(self, image: str) -> bool: ...

    def redeploy(self, image: str) -> str:
        """Tries to deploy the image again; "Deployed" or "Refused"."""
        ...


Case = Callable[[System], None]


def an_absent_severity_counts_as_zero(system: System) -> None:
    image = system.image("sparse", PlannedFindings({"MEDIUM": 1}))
    execution = system.approval(image)
    system.scanned(image)
    assert system.answer(execution) == "Approved"


def low_findings_are_counted(system: System) -> None:
    image = system.image("low", PlannedFindings({"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0, "LOW": 16}))
    execution = system.approval(image)
    system.scanned(image)
    assert system.answer(execution) == "Rejected"


def a_threshold_is_the_most_that_is_allowed(system: System) -> None:
    image = system.image("ten-mediums", PlannedFindings({"MEDIUM": 10, "CRITICAL": 0, "HIGH": 0}))
    execution = system.approval(image)
    system.scanned(image)
    assert system.answer(execution) == "Approved"


def every_violation_is_notified(system: System) -> None:
    image = system.image("two-violations", PlannedFindings({"CRITICAL": 1, "HIGH": 2, "MEDIUM": 0}))
    execution = system.approval(image)
    system.scanned(image)
    assert system.answer(execution) == "Rejected"
    summary = system.summary(execution).upper()
    assert "CRITICAL" in summary
    assert "HIGH" in summary


def a_scan_that_ends_before_the_approval_is_asked_for_is_not_lost(system: System) -> None:
    image = system.image("early", PlannedFindings({"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0}))
    assert system.answer(system.early_approval(image)) == "Approved"


def two_executions_waiting_on_one_digest_are_both_answered(system: System) -> None:
    image = system.image("shared", PlannedFindings({"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0}))
    first, second = system.approval(image), system.approval(image)
    system.scanned(image)
    assert [system.answer(first), system.answer(second)] == ["Approved", "Approved"]


def a_digest_that_is_built_again_is_answered(system: System) -> None:
    image = system.image("again", PlannedFindings({"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0}))
    first = system.approval(image)
    system.scanned(image)
    assert system.answer(first) == "Approved"
    assert system.answer(system.approval(image)) == "Approved"


def an_image_that_cannot_be_scanned_gets_an_answer(system: System) -> None:
    image = system.image("unknown-system", PlannedFindings(status="UNSUPPORTED"))
    execution = system.approval(image)
    system.scanned(image)
    assert system.answer(execution) == "Rejected"


def a_scan_that_ends_unexpectedly_gets_an_answer(system: System) -> None:
    image = system.image("strange", PlannedFindings(status="STRANGE"))
    execution = system.approval(image)
    system.scanned(image)
    assert system.answer(execution) == "Rejected"


def an_event_that_comes_twice_answers_once(system: System) -> None:
    image = system.image("twice", PlannedFindings({"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0}))
    execution = system.approval(image)
    system.scanned(image)
    system.scanned(image)
    assert system.answer(execution) == "Approved"
    assert system.answers_sent(execution) == 1


def what_is_settled_is_deleted_in_the_end(system: System) -> None:
    image = system.image("kept", PlannedFindings({"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0}))
    execution = system.approval(image)
    system.scanned(image)
    assert system.answer(execution) == "Approved"
    assert system.rows() == 0


def what_has_no_fix_does_not_block(system: System) -> None:
    image = system.image("unfixable", PlannedFindings({"CRITICAL": 0, "MEDIUM": 0}, unfixable={"HIGH": 3}))
    execution = system.approval(image)
    system.scanned(image)
    assert system.answer(execution) == "Approved"


def what_is_accepted_does_not_block(system: System) -> None:
    image = system.image("accepted", PlannedFindings({"CRITICAL": 1, "HIGH": 0, "MEDIUM": 0}))
    system.accept(image)
    execution = system.approval(image)
    system.scanned(image)
    assert system.answer(execution) == "Approved"


def what_passed_once_is_judged_again(system: System) -> None:
    image = system.image("old", PlannedFindings({"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0}))
    system.deployed(image)
    system.advisory_appears(image)
    assert system.marked_at_risk(image)
    assert system.runs(image)
    assert system.redeploy(image) == "Refused"


CASES: tuple[Case, ...] = (
    an_absent_severity_counts_as_zero,
    low_findings_are_counted,
    a_threshold_is_the_most_that_is_allowed,
    every_violation_is_notified,
    a_scan_that_ends_before_the_approval_is_asked_for_is_not_lost,
    two_executions_waiting_on_one_digest_are_both_answered,
    a_digest_that_is_built_again_is_answered,
    an_image_that_cannot_be_scanned_gets_an_answer,
    a_scan_that_ends_unexpectedly_gets_an_answer,
    an_event_that_comes_twice_answers_once,
    what_is_settled_is_deleted_in_the_end,
    what_has_no_fix_does_not_block,
    what_is_accepted_does_not_block,
    what_passed_once_is_judged_again,
)
