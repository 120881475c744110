"""Violations that a CEL expression (cel-spec) describes. It is type-checked when the policy is read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from dockgate.gate import cve_enrichment, patterns
from dockgate.gate.model import NonBlockingViolation, RuleAction, Violation
from dockgate.gate.policy import BASELINES
from dockgate.gate.rule import Rule, RuleDependency, RuleInput, RuleOutcomes, make_finding_key
from dockgate.gate.rules import _cel, _cel_limits
from dockgate.gate.rules._settings import make_refusal, require_known_keys
from dockgate.scanner.model import Package
from dockgate.shared.errors import DefinitionError
from dockgate.shared.escaping import as_unicode
from dockgate.shared.interfaces import override
from dockgate.shared.timestamps import to_datetime
from dockgate.vulnerabilities.model import Finding, Severity, UndeterminedFact

_MAX_MESSAGE_LENGTH = 500
# Words for what a package has only in its image.
_PACKAGE_WORDS = ("packages", "path", "reachable")
_SCAN_ADVICE = "Scan the image with Dockgate, which lists every package."


class Expression(Rule):
    """Settings: `when`, the expression, and `message`, the text of its violation.

    A `when` that is a bool is violated when true. One that is a list of findings or packages is violated when the list
    is not empty; the violation names its entries. An error is undetermined, as is a computation or comparison with
    null, which means unknown.

    An expression that one more finding could make false is refused. A stored policy that still has one gets a warning.
    """

    name = "expression"
    required_fields: tuple[str, ...] = ("severity",)
    schema: Mapping[str, Any] = {
        "properties": {
            "when": {"type": "string", "minLength": 1, "maxLength": _cel_limits.MAX_LENGTH},
            "message": {"type": "string", "minLength": 1, "maxLength": _MAX_MESSAGE_LENGTH},
        },
        "required": ["when", "message"],
    }

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, ("when", "message"))
        for key, expected_value in (
            ("when", "an expression in CEL"),
            ("message", "a text that describes the violation"),
        ):
            value = raw.get(key, "")
            if not isinstance(value, str) or not value.strip():
                raise make_refusal(key, value, expected_value)
        message = str(raw["message"]).strip()
        if len(message) > _MAX_MESSAGE_LENGTH:
            raise DefinitionError(f"message: it has {len(message)} characters, at most {_MAX_MESSAGE_LENGTH} allowed")
        text = str(raw["when"]).strip()
        try:
            program = _cel.compile_expression(text)
        except DefinitionError as error:
            raise DefinitionError(f"when: {error}", error.advice) from None
        if not program.is_monotonic:
            raise DefinitionError(
                "when: one more finding could turn it from true to false, and approve a rejected image",
                "Use findings.exists(…), findings.filter(…), or their size() > N, joined by && and ||. "
                "Do not negate findings, count them exactly, or select them by position.",
            )
        return {"when": text, "message": message}

    @override
    def list_requirements(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ("cel-expr-python", "protobuf")

    @override
    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        message = str(settings["message"]).rstrip(".")
        return (f"Not allowed: {message}.", f"This is the case when `{settings['when']}`.")

    @override
    def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> RuleOutcomes:
        text, message = str(settings["when"]), str(settings["message"])
        program = _cel.compile_expression(text)
        if rule_input.is_external and "packages" in text:
            reason = f"{rule_input.source} does not list every package, so {message!r} cannot be evaluated."
            yield UndeterminedFact("/", reason, advice=_SCAN_ADVICE)
            return
        try:
            result = program.evaluate(_build_variables(rule_input, text))
        except _cel.EvaluationError as error:
            reason = f"{message!r} cannot be evaluated: {error}."
            yield UndeterminedFact("/", reason, advice="Correct the expression, and try it with `dockgate policy try`.")
            return
        if not program.is_monotonic and not result:
            problem = "one more finding could turn it from true to false: save the policy with another expression"
            yield NonBlockingViolation(RuleAction.WARN, Violation(self.name, f"{message}: {problem}"))
        if not result:
            return
        if program.result_type == "bool":
            yield Violation(self.name, message)
        elif program.result_type == "list(Finding)":
            keys = {(entry.id, entry.package.purl, entry.package.path) for entry in result}
            findings = tuple(finding for finding in rule_input.matches.findings if _make_message_key(finding) in keys)
            yield Violation(self.name, f"{message} ({len(findings)})", findings)
        else:
            names = dict.fromkeys(f"{package.name} {package.version}" for package in result)
            yield Violation(self.name, f"{message}: {', '.join(names)}")

    @override
    def get_dependency(self, settings: Mapping[str, object]) -> RuleDependency:
        text = str(settings["when"])
        if any(word in text for word in _PACKAGE_WORDS):
            return RuleDependency.PACKAGES
        if "image" not in text:
            return RuleDependency.FINDINGS
        return RuleDependency.IMAGE_AND_FINDINGS if "findings" in text else RuleDependency.IMAGE

    @override
    def list_change_times(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterable[datetime] | None:
        return None if "now" in str(settings["when"]) else ()


RULE: Rule = Expression()


def _make_message_key(finding: Finding) -> tuple[str, str, str]:
    """Return what tells a finding's message from the others."""
    package = finding.package
    return as_unicode(finding.id), as_unicode(patterns.build_current_purl(package)), as_unicode(package.path)


