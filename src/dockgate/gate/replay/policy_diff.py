"""A candidate policy against the one that holds: what would be said otherwise. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dockgate.gate.model import PlatformVerdict, Status, worst


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that blocks: a violation of `rule`, or with `rule` "" what is undetermined. `text` is what is said."""

    platform: str
    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class ImageComparison:
    """One image, as it is judged by `policy`, and as it would be by the candidate: which entries `come` and `go`.

    `image` is a digest or a reference, `for_what` the service that runs it or the digest of the verdict that stands.
    """

    image: str
    for_what: str
    policy: str
    before: Status
    after: Status
    come: tuple[Entry, ...]
    go: tuple[Entry, ...]

    @property
    def turned(self) -> bool:
        return self.before is not self.after

    @property
    def changed(self) -> bool:
        return self.turned or bool(self.come or self.go)


@dataclass(frozen=True, slots=True)
class PolicyComparison:
    """A part of what a candidate was tried on. `judged` counts all that were, `turned` those of another status, as
    "Approved → Rejected"; `changes` are those of which anything changes. `next` is where to go on, "" at the end."""

    judged: int
    turned: dict[str, int]
    changes: tuple[ImageComparison, ...]
    next: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What blocks an image, and what follows."""

    status: Status
    entries: tuple[Entry, ...]


def said(platform_verdicts: Sequence[PlatformVerdict]) -> Said:
    entries = dict.fromkeys(entry for platform_verdict in platform_verdicts for entry in _blocking(platform_verdict))
    return Said(worst([platform_verdict.status for platform_verdict in platform_verdicts]), tuple(entries))


def said_in(verdict: bytes) -> Said:
    """Of a verdict's canonical bytes. Its findings, most of it, are not made into values for that."""
    document = json.loads(verdict)
    entries: dict[Entry, None] = {}
    for one in document["platform_verdicts"]:
        platform = one["platform"]
        entries |= {Entry(platform, violation["rule"], violation["message"]): None for violation in one["violations"]}
        entries |= {Entry(platform, "", entry["reason"]): None for entry in one["undetermined"]}
    return Said(Status(document["status"]), tuple(entries))


def compare(before: Said, after: Said, policy: str, image: str, for_what: str = "") -> ImageComparison:
    """What `policy` says of an image, and what the candidate says."""
    old, new = set(before.entries), set(after.entries)
    return ImageComparison(
        image=image,
        for_what=for_what,
        policy=policy,
        before=before.status,
        after=after.status,
        come=tuple(entry for entry in after.entries if entry not in old),
        go=tuple(entry for entry in before.entries if entry not in new),
    )


def summed(trials: list[ImageComparison], next_: str = "") -> PolicyComparison:
    turned: dict[str, int] = {}
    for trial in trials:
        if trial.turned:
            turn = f"{trial.before} → {trial.after}"
            turned[turn] = turned.get(turn, 0) + 1
    return PolicyComparison(len(trials), turned, tuple(trial for trial in trials if trial.changed), next_)


def _blocking(platform_verdict: PlatformVerdict) -> list[Entry]:
    platform = platform_verdict.platform
    violations = [Entry(platform, violation.rule, violation.message) for violation in platform_verdict.violations]
    return [*violations, *(Entry(platform, "", one.reason) for one in platform_verdict.undetermined)]
