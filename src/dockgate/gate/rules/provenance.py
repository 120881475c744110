"""Only images with signed provenance from an allowed builder."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from dockgate.gate import patterns
from dockgate.gate.model import Violation
from dockgate.gate.policy import PROVENANCE_RULE, compute_fingerprint
from dockgate.gate.provenance import ProvenanceStatement
from dockgate.gate.rule import Rule, RuleDependency, RuleInput
from dockgate.gate.rules._settings import (
    KEY_SCHEMA,
    MAX_DAYS,
    TEXT_SCHEMA,
    build_list_schema,
    build_object_schema,
    make_refusal,
    read_digest,
    read_items,
    read_number,
    read_public_keys,
    read_text_list,
    require_known_keys,
    select_mappings,
)
from dockgate.shared.digest import PATTERN
from dockgate.shared.interfaces import override
from dockgate.shared.timestamps import parse_time, shift_time, to_datetime
from dockgate.shared.wording import format_amount, join_words
from dockgate.vulnerabilities.feed_age import CLOCK_SKEW
from dockgate.vulnerabilities.model import UndeterminedFact

_MAX_REASONS = 4  # in a message


class Provenance(Rule):
    """Settings: `builders`, and optionally `sources`, `bases` and `max_age_days`.

    A builder has the `id` in its statements and `keys`: PEM public keys, one of which must have signed. `sources` are
    patterns of source repositories, `bases` digests of base images. One statement about exactly the judged digest
    must satisfy all settings. Other statements are ignored: everyone who may push can attach some.
    """

    name = PROVENANCE_RULE
    dependency = RuleDependency.IMAGE
    schema: Mapping[str, Any] = {
        "properties": {
            "builders": build_list_schema(
                build_object_schema(
                    {"id": TEXT_SCHEMA, "keys": build_list_schema(KEY_SCHEMA)}, required_keys=["id", "keys"]
                )
            ),
            "sources": build_list_schema(TEXT_SCHEMA),
            "bases": build_list_schema({"type": "string", "pattern": f"^{PATTERN}$"}),
            "max_age_days": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_DAYS},
        },
        "required": ["builders"],
    }

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, ("builders", "sources", "bases", "max_age_days"))
        builders = read_items("builders", raw.get("builders"), "a list of builders, each with id and keys")
        full: dict[str, object] = {"builders": [_parse_builder(key, builder) for key, builder in builders]}
        if "sources" in raw:
            full["sources"] = read_text_list("sources", raw["sources"], "patterns of source repositories")
        if "bases" in raw:
            bases = read_text_list("bases", raw["bases"], "digests of base images")
            full["bases"] = [read_digest(f"bases.{index}", base) for index, base in enumerate(bases)]
        if "max_age_days" in raw:
            full["max_age_days"] = read_number("max_age_days", raw["max_age_days"], maximum=MAX_DAYS, lower_bound=0)
        return full

    @override
    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        builders = join_words([str(builder["id"]) for builder in select_mappings(settings["builders"])])
        sentences = [f"A signed statement says that the image was built by {builders}."]
        if sources := _list_texts(settings.get("sources")):
            sentences.append(f"It was built from the source {join_words(sources)}.")
        if bases := _list_texts(settings.get("bases")):
            sentences.append(f"It was built on no other base images than {join_words(bases)}.")
        if days := settings.get("max_age_days"):
            sentences.append(f"It was built within {format_amount(float(str(days)), 'day')}.")
        return sentences

    @override
    def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterator[Violation | UndeterminedFact]:
        provenance = rule_input.provenance
        if provenance is None:
            reason = "The builder is not known: the image's provenance was not looked up."
            yield UndeterminedFact("/", reason, advice="Judge the image in its registry, or pass --provenance FILE.")
            return
        builders = select_mappings(settings["builders"])
        trusted_builders = {
            (str(builder["id"]), compute_fingerprint(pem)) for builder in builders for pem in builder["keys"]
        }
        reasons: list[str] = []
        for statement in provenance.statements:
            if not any((statement.builder, key) in trusted_builders for key in statement.keys):
                reasons.append(f"A statement by {statement.builder} is not signed by an allowed builder.")
            elif not (objections := list(_list_objections(statement, settings, rule_input.now))):
                return
            else:
                reasons += objections
        if provenance.unavailable is not None:
            reason = f"The image's attached statements could not be fetched: {provenance.unavailable}."
            yield UndeterminedFact("/", reason, advice="Check that the registry answers, and judge the image again.")
            return
        listed_reasons = list(dict.fromkeys((*reasons, *provenance.refused)))
        omission = f" (and {len(listed_reasons) - _MAX_REASONS} more)" if len(listed_reasons) > _MAX_REASONS else ""
        reason_text = " ".join(listed_reasons[:_MAX_REASONS]) or "No provenance statement is attached to it."
        yield Violation(self.name, f"The image has no provenance from an allowed builder. {reason_text}{omission}")

    @override
    def list_change_times(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterable[datetime]:
        days = settings.get("max_age_days")
        for statement in rule_input.provenance.statements if rule_input.provenance else ():
            if isinstance(days, (int, float)) and (built_at := parse_time(statement.finished_at)):
                yield shift_time(built_at, -CLOCK_SKEW)
                yield shift_time(built_at, timedelta(days=days) + timedelta.resolution)


RULE: Rule = Provenance()


def _list_objections(statement: ProvenanceStatement, settings: Mapping[str, object], now: str) -> Iterator[str]:
    """Return why a statement by an allowed builder does not satisfy the settings, a sentence each."""
    sources, bases = _list_texts(settings.get("sources")), _list_texts(settings.get("bases"))
    if sources and not any(statement.source and patterns.is_match(statement.source, pattern) for pattern in sources):
        problem = f"source {statement.source} is not allowed" if statement.source else "provenance names no source"
        yield f"Its {problem}."
    if bases and not statement.bases:
        yield "Its provenance names no base image."
    if bases and (refused_bases := [base for base in statement.bases if base not in bases]):
        yield f"It was built from images that are not allowed: {', '.join(refused_bases[:_MAX_REASONS])}."
    days = settings.get("max_age_days")
    if isinstance(days, (int, float)):
        finished_at = statement.finished_at
        built_at = parse_time(finished_at)
        age = None if built_at is None else to_datetime(now) - built_at
        if finished_at is None or age is None or age < -CLOCK_SKEW:
            yield "Its provenance does not say when it was built, or names a time in the future."
        elif age > timedelta(days=days):
            yield f"It was built on {finished_at[:10]}, more than {days:g} days ago."


def _list_texts(value: object) -> list[str]:
    return [str(text) for text in value] if isinstance(value, (list, tuple)) else []


def _parse_builder(key: str, raw: object) -> dict[str, object]:
    if not isinstance(raw, Mapping):
        raise make_refusal(key, raw, "a mapping with id and keys")
    require_known_keys(raw, ("id", "keys"), f"{key}.")
    identity = raw.get("id")
    if not isinstance(identity, str) or not identity.strip():
        raise make_refusal(f"{key}.id", identity, "the builder's id as in its statements")
    return {"id": identity, "keys": read_public_keys(f"{key}.keys", raw.get("keys"))}
