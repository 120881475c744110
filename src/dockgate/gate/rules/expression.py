"""What no other rule can say: an expression in CEL (the cel-spec), type-checked when the policy is read."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from dockgate.gate import patterns
from dockgate.gate.cve_enrichment import whole
from dockgate.gate.model import NonBlockingViolation, RuleAction, Violation
from dockgate.gate.rule import Facts, Rule, known_as
from dockgate.gate.rules import _cel, _cel_bounds
from dockgate.gate.rules._settings import known, refused
from dockgate.scanner.model import Package
from dockgate.shared.errors import DefinitionError
from dockgate.vulnerabilities.model import Finding, Severity, Undetermined

_BASELINES = ("running", "approved")


class Expression:
    """Settings: `when`, the expression, and `message`, what is told of a violation.

    Where it is a bool, true is a violation; where it is a list of findings or of packages, each in it is part of one.
    What ends in an error is undetermined: so does whatever computes with null, or compares it, which stands for all
    that is not known. More findings may not make it false: that is refused, and warned of where a policy from before
    has it.
    """

    name = "expression"
    always: Mapping[str, object] | None = None
    looks_at: tuple[str, ...] = ("severity",)
    schema: Mapping[str, Any] = {
        "properties": {
            "when": {"type": "string", "minLength": 1, "maxLength": _cel_bounds.LONGEST},
            "message": {"type": "string", "minLength": 1, "maxLength": 500},
        },
        "required": ["when", "message"],
    }

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, ("when", "message"))
        for key, what in (("when", "an expression in CEL"), ("message", "a text, what is told of a violation")):
            value = given.get(key, "")
            if not isinstance(value, str) or not value.strip():
                raise refused(key, value, what)
        message = str(given["message"]).strip()
        if len(message) > 500:
            raise DefinitionError(f"message: it has {len(message)} characters, at most 500 are allowed")
        try:
            program = _cel.compiled(str(given["when"]).strip())
        except DefinitionError as error:
            raise DefinitionError(f"when: {error}", error.advice) from None
        if not program.grows:
            raise DefinitionError(
                "when: one more finding could turn it from true to false, and approve what was rejected",
                "Say what is too much: findings.exists(…), findings.filter(…), its size() > N; neither all(…) of them, "
                "nor exactly or fewer than N, nor one by its place.",
            )
        return {"when": str(given["when"]).strip(), "message": message}

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ("cel-expr-python", "protobuf")

    def judge(
        self, facts: Facts, settings: Mapping[str, object]
    ) -> Iterator[Violation | Undetermined | NonBlockingViolation]:
        text, message = str(settings["when"]), str(settings["message"])
        program = _cel.compiled(text)
        if facts.reported and "packages" in text:
            reason = f"{facts.source} does not tell every package, of which {message!r} speaks."
            yield Undetermined("/", reason, advice="Scan the image with Dockgate, which lists every package.")
            return
        try:
            said = program.evaluate({name: value(facts, text) for name, value in _VALUES.items() if name in text})
        except _cel.EvaluationError as error:
            reason = f"It cannot be said whether {message!r} holds: {error}."
            yield Undetermined("/", reason, advice="Correct the expression, and try it with `dockgate policy try`.")
            return
        if not program.grows and not said:
            change = "one more finding could turn it from true to false: save the policy with another expression"
            yield NonBlockingViolation(RuleAction.WARN, Violation(self.name, f"{message}: {change}"))
        if program.result == "bool":
            if said:
                yield Violation(self.name, message)
        elif said and program.result == "list(Finding)":
            chosen = {(one.id, one.package.purl, one.package.path) for one in said}
            found = [one for one in facts.matches.findings if _place(one) in chosen]
            yield Violation(self.name, f"{message} ({len(found)})", tuple(found))
        elif said:
            names = dict.fromkeys(f"{one.name} {one.version}" for one in said)
            yield Violation(self.name, f"{message}: {', '.join(names)}")


RULE: Rule = Expression()


def _place(finding: Finding) -> tuple[str, str, str]:
    return finding.id, patterns.purl(finding.package), finding.package.path


def _findings(facts: Facts, text: str) -> list[Any]:
    return [_finding(finding, facts, text) for finding in facts.matches.findings]


def _finding(finding: Finding, facts: Facts, text: str) -> Any:
    """What another scanner does not tell is null; so is whether something is exploited, or how likely, without the
    catalogue, and a severity that nobody gave, unless the expression speaks of UNTRIAGED itself."""
    rated = finding.severity is not Severity.UNTRIAGED or Severity.UNTRIAGED.value in text
    catalogue, scores = (facts.reported or whole(facts.coverage, name) for name in ("kev", "epss"))
    told = {
        "score": finding.rating.score if finding.rating.score >= 0 else None,
        "severity": finding.severity.value if rated else None,
        "fixed": None if finding.has_unknown_fix else finding.fixed,
        "exploited": True if finding.exploited else False if catalogue else None,
        "due": finding.due or None,
        "epss": finding.epss if scores and finding.epss >= 0 else None,
        "percentile": finding.percentile if scores and finding.percentile >= 0 else None,
        "published": finding.published or None,
        "fixed_at": finding.fixed_at or None,
        **{name: known_as(finding) in facts.known[name] if name in facts.known else None for name in _BASELINES},
    }
    untold = {name: None for name in facts.untold if name in told and not getattr(finding, name)}
    return _cel.message(
        "Finding",
        {
            "id": finding.id,
            "aliases": finding.aliases,
            "package": _package(finding.package, facts),
            "state": finding.state.value,
            "disputed": finding.disputed,
            "reachable": finding.reachable or None,
            **told,
            **untold,
        },
    )


def _packages(facts: Facts, _: str) -> list[Any]:
    return [_package(package, facts) for package in facts.inventory.packages]


def _package(package: Package, facts: Facts) -> Any:
    known_base = facts.inventory.base_layers > 0 and package.layer
    return _cel.message(
        "Package",
        {
            "purl": patterns.purl(package),
            "name": package.name,
            "version": package.version,
            "ecosystem": package.ecosystem,
            "source": package.source_name,
            "path": package.path,
            "owner": package.owner,
            "in_base": facts.inventory.in_base(package) if known_base else None,
        },
    )


def _image(facts: Facts, _: str) -> Any:
    inventory, distribution = facts.inventory, facts.inventory.distribution
    configured = not facts.reported and bool(inventory.layers)
    return _cel.message(
        "Image",
        {
            "digest": inventory.image,
            "platform": inventory.platform,
            "distribution": distribution.id if distribution else None,
            "release": distribution.version if distribution else None,
            "support_end": (distribution.support_end or None) if distribution else None,
            "base": inventory.base or None,
            "created": inventory.created or None,
            "user": inventory.user if configured else None,
            "layers": len(inventory.layers) if configured else None,
            "unread": None if facts.reported else len(inventory.unread),
        },
    )


def _now(facts: Facts, _: str) -> Any:
    return datetime.fromisoformat(facts.now)


_VALUES = {"findings": _findings, "packages": _packages, "image": _image, "now": _now}