def _build_variables(rule_input: RuleInput, text: str) -> dict[str, Any]:
    """The variables that the expression mentions."""
    values: dict[str, Callable[[], Any]] = {
        "findings": lambda: _build_findings(rule_input, text),
        "packages": lambda: [_build_package(package, rule_input) for package in rule_input.inventory.packages],
        "image": lambda: _build_image(rule_input),
        "now": lambda: to_datetime(rule_input.now),
    }
    return {name: value() for name, value in values.items() if name in text}


def _build_findings(rule_input: RuleInput, text: str) -> list[Any]:
    """The findings as messages.

    The cache has a finding by its address, and the finding itself, so that no other one gets this address.
    """
    catalogues = {
        name: rule_input.is_external or cve_enrichment.is_catalogue_complete(rule_input.coverage, name)
        for name in ("kev", "epss")
    }
    if rule_input.per_finding_cache is None:
        return [_build_finding(finding, rule_input, text, catalogues) for finding in rule_input.matches.findings]
    messages = rule_input.per_finding_cache.setdefault((Expression.name, text), {})
    for finding in rule_input.matches.findings:
        if id(finding) not in messages:
            messages[id(finding)] = finding, _build_finding(finding, rule_input, text, catalogues)
    return [messages[id(finding)][1] for finding in rule_input.matches.findings]


def _build_finding(finding: Finding, rule_input: RuleInput, text: str, catalogues: Mapping[str, bool]) -> Any:
    """The finding as a message. Unknown values are null. `catalogues` says which of them are complete.

    Unknown are: fields that another scanner does not report; whether a vulnerability is exploited, and how likely,
    without a complete catalogue; a severity of UNTRIAGED, unless the expression mentions UNTRIAGED.
    """
    is_rated = finding.severity is not Severity.UNTRIAGED or Severity.UNTRIAGED.value in text
    has_kev, has_epss = catalogues["kev"], catalogues["epss"]
    optional = {
        "score": finding.rating.score,
        "severity": finding.severity.value if is_rated else None,
        "fixed": None if finding.has_unknown_fix else finding.fixed or "",
        "exploited": True if finding.exploited else False if has_kev else None,
        "due": finding.due,
        "epss": finding.epss if has_epss else None,
        "percentile": finding.percentile if has_epss else None,
        "published": finding.published,
        "fixed_at": finding.fixed_at,
        **{
            name: make_finding_key(finding) in rule_input.baseline_findings[name]
            if name in rule_input.baseline_findings
            else None
            for name in BASELINES
        },
    }
    unreported_fields = {
        name: None for name in rule_input.missing_fields if name in optional and not getattr(finding, name)
    }
    return _cel.make_message(
        "Finding",
        {
            "id": finding.id,
            "aliases": finding.aliases,
            "package": _build_package(finding.package, rule_input),
            "state": finding.state.value,
            "disputed": finding.is_disputed,
            "reachable": finding.reachable,
            **optional,
            **unreported_fields,
        },
    )


def _build_package(package: Package, rule_input: RuleInput) -> Any:
    has_known_base = rule_input.inventory.base_layers > 0 and package.layer
    return _cel.make_message(
        "Package",
        {
            "purl": patterns.build_current_purl(package),
            "name": package.name,
            "version": package.version,
            "ecosystem": package.ecosystem,
            "source": package.source_name,
            "path": package.path,
            "owner": package.owner or "",
            "in_base": rule_input.inventory.is_in_base(package) if has_known_base else None,
        },
    )


def _build_image(rule_input: RuleInput) -> Any:
    inventory, distribution = rule_input.inventory, rule_input.inventory.distribution
    has_config = not rule_input.is_external and bool(inventory.layers)
    return _cel.make_message(
        "Image",
        {
            "digest": inventory.image or "",
            "platform": inventory.platform or "",
            "distribution": distribution.id if distribution else None,
            "release": distribution.version if distribution else None,
            "support_end": distribution.support_end if distribution else None,
            "base": inventory.base,
            "created": inventory.created,
            "user": (inventory.user or "") if has_config else None,
            "layers": len(inventory.layers) if has_config else None,
            "unread": None if rule_input.is_external else len(inventory.unread),
        },
    )
