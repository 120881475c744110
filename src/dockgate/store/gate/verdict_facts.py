"""What lists show of a stored verdict: its counts, and what excuses something in it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dockgate.vulnerabilities.model import Severity

# Findings, violations and paths that a list names of each waiver.
NAMED_SUBJECTS = 3


@dataclass(frozen=True, slots=True)
class CountedWaiver:
    """A waiver, or a VEX document, without which more would count in a verdict.

    `kind` is "waiver" or "vex", `by` the waiver's id or the document's digest. `until` is null without a date. `count`
    is how many findings, violations and unread paths it excuses, and `subjects` names the first of them.
    """

    kind: str
    by: str
    owner: str
    reason: str
    until: str | None
    count: int
    subjects: Sequence[str]


@dataclass(frozen=True, slots=True)
class VerdictFacts:
    """The most findings of any platform by severity, and the waivers, those that excuse the most first."""

    counts: Mapping[str, int]
    waivers: Sequence[CountedWaiver]


def read_facts(platforms: Sequence[Mapping[str, Any]]) -> VerdictFacts:
    """The facts of the verdicts on the platforms of an image, as their document has them."""
    counts = {
        severity.value: max((platform["counts"].get(severity, 0) for platform in platforms), default=0)
        for severity in Severity
    }
    return VerdictFacts(counts, _count_waivers(entry for platform in platforms for entry in platform["waived"]))


def _count_waivers(entries: Iterable[Mapping[str, Any]]) -> Sequence[CountedWaiver]:
    """Something that several platforms share is counted once."""
    first_entries: dict[str, Mapping[str, Any]] = {}
    subjects: dict[str, dict[str, None]] = {}
    for entry in entries:
        first_entries.setdefault(entry["by"], entry)
        subjects.setdefault(entry["by"], {})[_describe_subject(entry)] = None
    waivers = [
        CountedWaiver(
            entry["kind"],
            by,
            entry["owner"],
            entry["reason"],
            entry.get("until"),
            len(subjects[by]),
            list(subjects[by])[:NAMED_SUBJECTS],
        )
        for by, entry in first_entries.items()
    ]
    return sorted(waivers, key=lambda waiver: -waiver.count)


def _describe_subject(entry: Mapping[str, Any]) -> str:
    """A finding as "CVE-2025-0001 in openssl 3.5.1-1", the words of a violation, or what was not read."""
    if finding := entry.get("finding"):
        package = finding["package"]
        return f"{finding['id']} in {package['name']} {package['version']}"
    return entry.get("unread") or entry.get("violation") or ""
