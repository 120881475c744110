"""What was accepted: which findings do not count, by whose word, and for how long. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from dockgate.gate import patterns, vex_statements
from dockgate.gate.model import AppliedWaiver, Policy, VexStatement, Violation, Waiver, Waivers
from dockgate.scanner.model import Inventory
from dockgate.shared.digest import is_digest
from dockgate.shared.errors import UsageError
from dockgate.shared.timestamps import moment, within
from dockgate.vulnerabilities.model import Finding, Matches

# Characters of a reason; names and patterns have at most a tenth of it.
LONGEST_TEXT = 2000
# `unread` as Linux limits a path.
_LONGEST = {"reason": LONGEST_TEXT, "violation": 10 * LONGEST_TEXT, "unread": 4096}
_TEXTS = (
    "id",
    "owner",
    "reason",
    "vulnerability",
    "package",
    "repository",
    "image",
    "rule",
    "violation",
    "unread",
    "until",
)
UNWAIVABLE_RULE = "malicious"
# Rules whose violations nothing accepts: to accept what could not be read or said would be to call the unknown safe.
EVIDENCE_RULE = "evidence"
# Rules that are broken in one way by an image, whatever the words (its age has others each day): their waivers need not
# say which violation is accepted.
IMAGE_RULES = ("base_image", "end_of_life", "image_age", "provenance", "runs_as_root")


def check_waiver(waiver: Waiver) -> None:
    """Raises UsageError, whose message begins with the key at fault and a colon, for a waiver that cannot be."""
    for key in ("owner", "reason"):
        if not getattr(waiver, key).strip():
            raise UsageError(
                f"{key}: it is missing", "Say who answers for this waiver, and why the finding is accepted."
            )
    for key in _TEXTS:
        text = getattr(waiver, key)
        if len(text) > _LONGEST.get(key, LONGEST_TEXT // 10):
            raise UsageError(f"{key}: it has {len(text)} characters", "Shorten it.")
    if waiver.until and moment(waiver.until) is None:
        raise UsageError(f"until: {waiver.until!r} is no time", "Write a date, 2026-12-31, or a time in RFC 3339.")
    if not waiver.until and not waiver.until_fixed:
        raise UsageError("until: it is missing", "A waiver must expire: add until or until_fixed.")
    if waiver.package and not waiver.package.startswith("pkg:"):
        raise UsageError(
            f"package: {waiver.package!r} is no package URL", "Write it as pkg:npm/lodash or pkg:deb/debian/*."
        )
    if waiver.image and not is_digest(waiver.image):
        raise UsageError(
            f"image: {waiver.image!r} is not a digest", "A digest is sha256: and 64 hex digits in lower case."
        )
    if waiver.unread:
        check_unread(waiver)
    elif waiver.rule:
        _check_rule(waiver)
    elif waiver.violation:
        raise UsageError("rule: it is missing", "Name the rule that the violation is of.")
    elif not (waiver.vulnerability or waiver.package or waiver.image):
        raise UsageError(
            "vulnerability: it is missing",
            "Name a vulnerability, a package or an image: a waiver of everything is none.",
        )


def check_unread(waiver: Waiver) -> None:
    """Raise UsageError, whose message begins with the key at fault, for a waiver of unread content that cannot be."""
    if waiver.vulnerability or waiver.package or waiver.rule or waiver.violation:
        raise UsageError("unread: a waiver is of findings, of a rule, or of unread content", "Add one waiver for each.")
    if not waiver.unread.strip("/*"):
        raise UsageError(
            f"unread: {waiver.unread!r} names no path",
            "Name a path or a package: a waiver cannot accept a whole image.",
        )
    if not waiver.until:
        raise UsageError("until: it is missing", "Add a date: no fix ends a waiver of unread content.")
    if not (waiver.image or waiver.repository.strip("*/")):
        raise UsageError("image: it is missing", "Name the digest of an image, or a repository.")
    if "*" in waiver.unread and not waiver.image:
        raise UsageError(
            "unread: a pattern is for one image", "Name its digest (image), or one path or package without *."
        )
    if waiver.unread.startswith(("*", "pkg:*")):
        raise UsageError("unread: it begins with a *", "Begin with a folder, or with the type of a package.")


def _check_rule(waiver: Waiver) -> None:
    if waiver.rule == UNWAIVABLE_RULE:
        raise UsageError(f"rule: nothing accepts what breaks {UNWAIVABLE_RULE!r}", "Remove the package.")
    if waiver.rule == EVIDENCE_RULE:
        raise UsageError(
            f"rule: nothing accepts what breaks {EVIDENCE_RULE!r}, for it is not known",
            "Accept what could not be read by its path or package (unread), or relax the policy's rule.",
        )
    if waiver.vulnerability or waiver.package:
        raise UsageError("rule: a waiver is of a rule, or of findings", "Make two of it.")
    if not waiver.image:
        raise UsageError("image: it is missing", "A rule is waived for one image: name its digest.")
    if not waiver.until:
        raise UsageError("until: it is missing", "A rule is waived until a date; no fix ends it.")
    if not waiver.violation and waiver.rule not in IMAGE_RULES:
        raise UsageError(
            f"violation: it is missing, and {waiver.rule!r} may be broken by something else tomorrow",
            "Give the violation in the words that the verdict has for it: it is accepted, and no other.",
        )


def select_waivers(waivers: Iterable[Waiver], repository: str, images: Collection[str], now: str) -> tuple[Waiver, ...]:
    """Those that stand and may speak of this image, by id: the rest is not for its verdict to keep. `images` are the
    digests of its manifest and of the index that it is in."""
    chosen = (
        waiver
        for waiver in waivers
        if (not waiver.image or waiver.image in images)
        and (not waiver.repository or patterns.matches(repository, waiver.repository))
        and is_active(waiver, now)
    )
    return tuple(sorted(chosen, key=lambda waiver: waiver.id))


def expiring_waivers(waivers: Iterable[Waiver], now: str, days: float) -> tuple[Waiver, ...]:
    """Those that lapse by date within so many days, the soonest first."""
    soon = (waiver for waiver in waivers if waiver.until and within(waiver.until, now, days))
    return tuple(sorted(soon, key=lambda waiver: (moment(waiver.until), waiver.id)))


def is_active(waiver: Waiver, now: str) -> bool:
    """Whether its date has not come. A time that cannot be read has come."""
    if not waiver.until:
        return waiver.until_fixed
    until, here = moment(waiver.until), moment(now)
    return until is not None and here is not None and here < until


@dataclass(frozen=True, slots=True)
class FindingWaivers:
    """The matches without what does not count, what that is, and notes on VEX statements that were not believed."""

    matches: Matches
    waived: tuple[AppliedWaiver, ...]
    notes: tuple[Violation, ...] = ()


def apply_to_findings(
    matches: Matches, given: Waivers, policy: Policy, inventory: Inventory, index: str, now: str
) -> FindingWaivers:
    """What is accepted or excused of these findings. `index` is the digest of what is judged, of which `inventory` is a
    platform. Nothing waives a known malicious package, and no VEX statement excuses one.

    What VEX says goes before a waiver: it is a fact, and has no end.
    """
    images = {inventory.image, index} - {""}
    ordered = tuple(one for one in longest_first(given.waivers) if not one.image or one.image in images)
    vex = vex_statements.Applicable(given.statements, policy, inventory, images, now)
    left: list[Finding] = []
    waived: list[AppliedWaiver] = []
    notes: list[Violation] = []
    for finding in matches.findings:
        if finding.malicious:
            left.append(finding)
            continue
        notes += (_unbelieved(statement, finding, vex.doubt(statement)) for statement in vex.unbelieved(finding))
        if statement := vex.excuse(finding):
            waived.append(_excused(statement, finding))
        elif waiver := next((waiver for waiver in ordered if _accepts(waiver, finding, now)), None):
            waived.append(AppliedWaiver("waiver", waiver.id, waiver.owner, waiver.reason, waiver.until, finding))
        else:
            left.append(finding)
    return FindingWaivers(Matches(tuple(left), matches.undetermined), tuple(waived), tuple(notes))


def apply_to_violations(
    violations: Sequence[Violation],
    given: Waivers,
    images: Collection[str],
    now: str,
    *,
    growing: Collection[Violation] = (),
) -> tuple[tuple[Violation, ...], tuple[AppliedWaiver, ...]]:
    """The violations without those, of no finding, that are waived for one of `images`; and these. What is unknown is
    not among them, nor what is `growing`: what new findings would be part of, without other words. That holds of
    waivers too that are from before they were refused."""
    ordered = [
        one for one in longest_first(given.waivers) if one.rule and not one.unread and one.image and one.image in images
    ]
    left: list[Violation] = []
    waived: list[AppliedWaiver] = []
    for violation in violations:
        waiver = next((waiver for waiver in ordered if _is_of(waiver, violation) and is_active(waiver, now)), None)
        if waiver is None or violation.findings or violation in growing:
            left.append(violation)
        else:
            waived.append(
                AppliedWaiver(
                    "waiver", waiver.id, waiver.owner, waiver.reason, waiver.until, violation=violation.message
                )
            )
    return tuple(left), tuple(waived)


def _is_of(waiver: Waiver, violation: Violation) -> bool:
    if waiver.rule != violation.rule or violation.rule in (UNWAIVABLE_RULE, EVIDENCE_RULE):
        return False
    return waiver.violation == violation.message if waiver.violation else waiver.rule in IMAGE_RULES


def _accepts(waiver: Waiver, finding: Finding, now: str) -> bool:
    """A waiver that names neither vulnerability nor package is of all findings of its image. Where another scanner does
    not say whether a fix exists, it may."""
    return (
        not waiver.rule
        and not waiver.unread
        and bool(waiver.vulnerability or waiver.package or waiver.image)
        and (not waiver.vulnerability or waiver.vulnerability in (finding.id, *finding.aliases))
        and (not waiver.package or patterns.names_package(waiver.package, finding.package))
        and not (waiver.until_fixed and (finding.fixed or finding.has_unknown_fix))
        and is_active(waiver, now)
    )


def longest_first(waivers: Iterable[Waiver]) -> list[Waiver]:
    """Sort by end, the latest first and those without a date before all; then by age, the oldest first."""

    def last(waiver: Waiver) -> tuple[bool, float]:
        until: datetime | None = moment(waiver.until)
        return bool(waiver.until), -until.timestamp() if until else 0.0

    return sorted(waivers, key=lambda waiver: (*last(waiver), waiver.created_at, waiver.id))


def _excused(statement: VexStatement, finding: Finding) -> AppliedWaiver:
    return AppliedWaiver("vex", statement.document, statement.author, vex_statements.reason(statement), "", finding)


def _unbelieved(statement: VexStatement, finding: Finding, doubt: str) -> Violation:
    package = finding.package
    return Violation(
        "vex",
        f"{finding.id} in {package.name} {package.version}: {statement.author or 'somebody without a name'} says "
        f"{vex_statements.reason(statement)}; not believed, for {doubt}",
        (finding,),
    )
