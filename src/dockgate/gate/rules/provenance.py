"""Images without signed provenance from an allowed builder."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from dockgate.gate import patterns
from dockgate.gate.model import Violation
from dockgate.gate.policy import PROVENANCE_RULE, fingerprint
from dockgate.gate.provenance import ProvenanceStatement
from dockgate.gate.rule import Facts, Rule
from dockgate.gate.rules._settings import KEY_BEGIN, known, number, public_key, refused, words
from dockgate.shared.errors import DefinitionError
from dockgate.shared.timestamps import moment
from dockgate.vulnerabilities.model import Undetermined

_DIGEST = "sha256:[0-9a-f]{64}"
_CLOCK_SKEW = timedelta(days=1)
_MOST_DAYS = 36_500
_SHOWN = 4
"""reasons in a message"""


class Provenance:
    """Settings: `builders`, each with the `id` that its statements name and `keys`, public keys as PEM of which one
    signed; optionally `sources` (patterns of source repositories), `bases` (digests of base images) and `max_age_days`.

    One statement about the very digest that is judged has to satisfy all of them. Statements that do not count do no
    harm: anybody who may push can attach some.
    """

    name = PROVENANCE_RULE
    always: Mapping[str, object] | None = None
    looks_at: tuple[str, ...] = ()
    schema: Mapping[str, Any] = {
        "properties": {
            "builders": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {
                        "id": {"type": "string", "minLength": 1},
                        "keys": {"type": "array", "items": {"type": "string", "pattern": KEY_BEGIN}, "minItems": 1},
                    },
                    "required": ["id", "keys"],
                    "additionalProperties": False,
                },
            },
            "sources": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            "bases": {"type": "array", "items": {"type": "string", "pattern": f"^{_DIGEST}$"}, "minItems": 1},
            "max_age_days": {"type": "number", "exclusiveMinimum": 0, "maximum": _MOST_DAYS},
        },
        "required": ["builders"],
    }

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, ("builders", "sources", "bases", "max_age_days"))
        builders = given.get("builders")
        if not isinstance(builders, (list, tuple)) or not builders:
            raise DefinitionError("builders: nobody is named; it needs a list of builders, each with id and keys")
        full: dict[str, object] = {"builders": [_builder(f"builders.{at}", one) for at, one in enumerate(builders)]}
        if "sources" in given:
            full["sources"] = words("sources", given["sources"], "patterns of source repositories")
        if "bases" in given:
            full["bases"] = words("bases", given["bases"], "digests of base images")
            for at, base in enumerate(words("bases", given["bases"], "digests")):
                if not re.fullmatch(_DIGEST, base):
                    raise refused(f"bases.{at}", base, "a digest, sha256: and 64 hexadecimal digits")
        if "max_age_days" in given:
            full["max_age_days"] = number("max_age_days", given["max_age_days"], most=_MOST_DAYS, above=0)
        return full

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ()

    def judge(self, facts: Facts, settings: Mapping[str, object]) -> Iterator[Violation | Undetermined]:
        found = facts.provenance
        if found is None:
            reason = "Nobody looked for the image's provenance, so its builder is not known."
            yield Undetermined("/", reason, advice="Judge the image in its registry, or with --provenance FILE.")
            return
        trusted = {(str(one["id"]), fingerprint(pem)) for one in _builders(settings) for pem in one["keys"]}
        reasons: list[str] = []
        for statement in found.statements:
            if not any((statement.builder, key) in trusted for key in statement.keys):
                reasons.append(f"A statement by {statement.builder} is not by an allowed builder with its key.")
            elif not (objections := list(_objections(statement, settings, facts.now))):
                return
            else:
                reasons += objections
        if found.unavailable is not None:
            reason = f"The statements beside the image could not be fetched: {found.unavailable}"
            yield Undetermined("/", reason, advice="See that the registry answers, and judge the image again.")
            return
        listed = list(dict.fromkeys((*reasons, *found.refused)))
        more = f" (and {len(listed) - _SHOWN} more)" if len(listed) > _SHOWN else ""
        why = " ".join(listed[:_SHOWN]) or "No provenance statement is attached to it."
        yield Violation(self.name, f"The image has no provenance from an allowed builder. {why}{more}")


RULE: Rule = Provenance()


def _objections(statement: ProvenanceStatement, settings: Mapping[str, object], now: str) -> Iterator[str]:
    """What a statement by an allowed builder lacks, a sentence each."""
    sources, bases = _texts(settings.get("sources")), _texts(settings.get("bases"))
    if sources and not any(statement.source and patterns.matches(statement.source, one) for one in sources):
        named = f"source {statement.source} is not an allowed one" if statement.source else "provenance names no source"
        yield f"Its {named}."
    if bases and not statement.bases:
        yield "Its provenance names no base image."
    if bases and (others := [one for one in statement.bases if one not in bases]):
        yield f"It was built from images that are not allowed: {', '.join(others[:_SHOWN])}."
    days = settings.get("max_age_days")
    if isinstance(days, (int, float)):
        built = moment(statement.finished_at)
        age = None if built is None else datetime.fromisoformat(now) - built
        if age is None or age < -_CLOCK_SKEW:
            yield "Its provenance does not say when it was built, or names a time in the future."
        elif age > timedelta(days=days):
            yield f"It was built on {statement.finished_at[:10]}, more than {days:g} days ago."


def _builders(settings: Mapping[str, object]) -> Sequence[Mapping[str, Any]]:
    builders = settings["builders"]
    return [one for one in builders if isinstance(one, Mapping)] if isinstance(builders, (list, tuple)) else []


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, (list, tuple)) else []


def _builder(key: str, given: object) -> dict[str, object]:
    if not isinstance(given, Mapping):
        raise refused(key, given, "a mapping with id and keys")
    known(given, ("id", "keys"), f"{key}.")
    identity, keys = given.get("id"), given.get("keys")
    if not isinstance(identity, str) or not identity.strip():
        raise refused(f"{key}.id", identity, "the builder's id as its statements name it")
    if not isinstance(keys, (list, tuple)) or not keys:
        raise refused(f"{key}.keys", keys, "a list of public keys as PEM")
    return {"id": identity, "keys": [public_key(f"{key}.keys.{at}", one) for at, one in enumerate(keys)]}
