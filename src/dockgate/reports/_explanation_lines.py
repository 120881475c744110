"""The reasons why two verdicts differ, input by input, as lines for people."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from dockgate.gate.replay.explain import Change, Explanation, PlatformFinding
from dockgate.reports._lines import STATUS
from dockgate.shared.terminal_lines import make_line, print_bullets, print_lines
from dockgate.vulnerabilities.model import Finding

# Listed findings of one kind; the JSON output has all.
MAX_FINDINGS = 20


def show_explanation(terminal: Console, explanation: Explanation) -> None:
    """Print each input that differs, in order, with its effect on the verdict."""
    before, after = STATUS[explanation.before], STATUS[explanation.after]
    reason = ": same status" if explanation.changes else ": no input differs"
    if explanation.status_changed_by:
        reason = f": because of {', then '.join(explanation.status_changed_by)}"
    old, new = (f"{before[0]} {explanation.before}", before[1]), (f"{after[0]} {explanation.after}", after[1])
    print_lines(terminal, [make_line(old, " → ", new, reason)])
    for change in explanation.changes:
        terminal.print()
        _show_change(terminal, change)


def _show_change(terminal: Console, change: Change) -> None:
    effect = list(_describe_effect(change))
    status_change = (f"  now {change.status}", STATUS[change.status][1]) if change.is_status_changed else ""
    no_effect = ("  no effect", "dim") if not effect and not change.is_status_changed else ""
    print_lines(terminal, [make_line((change.input.value, "bold"), status_change, no_effect)])
    print_lines(
        terminal, [make_line(("  " + part, "dim")) for part in (f"from {change.before}", f"to   {change.after}")]
    )
    for title, entries in effect:
        print_lines(terminal, [make_line(f"  {title}")])
        print_bullets(terminal, entries, indent=4)


def _describe_effect(change: Change) -> Iterator[tuple[str, Sequence[str]]]:
    effect = change.effect
    altered_lines = [
        f"{_describe_finding(finding.after)}{_format_platform(finding.platform)}, was: {_format_state(finding.before)}"
        for finding in effect.changed
    ]
    for title, entries in (
        ("New findings", _describe_findings(effect.added)),
        ("Findings that are gone", _describe_findings(effect.removed)),
        ("Changed findings", altered_lines),
        ("Newly waived", _describe_findings(effect.newly_waived)),
        ("No longer waived", _describe_findings(effect.no_longer_waived)),
        ("New reasons to block", list(effect.added_reasons)),
        ("Reasons that no longer block", list(effect.removed_reasons)),
    ):
        if entries:
            omission = [f"and {len(entries) - MAX_FINDINGS} more"] if len(entries) > MAX_FINDINGS else []
            yield title, [*entries[:MAX_FINDINGS], *omission]


def _describe_findings(entries: Sequence[PlatformFinding]) -> list[str]:
    return [f"{_describe_finding(entry.finding)}{_format_platform(entry.platform)}" for entry in entries]


def _describe_finding(finding: Finding) -> str:
    return f"{finding.id} in {finding.package.name} {finding.package.version} ({_format_state(finding)})"


def _format_state(finding: Finding) -> str:
    fix = f"fixed in {finding.fixed}" if finding.fixed else finding.state.value
    return f"{finding.severity}, {fix}" + (", known exploited" if finding.exploited else "")


def _format_platform(platform: str | None) -> str:
    return f" on {platform}" if platform else ""
