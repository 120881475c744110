"""What the rules have in common by which at most so many findings may have some property."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dockgate.gate.model import Violation
from dockgate.gate.rule import Facts
from dockgate.gate.rules import _selection
from dockgate.gate.rules._settings import whole
from dockgate.vulnerabilities.model import Finding, Undetermined

KEYS = ("max", *_selection.KEYS)
SCHEMA: Mapping[str, Any] = {"max": {"type": "integer", "minimum": 0}, **_selection.SCHEMA}


def settings(given: Mapping[str, object]) -> dict[str, object]:
    """`max` (0) and the selection in full. Raises DefinitionError."""
    return {"max": whole("max", given.get("max", 0), least=0), **_selection.settings(given)}


def judge(
    rule: str, facts: Facts, settings: Mapping[str, object], has: Callable[[Finding], bool | None], noun: str, what: str
) -> Iterator[Violation | Undetermined]:
    """More findings than `max` of which `has` says that they have the property, `what`; None where that is not known:
    they are undetermined where they would make too many."""
    selected = _selection.select(facts, settings)
    said = [(finding, has(finding)) for _, finding in selected.findings]
    found = [finding for finding, yes in said if yes]
    most = int(str(settings["max"]))
    doubted = [finding for finding in selected.more if has(finding) is not False]
    unknown = [finding for finding, yes in said if yes is None]
    if len(found) > most:
        message = f"{selected.of(len(found), noun)} {what}, at most {most} allowed"
        yield selected.say(rule, message, found, allowed=-1 if doubted or unknown else most)
    if len(found) + len(unknown) + len(doubted) > most:
        yield from _doubts(unknown, f"is {what} is not known: nobody has said")
        unfixed = [finding for finding in doubted if settings["only_fixable"] and not finding.fixed]
        unrated = [finding for finding in doubted if finding not in unfixed]
        silent = f"{facts.source} does not say" if facts.reported else "no advisory says"
        yield from _doubts(unfixed, f"has a fix, {silent}, and only those count")
        yield from _doubts(unrated, "counts is not known: its grace is by severity, and nobody has said how severe")


def _doubts(findings: list[Finding], why: str) -> Iterator[Undetermined]:
    """One for each package."""
    ids: dict[str, dict[str, None]] = {}
    for finding in findings:
        ids.setdefault(finding.package.purl, {})[finding.id] = None
    for purl, names in ids.items():
        first, *others = names
        more = f" and {len(others)} more" if others else ""
        yield Undetermined(purl, f"Whether {first}{more} in {purl} {why}.", ids=tuple(names), advice=_selection.ADVICE)
