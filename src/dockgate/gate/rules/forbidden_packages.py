"""Packages that are forbidden, by name or in a range of versions."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from dockgate.gate import patterns
from dockgate.gate.model import Status, Violation
from dockgate.gate.rule import Rule, RuleDependency, RuleInput, TimelessRule
from dockgate.gate.rules import _vers
from dockgate.gate.rules._settings import (
    build_list_schema,
    build_object_schema,
    make_refusal,
    read_items,
    require_known_keys,
    select_mappings,
)
from dockgate.shared.errors import UncomparableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import get_type, is_purl, strip_scheme
from dockgate.shared.wording import join_words
from dockgate.vulnerabilities.model import UndeterminedFact

_PURL_SCHEMA = {"type": "string", "pattern": "^pkg:."}
_ENTRY_SCHEMAS = {
    "purl": _PURL_SCHEMA,
    "versions": {"type": "string", "pattern": "^vers:[a-z0-9]+/."},
    "reason": {"type": "string"},
}


class ForbiddenPackages(TimelessRule):
    """Settings: `packages`, each a package URL pattern, or a mapping of `purl`, `versions` and `reason`.

    `purl` is the pattern. `versions` is a VERS range ("vers:npm/<4.17.21"); messages show `reason`; both are optional.
    Patterns are those of `gate.patterns`: "pkg:npm/lodash", "pkg:npm/@acme/*", "pkg:deb/debian/openssl@1.*".
    """

    name = "forbidden_packages"
    dependency = RuleDependency.PACKAGE_SUMS
    schema: Mapping[str, Any] = {
        "properties": {
            "packages": build_list_schema(
                {"oneOf": [_PURL_SCHEMA, build_object_schema(_ENTRY_SCHEMAS, required_keys=["purl"])]}
            )
        },
        "required": ["packages"],
    }

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, ("packages",))
        packages = read_items("packages", raw.get("packages"), "a list of package URL patterns")
        return {"packages": [_parse_entry(key, entry) for key, entry in packages]}

    @override
    def list_requirements(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ("ecosystems",) if any(entry["versions"] for entry in select_mappings(settings["packages"])) else ()

    @override
    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        packages = [
            f"{entry['purl']}"
            + (f" in {entry['versions']}" if entry["versions"] else "")
            + (f" ({entry['reason']})" if entry["reason"] else "")
            for entry in select_mappings(settings["packages"])
        ]
        return (f"No package {join_words(packages)}.",)

    @override
    def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterator[Violation | UndeterminedFact]:
        for entry in select_mappings(settings["packages"]):
            versions = _vers.parse_range(entry["versions"]) if entry["versions"] else None
            forbidden: dict[str, None] = {}
            for package in rule_input.inventory.packages:
                if not patterns.is_package_match(entry["purl"], package):
                    continue
                try:
                    order = partial(rule_input.compare, package.ecosystem)
                    if versions is None or versions.is_in_range(package.version, order):
                        forbidden[f"{package.name} {package.version}"] = None
                except UncomparableError as error:
                    package_text = f"{package.name} {package.version} is in {entry['versions']}"
                    advice = f"Remove {package.name}, or forbid it without `versions`."
                    yield UndeterminedFact(
                        package.purl, f"Whether {package_text} is not known: {error}.", advice=advice
                    )
            if forbidden:
                range_text = f" in {entry['versions']}" if versions else ""
                reason_text = f" ({entry['reason']})" if entry["reason"] else ""
                yield Violation(
                    self.name, f"{entry['purl']}{range_text} is forbidden{reason_text}: {', '.join(forbidden)}"
                )
        if rule_input.is_external:
            reason = (
                f"{rule_input.source} does not list every package: forbidden packages may be missing from its report."
            )
            yield UndeterminedFact("/", reason, advice="Scan the image with Dockgate, which lists every package.")

    @override
    def count(self, rule_input: RuleInput, settings: Mapping[str, object]) -> tuple[int, ...]:
        """Count the entries that forbid the packages, and those of which that is unknown."""
        answers = list(self.judge(rule_input, settings))
        forbidden = sum(isinstance(answer, Violation) for answer in answers)
        return forbidden, len(answers) - forbidden

    @override
    def judge_counts(self, counts: Sequence[int], rule_input: RuleInput, settings: Mapping[str, object]) -> Status:
        forbidden, unknown = counts
        return Status.REJECTED if forbidden else Status.UNDETERMINED if unknown else Status.APPROVED


RULE: Rule = ForbiddenPackages()


def _parse_entry(key: str, raw: object) -> dict[str, str]:
    entry = {"purl": raw} if isinstance(raw, str) else raw
    if not isinstance(entry, Mapping):
        raise make_refusal(key, raw, "a package URL pattern, or a mapping with purl, versions, reason")
    require_known_keys(entry, _ENTRY_SCHEMAS, f"{key}.")
    purl, versions, reason = entry.get("purl"), entry.get("versions", ""), entry.get("reason", "")
    if not isinstance(purl, str) or not is_purl(purl) or not strip_scheme(purl):
        raise make_refusal(f"{key}.purl" if isinstance(raw, Mapping) else key, purl, "a pattern that begins with pkg:")
    if not isinstance(reason, str):
        raise make_refusal(f"{key}.reason", reason, "a text")
    if versions != "":
        _require_range(f"{key}.versions", versions, purl)
    return {"purl": purl, "versions": str(versions), "reason": reason}


def _require_range(key: str, raw: object, purl: str) -> None:
    """Refuse an invalid range, and one of another package type than the pattern.

    Those could never be compared.
    """
    try:
        versions = _vers.parse_range(raw if isinstance(raw, str) else "")
    except ValueError as error:
        raise make_refusal(key, raw, f"a VERS range, such as vers:npm/>=1.0.0|<2.0.0; {error}") from None
    kind = get_type(purl)
    if versions.scheme != kind:
        raise make_refusal(key, raw, f"a range of the pattern's type, vers:{kind}/…")
