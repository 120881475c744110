"""Check waivers, and apply them and VEX statements to findings and violations. Pure."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from dockgate.gate import patterns, vex_statements
from dockgate.gate.cve_enrichment import EVIDENCE_RULE
from dockgate.gate.model import AppliedExemption, ExemptionSet, Policy, VexStatement, Violation, Waiver
from dockgate.scanner.model import Inventory
from dockgate.shared.digest import DIGEST_ADVICE, is_digest
from dockgate.shared.errors import UsageError
from dockgate.shared.purl import is_purl, strip_scheme
from dockgate.shared.timestamps import is_within_days, parse_time
from dockgate.vulnerabilities.model import Finding, Matches

# In characters. `unread` has the limit of Linux for a path; names and patterns have a tenth of the limit of a reason.
_TEXT_LIMIT = 2000
_LIMITS = {"reason": _TEXT_LIMIT, "violation": 10 * _TEXT_LIMIT, "unread": 4096}
_NAMES = ("id", "owner", "vulnerability", "package", "repository", "image", "rule", "until")
# Notes on VEX statements that were not trusted. Everybody who may push can attach documents of any authors.
NOTES_LIMIT = 1_000
# Ids of advisories: of CVE and GHSA as they are assigned, of other publishers any word.
_ADVISORY_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/@-]*")
_ADVISORY_FORMS = {"CVE": re.compile(r"CVE-\d{4}-\d{1,7}"), "GHSA": re.compile(r"GHSA(-[0-9a-z]{4}){3}")}
# No waiver accepts a malicious package.
UNWAIVABLE_RULE = "malicious"
# Rules that an image can violate in one way only. Their waivers need not repeat the message, which may change daily.
IMAGE_RULES = ("base_image", "end_of_life", "image_age", "provenance", "runs_as_root")


def check_waiver(waiver: Waiver) -> None:
    """Raise UsageError for an invalid waiver. The message begins with the key at fault and a colon."""
    for key in ("owner", "reason"):
        if not getattr(waiver, key).strip():
            raise UsageError(f"{key}: it is missing", "Name an owner, and the reason why the finding is accepted.")
    for key in (*_NAMES, *_LIMITS):
        text = getattr(waiver, key)
        if text is not None and len(text) > _LIMITS.get(key, _TEXT_LIMIT // 10):
            raise UsageError(f"{key}: it has {len(text)} characters", "Shorten it.")
    if waiver.until and parse_time(waiver.until) is None:
        raise UsageError(f"until: {waiver.until!r} is not a time", "Write a date, 2026-12-31, or a time in RFC 3339.")
    if not waiver.until and not waiver.until_fixed:
        raise UsageError("until: it is missing", "A waiver must expire: add until or until_fixed.")
    if waiver.vulnerability:
        _check_advisory_id(waiver.vulnerability)
    if waiver.package and not is_purl(waiver.package):
        advice = "Write it as pkg:npm/lodash or pkg:deb/debian/*."
        raise UsageError(f"package: {waiver.package!r} is not a package URL", advice)
    if waiver.package and _is_unlimited(waiver, waiver.package):
        advice = "Name a package, its type (pkg:npm/**), an image or a repository: no waiver accepts everything."
        raise UsageError(f"package: {waiver.package!r} matches every package", advice)
    if waiver.image and not is_digest(waiver.image):
        raise UsageError(f"image: {waiver.image!r} is not a digest", DIGEST_ADVICE)
    if waiver.unread:
        check_unread(waiver, waiver.unread)
    elif waiver.rule:
        _check_rule(waiver)
    elif waiver.violation:
        raise UsageError("rule: it is missing", "Name the rule of the violation.")
    elif not (waiver.vulnerability or waiver.package or waiver.image):
        advice = "Name a vulnerability, a package or an image: no waiver accepts everything."
        raise UsageError("vulnerability: it is missing", advice)


def _check_advisory_id(text: str) -> None:
    """Raise UsageError for what no advisory is named. Whether an advisory has this id does not matter."""
    form = next((form for name, form in _ADVISORY_FORMS.items() if text.upper().startswith(name)), _ADVISORY_FORM)
    if form.fullmatch(text) is None:
        raise UsageError(
            f"vulnerability: {text!r} cannot be the id of an advisory",
            "Copy the id from the verdict, such as CVE-2024-3094, GHSA-jfh8-c2jp-5v3q or DSA-5649-1.",
        )


def _is_unlimited(waiver: Waiver, package_pattern: str) -> bool:
    """Return whether the waiver accepts all findings of all images."""
    is_scoped = waiver.vulnerability or waiver.image or (waiver.repository or "").strip("*/")
    return not is_scoped and not patterns.split(package_pattern)[0].strip("*/")


def check_unread(waiver: Waiver, unread_pattern: str) -> None:
    """Raise UsageError for an invalid waiver of unread content, `unread_pattern`.

    The message begins with the key at fault.
    """
    if waiver.vulnerability or waiver.package or waiver.rule or waiver.violation:
        raise UsageError("unread: a waiver accepts findings, or a rule, or unread content", "Add one waiver for each.")
    if not unread_pattern.strip("/*"):
        advice = "Name a path or a package: a waiver cannot accept a whole image."
        raise UsageError(f"unread: {unread_pattern!r} names no path", advice)
    if not waiver.until:
        raise UsageError("until: it is missing", "Add a date: no fix ends a waiver of unread content.")
    if not (waiver.image or (waiver.repository or "").strip("*/")):
        raise UsageError("image: it is missing", "Name the digest of an image, or a repository.")
    if "*" in unread_pattern and not waiver.image:
        raise UsageError("unread: a pattern needs an image", "Name its digest (image), or one path without *.")
    if strip_scheme(unread_pattern).startswith("*"):
        raise UsageError("unread: it begins with a *", "Begin with a folder, or with the type of a package.")


def _check_rule(waiver: Waiver) -> None:
    if waiver.rule == UNWAIVABLE_RULE:
        raise UsageError(f"rule: {UNWAIVABLE_RULE!r} cannot be waived", "Remove the package.")
    if waiver.rule == EVIDENCE_RULE:
        raise UsageError(
            f"rule: {EVIDENCE_RULE!r} cannot be waived as a whole",
            "Accept the unread path or package (unread), or relax the rule in the policy.",
        )
    if waiver.vulnerability or waiver.package:
        raise UsageError("rule: a waiver accepts a rule or findings", "Add one waiver for each.")
    if not waiver.image:
        raise UsageError("image: it is missing", "A rule is waived for one image: name its digest.")
    if not waiver.until:
        raise UsageError("until: it is missing", "A waiver of a rule needs a date: no fix ends it.")
    if not waiver.violation and waiver.rule not in IMAGE_RULES:
        raise UsageError(
            f"violation: it is missing; without it the waiver would accept later violations of {waiver.rule!r}",
            "Copy the violation's message from the verdict: the waiver accepts no other.",
        )


def select_waivers(
    waivers: Iterable[Waiver], repository: str | None, images: Collection[str], now: str
) -> tuple[Waiver, ...]:
    """The active waivers that can apply to an image, by id. Only these are stored with its verdict.

    `images` are the digests of the image's manifest and of the index that contains it. If `repository` is None, no
    waiver of a repository applies, whatever its pattern.
    """
    selected_waivers = (
        waiver
        for waiver in waivers
        if (not waiver.image or waiver.image in images)
        and (not waiver.repository or (repository is not None and patterns.is_match(repository, waiver.repository)))
        and is_active(waiver, now)
    )
    return tuple(sorted(selected_waivers, key=lambda waiver: waiver.id))


def select_expiring_waivers(waivers: Iterable[Waiver], now: str, days: float) -> tuple[Waiver, ...]:
    """The waivers that expire by date within this many days, soonest first."""
    expiring = (waiver for waiver in waivers if waiver.until and is_within_days(waiver.until, now, days))
    return tuple(sorted(expiring, key=lambda waiver: (parse_time(waiver.until), waiver.id)))


def is_active(waiver: Waiver, now: str) -> bool:
    """Return whether the waiver's date is still to come. An unreadable time counts as over."""
    if not waiver.until:
        return waiver.until_fixed
    until, judged_at = parse_time(waiver.until), parse_time(now)
    return until is not None and judged_at is not None and judged_at < until


