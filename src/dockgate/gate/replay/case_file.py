"""A verdict with all that it was made from, as one document that needs nothing else; and judging it again. Pure."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from dockgate.gate import evaluate
from dockgate.gate.model import InputDigests, PlatformVerdict, Verdict, VerdictCase
from dockgate.gate.policy import encode_policy
from dockgate.gate.rule import Rule
from dockgate.scanner.ports import Ecosystem
from dockgate.shared import canonical
from dockgate.shared.digest import digest_of
from dockgate.shared.errors import UsageError

KIND = "case"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class RecordedVerdict:
    """A verdict as it was given, and its case."""

    verdict: Verdict
    case: VerdictCase

    @property
    def digest(self) -> str:
        """The verdict's, as the server lists it."""
        return digest_of(canonical.encode(self.verdict))


@dataclass(frozen=True, slots=True)
class ReplayedVerdict:
    """The same case judged again. `differs` is what is not as it was recorded, one sentence each; () when the bytes are
    the same."""

    verdict: Verdict
    differs: tuple[str, ...]


def document(recorded: RecordedVerdict) -> dict[str, Any]:
    """Plain JSON: `kind`, `schema_version`, `digest` (the verdict's), `verdict` and `case`."""
    return {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "digest": recorded.digest,
        "verdict": canonical.plain(recorded.verdict),
        "case": canonical.plain(recorded.case),
    }


def text(recorded: RecordedVerdict) -> str:
    """The document in ASCII, its keys sorted."""
    return json.dumps(document(recorded), sort_keys=True, allow_nan=False)


def read(data: bytes, name: str) -> RecordedVerdict:
    """The verdict and case that `text` wrote. `name` is said in errors. Raises UsageError for anything else."""
    advice = "Write one by `dockgate gate IMAGE -o case=FILE`."
    try:
        given = json.loads(data)
    except ValueError as error:
        raise UsageError(f"{name} is no JSON: {error}.", advice) from None
    if not isinstance(given, dict) or given.get("kind") != KIND:
        raise UsageError(f"{name} is no case: its `kind` is not {KIND!r}.", advice)
    if given.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(
            f"{name} has schema_version {given.get('schema_version')!r}, and this reads {SCHEMA_VERSION}.",
            "Explain it with the version of Dockgate that wrote it.",
        )
    try:
        return RecordedVerdict(canonical.build(Verdict, given["verdict"]), canonical.build(VerdictCase, given["case"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{name} is no whole case: {type(error).__name__}: {error}.", advice) from None


def replay(recorded: RecordedVerdict, ecosystems: Sequence[Ecosystem], rules: Sequence[Rule]) -> ReplayedVerdict:
    """Judges the case again, by the rules that are here. Raises DefinitionError when one of its policy's is not."""
    case = recorded.case
    verdict = evaluate.judge(case, ecosystems, rules)
    same = canonical.encode(verdict) == canonical.encode(recorded.verdict)
    differs = tuple(_inputs(recorded)) + (() if same else tuple(_differences(recorded.verdict, verdict)))
    return ReplayedVerdict(verdict, differs if differs or same else ("Its bytes are others.",))


def _inputs(recorded: RecordedVerdict) -> Iterator[str]:
    """What the case holds has to be what the verdict says that it was made from."""
    policy = recorded.case.policy
    if digest_of(encode_policy(policy)) != policy.digest:
        yield f"The policy {policy.name} is not the one of its digest, {policy.digest}."
    told, held = recorded.verdict.inputs, evaluate.input_digests(recorded.case)
    for field in fields(InputDigests):
        if getattr(told, field.name) != getattr(held, field.name):
            yield f"The verdict was made from other {field.name} than the case holds."


def _differences(before: Verdict, after: Verdict) -> Iterator[str]:
    for name in ("image", "policy", "status", "summary"):
        one, other = getattr(before, name), getattr(after, name)
        if one != other:
            yield f"The verdict's {name} was {one!s}, and is {other!s}."
    if len(before.platform_verdicts) != len(after.platform_verdicts):
        yield f"It was of {len(before.platform_verdicts)} platforms, and is of {len(after.platform_verdicts)}."
        return
    for one, other in zip(before.platform_verdicts, after.platform_verdicts, strict=True):
        of = f" on {one.platform}" if one.platform else ""
        for field in fields(PlatformVerdict):
            was, now = getattr(one, field.name), getattr(other, field.name)
            if was != now:
                yield f"{field.name}{of}: {_told(was)}, and now {_told(now)}."


def _told(value: object) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} of them"
    return str(value) if isinstance(value, str | dict) else "another"
