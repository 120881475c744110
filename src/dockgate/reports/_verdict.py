"""Why a verdict is as it is, and what would turn it."""

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence

from rich.console import Console
from rich.text import Text

from dockgate.delivery.accept_commands import waiver_commands
from dockgate.gate.model import AppliedWaiver, PlatformVerdict, Status, Upgrade, Verdict, Violation
from dockgate.gate.next_steps import NextStep, next_steps
from dockgate.gate.summaries import waived_words
from dockgate.reports import _words as words
from dockgate.reports._lines import (
    ID_WIDTH,
    NAME_WIDTH,
    STATUS,
    aligned,
    bullets,
    heading,
    line,
    marks,
    plural,
    severity,
    shell_command,
    show,
    some,
)
from dockgate.reports._parts import waiver
from dockgate.vulnerabilities.model import Finding, Undetermined


def headline(verdict: Verdict) -> Text:
    """The status and the policy; an approval with waived findings says so, in another colour than one without."""
    glyph, style = STATUS[verdict.status]
    waived = waived_words(verdict.platform_verdicts)
    if verdict.status is Status.APPROVED and waived:
        return line((f"{glyph} {verdict.status} with {waived}", "bold yellow"), f" by policy {verdict.policy}")
    return line((f"{glyph} {verdict.status}", style), f" by policy {verdict.policy}")


def reasons(
    to: Console, verdict: Verdict, listed: Collection[str] = (), indent: int = 2, *, has_findings: bool = True
) -> None:
    """Every violation, what is undetermined with the next step, and the remediation, then each finding that breaks a
    rule once: platform by platform.

    Reasons that are `listed` elsewhere are counted only. Without `has_findings` the findings are listed elsewhere too.
    """
    for platform_verdict in verdict.platform_verdicts:
        at = indent
        if len(verdict.platform_verdicts) > 1:
            glyph, style = STATUS[platform_verdict.status]
            show(to, [line(" " * indent, (glyph, style), f" {platform_verdict.label}")])
            at += 2
        show(to, [line(" " * at, (violation.message, "bold")) for violation in platform_verdict.violations])
        if platform_verdict.undetermined:
            show(to, [line(" " * at, ("Undetermined", "bold"))])
            bullets(to, _unlisted(platform_verdict.undetermined, listed), at + 2)
            show(to, [line(" " * at, ("Next step", "bold"))])
            _steps(to, next_steps(platform_verdict.undetermined, verdict.image), at + 2)
        remediation(to, platform_verdict, at)
        if has_findings:
            _breaking(to, platform_verdict, at)
        for title, told in (("Warnings", platform_verdict.warnings), ("Notes", platform_verdict.notes)):
            if told:
                show(to, [line(" " * at, (title, "bold"))])
            for violation in told:
                _violation(to, violation, at + 2, has_findings=has_findings)


def _steps(to: Console, steps: Iterable[NextStep], indent: int) -> None:
    """Each sentence, and under it its command, to be copied."""
    for step in steps:
        bullets(to, [step.sentence], indent)
        if step.command:
            show(to, shell_command(step.command, indent + 2, max(20, to.width)))


def acceptance(to: Console, verdict: Verdict) -> None:
    """How a person with the role security accepts what was rejected."""
    commands = waiver_commands(verdict)
    if commands:
        show(to, [line("  ", ("Or accept it", "bold"), ("  role security; at a terminal with --waivers", "dim"))])
        for command in commands:
            show(to, shell_command(command, 4, max(20, to.width)))


def waived(to: Console, verdict: Verdict, *, has_findings: bool = True) -> None:
    """What does not count, and who accepted it; without `has_findings` the violations alone, for findings that are
    listed elsewhere."""
    for platform_verdict in verdict.platform_verdicts:
        listed = [one for one in platform_verdict.waived if has_findings or one.finding is None]
        said = [f"{_what(one)}: {waiver(one)}" for one in listed]
        if said:
            heading(
                to,
                f"Does not count{f' on {platform_verdict.label}' if len(verdict.platform_verdicts) > 1 else ''}",
                len({*said}),
            )
            bullets(to, dict.fromkeys(said))


def _what(one: AppliedWaiver) -> str:
    if one.finding is None:
        return one.violation
    return f"{one.finding.id} in {one.finding.package.name} {one.finding.package.version}"