def sort_by_latest_end(waivers: Iterable[Waiver]) -> list[Waiver]:
    """Sort waivers by their end, latest first, then by age, oldest first.

    Those without a date come before all.
    """

    def rank_waiver(waiver: Waiver) -> tuple[bool, float, str, str]:
        until = parse_time(waiver.until)
        return bool(waiver.until), -until.timestamp() if until else 0.0, waiver.created_at or "", waiver.id

    return sorted(waivers, key=rank_waiver)


def find_covering_waiver(
    waiver: Waiver, other_waivers: Iterable[Waiver], shared_names: Collection[str] = ()
) -> Waiver | None:
    """Return a waiver that ends later and accepts all that this one accepts, or None.

    `shared_names` are other names that all findings of its vulnerability have. One that accepts a part of it is not
    found, nor are several that accept it together.
    """
    names = {waiver.vulnerability, *shared_names}
    covering_waivers = [candidate for candidate in other_waivers if _is_covering(candidate, waiver, names)]
    return next(iter(sort_by_latest_end(covering_waivers)), None)


def _is_covering(candidate: Waiver, waiver: Waiver, names: Collection[str | None]) -> bool:
    if candidate.vulnerability and candidate.vulnerability not in names:
        return False
    candidate_end, end = parse_time(candidate.until), parse_time(waiver.until)
    return (
        candidate.id != waiver.id
        and bool(candidate.vulnerability or candidate.package or candidate.image or candidate.unread)
        and (candidate_end is None or (end is not None and candidate_end > end))
        and (waiver.until_fixed or not candidate.until_fixed)
        and (candidate.rule or "", bool(candidate.unread)) == (waiver.rule or "", bool(waiver.unread))
        and all(
            not wide or wide == narrow
            for wide, narrow in (
                (candidate.violation, waiver.violation),
                (candidate.image, waiver.image),
            )
        )
        and all(
            not wide or (narrow is not None and is_covering(wide, narrow))
            for wide, narrow, is_covering in (
                (candidate.package, waiver.package, patterns.is_covering_packages),
                (candidate.repository, waiver.repository, patterns.is_covering),
                (candidate.unread, waiver.unread, patterns.is_covering),
            )
        )
    )


