"""The gate: inventories, advisories, policy and time in, verdict out. Pure: the same inputs give the same bytes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from dockgate.core import canonical
from dockgate.core.approvals import shorten
from dockgate.core.errors import DefinitionError
from dockgate.core.match import Matcher, with_versions
from dockgate.core.model import (
    Breach,
    Finding,
    Inputs,
    Inventory,
    Judgement,
    Policy,
    Severity,
    Slice,
    Status,
    Undetermined,
    Upgrade,
    Verdict,
    worst,
)
from dockgate.core.ports import Ecosystem, Facts, Rule

COUNTING_RULE = "max_findings"
"""The rule whose settings say how findings are counted."""


def policy(name: str, rules: Mapping[str, Mapping[str, object]]) -> Policy:
    """A policy of settings that are in full already, with its digest."""
    settings = {rule: dict(rules[rule]) for rule in sorted(rules)}
    unnamed = Policy(name, settings, "")
    return replace(unnamed, digest=canonical.digest(policy_bytes(unnamed)))


def policy_bytes(policy: Policy) -> bytes:
    """The canonical bytes of a policy, those its digest is of: its name and rules."""
    return canonical.encode({"name": policy.name, "rules": policy.rules})


def counted_as(finding: Finding, settings: Mapping[str, object]) -> Severity | None:
    """The severity a finding counts as under `max_findings` settings, None when it does not count."""
    if settings.get("only_fixable") and not finding.fixed:
        return None
    if finding.severity is Severity.UNTRIAGED:
        return Severity(str(settings.get("untriaged_counts_as", Severity.UNTRIAGED)))
    return finding.severity


def judge(
    image: str,
    inventories: Sequence[Inventory],
    consulted: Slice,
    policy: Policy,
    now: str,
    engine: str,
    ecosystems: Sequence[Ecosystem],
    rules: Sequence[Rule],
) -> Verdict:
    """The verdict on an image or index by its platforms' inventories. `now` is RFC 3339 in UTC, `engine` our version.

    Raises DefinitionError when the policy names a rule that is not among `rules`.
    """
    if not inventories:
        return unscanned(image, "No scan: the image's packages are not known.", policy, now, engine)
    held = _held(policy, rules)
    matcher = Matcher(consulted, ecosystems)
    ordered = sorted(inventories, key=lambda inventory: (inventory.platform, inventory.image))
    judgements = tuple(_judge_platform(inventory, consulted, policy, now, matcher, held) for inventory in ordered)
    digests = tuple(canonical.digest(canonical.encode(inventory)) for inventory in ordered)
    return Verdict(
        image=image,
        policy=policy.name,
        status=worst([judgement.status for judgement in judgements]),
        summary=_summary(judgements),
        judgements=judgements,
        inputs=Inputs(digests, canonical.digest(canonical.encode(consulted)), policy.digest, now, engine),
    )


def unscanned(image: str, reason: str, policy: Policy, now: str, engine: str) -> Verdict:
    """The verdict on an image of which no inventory could be had: Undetermined, for `reason` (a whole sentence)."""
    judgement = Judgement(
        image=image,
        platform="",
        status=Status.UNDETERMINED,
        counts=_counts((), {}),
        breaches=(),
        undetermined=(Undetermined("/", reason),),
        findings=(),
        remedy=(),
    )
    nothing = canonical.digest(canonical.encode(Slice((), ())))
    inputs = Inputs((), nothing, policy.digest, now, engine)
    return Verdict(image, policy.name, Status.UNDETERMINED, shorten(reason), (judgement,), inputs)


_Held = list[tuple[Rule, Mapping[str, object]]]


def _held(policy: Policy, rules: Sequence[Rule]) -> _Held:
    """The rules that hold, with their settings: those that the policy names, and those that always do."""
    unknown = sorted(policy.rules.keys() - {rule.name for rule in rules})
    if unknown:
        raise DefinitionError(
            f"The policy {policy.name} names rules that do not exist here: {', '.join(unknown)}.",
            f"Rules that exist: {', '.join(sorted(rule.name for rule in rules))}.",
        )
    held: _Held = []
    for rule in sorted(rules, key=lambda rule: rule.name):
        if rule.name in policy.rules:
            held.append((rule, policy.rules[rule.name]))
        elif rule.always is not None:
            held.append((rule, rule.settings(rule.always)))
    return held


def _judge_platform(
    inventory: Inventory, consulted: Slice, policy: Policy, now: str, matcher: Matcher, held: _Held
) -> Judgement:
    def facts_of(inventory: Inventory) -> Facts:
        return Facts(inventory, matcher.match(inventory.packages), consulted.coverage, now)

    def breaches_of(facts: Facts) -> tuple[Breach, ...]:
        return tuple(
            said for rule, settings in held for said in rule.judge(facts, settings) if isinstance(said, Breach)
        )

    facts = facts_of(inventory)
    said = [entry for rule, settings in held for entry in rule.judge(facts, settings)]
    breaches = tuple(entry for entry in said if isinstance(entry, Breach))
    undetermined = tuple(dict.fromkeys(entry for entry in said if isinstance(entry, Undetermined)))
    return Judgement(
        image=inventory.image,
        platform=inventory.platform,
        status=Status.REJECTED if breaches else Status.UNDETERMINED if undetermined else Status.APPROVED,
        counts=_counts(facts.matches.findings, policy.rules.get(COUNTING_RULE, {})),
        breaches=breaches,
        undetermined=undetermined,
        findings=facts.matches.findings,
        remedy=_remedy(facts, breaches, facts_of, breaches_of, matcher),
    )


def _remedy(
    facts: Facts,
    breaches: tuple[Breach, ...],
    facts_of: Callable[[Inventory], Facts],
    breaches_of: Callable[[Facts], tuple[Breach, ...]],
    matcher: Matcher,
) -> tuple[Upgrade, ...]:
    """The upgrades that clear every finding in a breach which has a fix, proven by matching and judging again.

    A finding's `fixed` is the lowest version free of it, so each round is a lower bound of the next: it ends, for
    there are finitely many fixed versions, at the lowest version of each package that breaks no rule.
    """
    versions: dict[str, str] = {}
    after = facts
    while raised := _fixes(breaches, matcher):
        versions |= raised
        after = facts_of(with_versions(facts.inventory, versions))
        breaches = breaches_of(after)
    left = {(finding.package.purl, finding.id): finding for finding in after.matches.findings}
    breaking = {(finding.package.purl, finding.id) for breach in breaches for finding in breach.findings}
    cleared: dict[str, dict[str, None]] = {purl: {} for purl in versions}
    for finding in facts.matches.findings:
        purl, key = finding.package.purl, (finding.package.purl, finding.id)
        # Beyond the fix a record without an end may still say "affected": then it is open, and may not count any more.
        opened = key in left and finding.fixed and not left[key].fixed and key not in breaking
        if purl in versions and (key not in left or opened):
            cleared[purl][finding.id] = None
    raised_packages = {package.purl: package for package in facts.inventory.packages if cleared.get(package.purl)}
    return tuple(
        Upgrade(package.purl, package.name, package.version, versions[package.purl], tuple(cleared[package.purl]))
        for package in sorted(raised_packages.values(), key=lambda package: (package.name, package.purl))
    )


def _fixes(breaches: tuple[Breach, ...], matcher: Matcher) -> dict[str, str]:
    """Purl -> the version free of all its findings that count in a breach and have a fix."""
    fixes: dict[str, list[str]] = {}
    ecosystems: dict[str, str] = {}
    for breach in breaches:
        for finding in breach.findings:
            if finding.fixed:
                fixes.setdefault(finding.package.purl, []).append(finding.fixed)
                ecosystems[finding.package.purl] = finding.package.ecosystem
    return {purl: matcher.newest(ecosystems[purl], sorted(set(versions))) for purl, versions in fixes.items()}


def _counts(findings: Sequence[Finding], settings: Mapping[str, object]) -> dict[str, int]:
    counts = {severity.value: 0 for severity in Severity}
    for finding in findings:
        severity = counted_as(finding, settings)
        if severity is not None:
            counts[severity.value] += 1
    return counts


def _summary(judgements: Sequence[Judgement]) -> str:
    """One line for people: why the worst platforms are where they are."""
    status = worst([judgement.status for judgement in judgements])
    if status is Status.APPROVED:
        return "All findings within the policy's limits"
    platforms: dict[str, list[str]] = {}
    for judgement in judgements:
        if judgement.status is status:
            platforms.setdefault(_reasons(judgement), []).append(judgement.platform)
    if len(judgements) == 1:
        return shorten("; ".join(platforms))
    return shorten("; ".join(f"{', '.join(names)}: {text}" for text, names in platforms.items()))


def _reasons(judgement: Judgement) -> str:
    if judgement.status is Status.UNDETERMINED:
        first, *others = judgement.undetermined
        more = f" (and {len(others)} more {'reason' if len(others) == 1 else 'reasons'})" if others else ""
        return f"Undetermined: {first.reason}{more}"
    messages = "; ".join(breach.message for breach in judgement.breaches)
    packages = [finding.package for breach in judgement.breaches for finding in breach.findings]
    named = list(dict.fromkeys(f"{package.name} {package.version}" for package in packages))
    if not named:
        return messages
    more = f" and {len(named) - 8} more" if len(named) > 8 else ""
    return f"{messages}: {', '.join(named[:8])}{more}"