def inputs(to: Console, verdict: Verdict) -> None:
    """What the verdict was made from."""
    made = verdict.inputs
    rows = [
        *(("inventory", digest) for digest in made.inventories),
        *(("reported", digest) for digest in made.reported),
        *((f"baseline {name}", digest) for name, digests in made.baselines.items() for digest in digests),
        *((f"excused {name}", digest) for name, digest in made.excused.items()),
        ("advisories", made.snapshot),
        ("policy", made.policy),
        ("waivers", made.waivers),
        ("provenance", made.provenance),
        ("time", made.now),
        ("engine", made.engine),
        ("not scanned", made.unscanned),
    ]
    show(to, [line(("Made from", "bold"))])
    show(to, aligned([[line((name, "dim")), line(value)] for name, value in rows if value], indent=2))


def sentences(undetermined: Iterable[Undetermined]) -> Iterator[str]:
    """Each reason, with its subject in front where the reason does not name it."""
    for entry in undetermined:
        named = entry.subject in ("", "/") or entry.subject in entry.reason or entry.subject.startswith("pkg:")
        yield entry.reason if named else f"{entry.subject}: {entry.reason}"


def _unlisted(undetermined: Sequence[Undetermined], listed: Collection[str]) -> list[str]:
    rest = [entry for entry in undetermined if entry.reason not in listed]
    above = len(undetermined) - len(rest)
    said = [f"{plural(above, 'path')} could not be read, see below."] if above else []
    return said + list(sentences(rest))


def _violation(to: Console, violation: Violation, indent: int, *, has_findings: bool) -> None:
    show(to, [line(" " * indent, (violation.message, "bold"))])
    if has_findings:
        _rows(to, violation.findings, indent + 2)


def _breaking(to: Console, platform_verdict: PlatformVerdict, indent: int) -> None:
    """The findings that break a rule, each once, whatever number of rules it breaks."""
    findings = dict.fromkeys(finding for violation in platform_verdict.violations for finding in violation.findings)
    if findings:
        show(to, [line(" " * indent, ("Findings that block", "bold"))])
        _rows(to, findings, indent + 2)


def _rows(to: Console, findings: Iterable[Finding], indent: int) -> None:
    places: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        places.setdefault((finding.package.purl, finding.id), []).append(finding)
    if places:
        show(
            to, aligned([_row(found[0], len(found)) for found in places.values()], indent, {1: ID_WIDTH, 2: NAME_WIDTH})
        )


def _row(finding: Finding, places: int) -> list[Text]:
    """Severity, advisory, package with installed and fixed version, what makes it urgent."""
    package = finding.package
    urgent = marks(finding)
    if places > 1:
        urgent = Text.assemble(urgent, "  " if urgent else "", (f"in {places} places", "dim"))
    fixed = (finding.fixed, "green") if finding.fixed else (words.fix(finding), "dim italic")
    return [
        severity(finding),
        line(finding.id),
        line((package.name, "bold"), f" {package.version} → ", fixed),
        urgent,
    ]


def remediation(to: Console, platform_verdict: PlatformVerdict, indent: int) -> None:
    """The upgrades, the base image's apart; the commands that make them; and what stands in the way."""
    found = platform_verdict.remediation
    if found.upgrades:
        title = words.remediation_title(found)
        show(to, [line(" " * indent, (title[0], "bold"), (title[1], "dim"))])
        rows = iter(aligned([_upgrade(upgrade) for upgrade in found.upgrades], indent + 2))
        for base, heading, commands in words.shares(found):
            if heading:
                show(to, [line(" " * (indent + 2), (heading, "dim"))])
            show(to, [next(rows) for upgrade in found.upgrades if upgrade.base is base])
            width = to.width if to.is_terminal else sys.maxsize
            show(to, [part for command in commands for part in shell_command(command, indent + 2, width)])
    rest = words.obstacles(platform_verdict)
    if rest:
        show(to, [line(" " * indent, (words.obstacles_title(found), "bold"))])
        bullets(to, dict.fromkeys(rest), indent + 2)


def _upgrade(upgrade: Upgrade) -> list[Text]:
    return [
        line((upgrade.name, "bold"), f" {upgrade.version} → ", (upgrade.fixed, "green")),
        line(("clears " + some(upgrade.clears) if upgrade.clears else "", "dim")),
    ]