@dataclass(frozen=True, slots=True)
class FindingWaivers:
    """`matches` are the findings that still count. `notes` report VEX statements that were not trusted."""

    matches: Matches
    applied_waivers: tuple[AppliedExemption, ...]
    notes: tuple[Violation, ...] = ()


def apply_to_findings(
    matches: Matches, waivers: ExemptionSet, policy: Policy, inventory: Inventory, index: str | None, now: str
) -> FindingWaivers:
    """Separate the findings that a waiver or a trusted VEX statement excuses from those that count.

    `index` is the digest that is judged, and `inventory` one of its platforms. VEX goes before waivers: a statement is
    a fact without an end. Nothing excuses a malicious package.
    """
    images = {digest for digest in (inventory.image, index) if digest}
    candidates = [
        waiver for waiver in sort_by_latest_end(waivers.waivers) if not waiver.image or waiver.image in images
    ]
    vex = vex_statements.PlatformStatements(waivers.statements, policy, inventory, images, now)
    counting: list[Finding] = []
    applied_waivers: list[AppliedExemption] = []
    notes: list[Violation] = []
    for finding in matches.findings:
        if finding.is_malicious:
            counting.append(finding)
            continue
        if len(notes) <= NOTES_LIMIT:
            notes += (
                _make_distrust_note(statement, finding, vex.explain_distrust(statement))
                for statement in vex.list_untrusted_statements(finding)
            )
        if statement := vex.find_excuse(finding):
            words = vex_statements.describe(statement)
            applied_waivers.append(AppliedExemption("vex", statement.document, statement.author, words, None, finding))
        elif waiver := next((waiver for waiver in candidates if is_finding_accepted(waiver, finding, now)), None):
            applied_waivers.append(make_applied_waiver(waiver, finding=finding))
        else:
            counting.append(finding)
    if len(notes) > NOTES_LIMIT:
        notes[NOTES_LIMIT:] = [Violation("vex", "More statements are not trusted; they are not listed.")]
    return FindingWaivers(Matches(tuple(counting), matches.undetermined), tuple(applied_waivers), tuple(notes))


