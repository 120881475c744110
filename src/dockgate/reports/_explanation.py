"""Why two verdicts differ, input by input."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from dockgate.gate.replay.explain import Change, Explanation, PlatformFinding
from dockgate.reports._lines import STATUS, bullets, line, show
from dockgate.vulnerabilities.model import Finding

# Findings of one kind that are listed; the JSON form has all.
MOST = 20


def explanation(to: Console, told: Explanation) -> None:
    """The inputs that differ, in their order, each with what it did; those that changed nothing in one line."""
    before, after = STATUS[told.before], STATUS[told.after]
    show(
        to,
        [line((f"{before[0]} {told.before}", before[1]), " → ", (f"{after[0]} {told.after}", after[1]), _why(told))],
    )
    for change in told.changes:
        to.print()
        _change(to, change)


def _why(told: Explanation) -> str:
    if told.turned_by:
        return f": by {', then '.join(told.turned_by)}"
    return ": nothing differs" if not told.changes else ": the same answer"


def _change(to: Console, change: Change) -> None:
    effect = list(_effect(change))
    turned = (f"  now {change.status}", STATUS[change.status][1]) if change.turned else ""
    nothing = ("  changed nothing", "dim") if not effect and not change.turned else ""
    show(to, [line((change.input.value, "bold"), turned, nothing)])
    show(to, [line(("  " + part, "dim")) for part in (f"from {change.before}", f"to   {change.after}")])
    for title, entries in effect:
        show(to, [line(f"  {title}")])
        bullets(to, entries, indent=4)


def _effect(change: Change) -> Iterator[tuple[str, Sequence[str]]]:
    effect = change.effect
    altered = [f"{_finding(one.after)}{_of(one.platform)}, was: {_about(one.before)}" for one in effect.altered]
    for title, entries in (
        ("Findings that came", _placed(effect.came)),
        ("Findings that went", _placed(effect.went)),
        ("Findings of which something else is said", altered),
        ("Waived from now on", _placed(effect.waived)),
        ("Waived no more", _placed(effect.unwaived)),
        ("What blocks since", list(effect.said)),
        ("What blocks no more", list(effect.unsaid)),
    ):
        if entries:
            more = [f"and {len(entries) - MOST} more"] if len(entries) > MOST else []
            yield title, [*entries[:MOST], *more]


def _placed(entries: Sequence[PlatformFinding]) -> list[str]:
    return [f"{_finding(one.finding)}{_of(one.platform)}" for one in entries]


def _finding(finding: Finding) -> str:
    return f"{finding.id} in {finding.package.name} {finding.package.version} ({_about(finding)})"


def _about(finding: Finding) -> str:
    fix = f"fixed in {finding.fixed}" if finding.fixed else finding.state.value
    return f"{finding.severity}, {fix}" + (", known exploited" if finding.exploited else "")


def _of(platform: str) -> str:
    return f" on {platform}" if platform else ""
