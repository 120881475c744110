"""The common part of the rules that limit how many findings may have some property."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from dockgate.gate.model import Status, Violation
from dockgate.gate.rule import Rule, RuleDependency, RuleInput
from dockgate.gate.rules import _counted_findings
from dockgate.gate.rules._settings import read_whole_number
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.model import Finding, UndeterminedFact

KEYS = ("max", *_counted_findings.KEYS)
SCHEMA: Mapping[str, Any] = {"max": {"type": "integer", "minimum": 0}, **_counted_findings.SCHEMA}


def parse_settings(raw: Mapping[str, object]) -> dict[str, object]:
    """`max` (0) and the selection, defaults filled in. Raises DefinitionError."""
    return {"max": read_whole_number("max", raw.get("max", 0), minimum=0), **_counted_findings.parse_settings(raw)}


class PropertyLimit(Rule):
    """A rule that limits how many of the selected findings may have a property."""

    dependency = RuleDependency.FINDING_SUMS

    def has_property(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Callable[[Finding], bool | None]:
        """The property of a finding, None where it is unknown.

        Such a finding is undetermined where it could exceed the limit.
        """
        raise NotImplementedError

    def describe_property(self, settings: Mapping[str, object]) -> str:
        """The property in messages."""
        raise NotImplementedError

    def describe_unknown(self, settings: Mapping[str, object]) -> str | None:
        """Describe how findings count of which the property is unknown; None if it never is."""
        return None

    @override
    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        limit, description = int(str(settings["max"])), self.describe_property(settings)
        sentence = _counted_findings.describe_limit(limit, settings, detail=description)
        return tuple(filter(None, (sentence, self.describe_unknown(settings))))

    @override
    def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterator[Violation | UndeterminedFact]:
        selection, description = (
            _counted_findings.select_findings(rule_input, settings),
            self.describe_property(settings),
        )
        violating, unknown, uncertain = _split_by_property(selection, self.has_property(rule_input, settings))
        limit = int(str(settings["max"]))
        if len(violating) > limit:
            message = f"{selection.describe(len(violating), 'finding')} {description}, at most {limit} allowed"
            yield selection.make_violation(self.name, message, violating, None if uncertain or unknown else limit)
        if len(violating) + len(unknown) + len(uncertain) > limit:
            yield from _report_undetermined_packages(unknown, f"is {description} is not known")
            unfixed_findings = [finding for finding in uncertain if settings["only_fixable"] and not finding.fixed]
            unrated_findings = [finding for finding in uncertain if finding not in unfixed_findings]
            source = f"{rule_input.source} does not say" if rule_input.is_external else "no advisory says"
            yield from _report_undetermined_packages(unfixed_findings, f"has a fix, {source}, and only those count")
            yield from _report_undetermined_packages(
                unrated_findings, "counts is not known: its grace is by severity, and it has no severity"
            )

    @override
    def count(self, rule_input: RuleInput, settings: Mapping[str, object]) -> tuple[int, ...]:
        return self.count_selected(_counted_findings.select_findings(rule_input, settings), rule_input, settings)

    def count_selected(
        self, selection: _counted_findings.SelectedFindings, rule_input: RuleInput, settings: Mapping[str, object]
    ) -> tuple[int, int]:
        """The number of findings that have the property, and of those that may have it."""
        violating, unknown, uncertain = _split_by_property(selection, self.has_property(rule_input, settings))
        return len(violating), len(unknown) + len(uncertain)

    @override
    def judge_counts(self, counts: Sequence[int], rule_input: RuleInput, settings: Mapping[str, object]) -> Status:
        certain, possible = counts
        status = _counted_findings.compare_with_limit(certain, certain + possible, int(str(settings["max"])))
        return _counted_findings.apply_unknown_scope(status, rule_input, settings)

    @override
    def list_change_times(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterable[datetime]:
        return _counted_findings.list_change_times(rule_input, settings)


def _split_by_property(
    selection: _counted_findings.SelectedFindings, has_property: Callable[[Finding], bool | None]
) -> tuple[list[Finding], list[Finding], list[Finding]]:
    """The findings that have the property, of which it is unknown, and that may count and have it."""
    answers = [(finding, has_property(finding)) for _, finding in selection.counted_findings]
    violating = [finding for finding, answer in answers if answer]
    unknown = [finding for finding, answer in answers if answer is None]
    uncertain = [finding for finding in selection.uncertain_findings if has_property(finding) is not False]
    return violating, unknown, uncertain


def _report_undetermined_packages(findings: list[Finding], reason: str) -> Iterator[UndeterminedFact]:
    """One entry per package."""
    ids: dict[str, dict[str, None]] = {}
    for finding in findings:
        ids.setdefault(finding.package.purl, {})[finding.id] = None
    for purl, names in ids.items():
        first, *further_names = names
        omission = f" and {len(further_names)} more" if further_names else ""
        text = f"Whether {first}{omission} in {purl} {reason}."
        yield UndeterminedFact(purl, text, ids=tuple(names), advice=_counted_findings.ADVICE)