def apply_to_violations(
    violations: Sequence[Violation],
    waivers: ExemptionSet,
    images: Collection[str],
    now: str,
    not_waivable_by_message: Collection[Violation] = (),
) -> tuple[tuple[Violation, ...], tuple[AppliedExemption, ...]]:
    """Separate the violations without findings that are waived for one of `images` from those that count.

    Never waived are the rules `evidence` and `malicious`, and `not_waivable_by_message` violations, which new findings
    break without another message. That also holds for waivers that were stored before these checks existed.
    """
    candidates = [
        waiver
        for waiver in sort_by_latest_end(waivers.waivers)
        if waiver.rule and not waiver.unread and waiver.image and waiver.image in images
    ]
    counting: list[Violation] = []
    applied_waivers: list[AppliedExemption] = []
    for violation in violations:
        waiver = next(
            (waiver for waiver in candidates if _is_violation_accepted(waiver, violation) and is_active(waiver, now)),
            None,
        )
        if waiver is None or violation.findings or violation in not_waivable_by_message:
            counting.append(violation)
        else:
            applied_waivers.append(make_applied_waiver(waiver, violation=violation.message))
    return tuple(counting), tuple(applied_waivers)


def make_applied_waiver(
    waiver: Waiver, *, finding: Finding | None = None, violation: str | None = None, unread_path: str | None = None
) -> AppliedExemption:
    """The record that a waiver accepts this subject."""
    return AppliedExemption(
        "waiver", waiver.id, waiver.owner, waiver.reason, waiver.until, finding, violation=violation, unread=unread_path
    )


def _is_violation_accepted(waiver: Waiver, violation: Violation) -> bool:
    if waiver.rule != violation.rule or violation.rule in (UNWAIVABLE_RULE, EVIDENCE_RULE):
        return False
    return waiver.violation == violation.message if waiver.violation else waiver.rule in IMAGE_RULES


def is_finding_accepted(waiver: Waiver, finding: Finding, now: str) -> bool:
    """Return whether an active waiver accepts the finding.

    Without vulnerability and package it accepts all of its image. `until_fixed` ends the waiver if a fix exists, or if
    it is unknown whether one does.
    """
    return (
        not waiver.rule
        and not waiver.unread
        and bool(waiver.vulnerability or waiver.package or waiver.image)
        and (not waiver.vulnerability or waiver.vulnerability in (finding.id, *finding.aliases))
        and (not waiver.package or patterns.is_package_match(waiver.package, finding.package))
        and not (waiver.until_fixed and (finding.fixed or finding.has_unknown_fix))
        and is_active(waiver, now)
    )


def _make_distrust_note(statement: VexStatement, finding: Finding, reason: str) -> Violation:
    package = finding.package
    return Violation(
        "vex",
        f"{finding.id} in {package.name} {package.version}: {statement.author or 'an unnamed author'} says "
        f"{vex_statements.describe(statement)}; not trusted: {reason}",
        (finding,),
    )
