"""Why a verdict is as it is, and what would turn it."""

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence

from rich.console import Console
from rich.text import Text

from dockgate.core.acceptance import waiver_commands
from dockgate.core.model import Finding, Undetermined
from dockgate.core.next_steps import NextStep, next_steps
from dockgate.core.summaries import waived_words
from dockgate.core.verdict import Breach, Judgement, Status, Upgrade, Verdict, Waived
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


def headline(verdict: Verdict) -> Text:
    """The status and the policy; an approval with waived findings says so, in another colour than one without."""
    glyph, style = STATUS[verdict.status]
    waived = waived_words(verdict.judgements)
    if verdict.status is Status.APPROVED and waived:
        return line((f"{glyph} {verdict.status} with {waived}", "bold yellow"), f" by policy {verdict.policy}")
    return line((f"{glyph} {verdict.status}", style), f" by policy {verdict.policy}")


def reasons(
    to: Console, verdict: Verdict, listed: Collection[str] = (), indent: int = 2, *, has_findings: bool = True
) -> None:
    """Every violation, what is undetermined with the next step, and the remedy, then each finding that breaks a rule
    once: platform by platform.

    Reasons that are `listed` elsewhere are counted only. Without `has_findings` the findings are listed elsewhere too.
    """
    for judgement in verdict.judgements:
        at = indent
        if len(verdict.judgements) > 1:
            glyph, style = STATUS[judgement.status]
            show(to, [line(" " * indent, (glyph, style), f" {judgement.label}")])
            at += 2
        show(to, [line(" " * at, (breach.message, "bold")) for breach in judgement.breaches])
        if judgement.undetermined:
            show(to, [line(" " * at, ("Undetermined", "bold"))])
            bullets(to, _unlisted(judgement.undetermined, listed), at + 2)
            show(to, [line(" " * at, ("Next step", "bold"))])
            _steps(to, next_steps(judgement.undetermined, verdict.image), at + 2)
        remedy(to, judgement, at)
        if has_findings:
            _breaking(to, judgement, at)
        for title, told in (("Warnings", judgement.warnings), ("Notes", judgement.notes)):
            if told:
                show(to, [line(" " * at, (title, "bold"))])
            for breach in told:
                _breach(to, breach, at + 2, has_findings=has_findings)


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
    for judgement in verdict.judgements:
        listed = [one for one in judgement.waived if has_findings or one.finding is None]
        said = [f"{_what(one)}: {waiver(one)}" for one in listed]
        if said:
            heading(
                to, f"Does not count{f' on {judgement.label}' if len(verdict.judgements) > 1 else ''}", len({*said})
            )
            bullets(to, dict.fromkeys(said))


def _what(one: Waived) -> str:
    if one.finding is None:
        return one.breach
    return f"{one.finding.id} in {one.finding.package.name} {one.finding.package.version}"


def inputs(to: Console, verdict: Verdict) -> None:
    """What the verdict was made from."""
    made = verdict.inputs
    rows = [
        *(("inventory", digest) for digest in made.inventories),
        *(("reported", digest) for digest in made.reported),
        *((f"baseline {name}", digest) for name, digests in made.baselines.items() for digest in digests),
        *((f"excused {name}", digest) for name, digest in made.excused.items()),
        ("advisories", made.slice),
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


def _breach(to: Console, breach: Breach, indent: int, *, has_findings: bool) -> None:
    show(to, [line(" " * indent, (breach.message, "bold"))])
    if has_findings:
        _rows(to, breach.findings, indent + 2)


def _breaking(to: Console, judgement: Judgement, indent: int) -> None:
    """The findings that break a rule, each once, whatever number of rules it breaks."""
    findings = dict.fromkeys(finding for breach in judgement.breaches for finding in breach.findings)
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


def remedy(to: Console, judgement: Judgement, indent: int) -> None:
    """The upgrades, the base image's apart; the commands that make them; and what stands in the way."""
    found = judgement.remedy
    if found.upgrades:
        title = words.remedy_title(found)
        show(to, [line(" " * indent, (title[0], "bold"), (title[1], "dim"))])
        rows = iter(aligned([_upgrade(upgrade) for upgrade in found.upgrades], indent + 2))
        for base, heading, commands in words.shares(found):
            if heading:
                show(to, [line(" " * (indent + 2), (heading, "dim"))])
            show(to, [next(rows) for upgrade in found.upgrades if upgrade.base is base])
            width = to.width if to.is_terminal else sys.maxsize
            show(to, [part for command in commands for part in shell_command(command, indent + 2, width)])
    rest = words.obstacles(judgement)
    if rest:
        show(to, [line(" " * indent, (words.obstacles_title(found), "bold"))])
        bullets(to, dict.fromkeys(rest), indent + 2)


def _upgrade(upgrade: Upgrade) -> list[Text]:
    return [
        line((upgrade.name, "bold"), f" {upgrade.version} → ", (upgrade.fixed, "green")),
        line(("clears " + some(upgrade.clears) if upgrade.clears else "", "dim")),
    ]
