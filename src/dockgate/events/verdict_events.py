"""The events of a verdict that is stored. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dockgate.events import aws_events, dockgate_events
from dockgate.events.model import NewEvent
from dockgate.gate.model import PlatformVerdict, Verdict
from dockgate.gate.summaries import count_waived

# Tags of an image that an event names.
MAX_TAGS = 50


@dataclass(frozen=True, slots=True)
class NewVerdict:
    """A verdict on an image that was pushed to a repository under these tags.

    `digest` and `cause` are the verdict's.
    """

    verdict: Verdict
    digest: str
    cause: str
    repository: str
    tags: Sequence[str]

    def make_events(self, scan: int | None) -> list[NewEvent]:
        """Make the event of the verdict and that of the finished scan, whose number is `scan`."""
        verdict, time = self.verdict, self.verdict.inputs.now
        counts = count_findings(verdict.platform_verdicts)
        events: list[NewEvent] = []
        if scan is not None and not verdict.inputs.no_scan_reason:
            events.append(aws_events.make_image_scanned(self.repository, verdict.image, self.tags, scan, counts, time))
            events += aws_events.make_findings_of_image(
                self.repository, verdict.image, self.tags, verdict.platform_verdicts, time
            )
        events.append(
            dockgate_events.make_image_judged(
                cause=self.cause,
                repository=self.repository,
                image=verdict.image,
                tags=self.tags,
                policy=verdict.policy,
                status=verdict.status,
                counts=counts,
                summary=verdict.summary,
                waived_text=count_waived(verdict.platform_verdicts),
                verdict=self.digest,
                time=time,
            )
        )
        return events


def count_findings(verdicts: Sequence[PlatformVerdict]) -> Mapping[str, int]:
    """Count the findings of each severity. Of several platforms, the one with the most counts."""
    counts: dict[str, int] = {}
    for verdict in verdicts:
        for severity, count in verdict.counts.items():
            counts[severity] = max(count, counts.get(severity, 0))
    return counts
