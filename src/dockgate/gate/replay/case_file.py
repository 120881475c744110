"""Write a verdict with all its inputs as one document, read it, and judge it again. Pure."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from dockgate.gate import evaluate
from dockgate.gate.model import InputDigests, PlatformVerdict, Verdict, VerdictCase
from dockgate.gate.policy import encode_policy
from dockgate.gate.rule import Rule
from dockgate.scanner.ports import Ecosystem
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import UsageError

KIND = "case"
SCHEMA_VERSION = 3


@dataclass(frozen=True, slots=True)
class RecordedVerdict:
    """A verdict as it was recorded, with its case."""

    verdict: Verdict
    case: VerdictCase

    @property
    def digest(self) -> str:
        """The digest of the verdict, as the server lists it."""
        return compute_digest(canonical.encode(self.verdict))


@dataclass(frozen=True, slots=True)
class ReplayedVerdict:
    """The same case judged again. `differences` are sentences, () if the bytes are the same as recorded."""

    verdict: Verdict
    differences: tuple[str, ...]


def encode_document(recorded_verdict: RecordedVerdict) -> str:
    """The document as ASCII text with sorted keys, in which `digest` is that of the verdict."""
    document = {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "digest": recorded_verdict.digest,
        "verdict": recorded_verdict.verdict,
        "case": recorded_verdict.case,
    }
    return canonical.encode_ascii(document)


def read(data: bytes, name: str) -> RecordedVerdict:
    """Read what `encode_document` wrote. Raises UsageError, with the file `name`, for anything else."""
    advice = "Write a case with `dockgate gate IMAGE -o case=FILE`."
    try:
        content = json.loads(data)
    except ValueError as error:
        raise UsageError(f"{name} is not JSON: {error}", advice) from None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise UsageError(f"{name} is not a case: its `kind` is not {KIND!r}", advice)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(
            f"{name} has schema_version {content.get('schema_version')!r}; "
            f"this version of Dockgate reads {SCHEMA_VERSION}",
            "Use the version of Dockgate that wrote it.",
        )
    try:
        return RecordedVerdict(
            canonical.build(Verdict, content["verdict"]), canonical.build(VerdictCase, content["case"])
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{name} is an incomplete case: {type(error).__name__}: {error}", advice) from None


def replay(
    recorded_verdict: RecordedVerdict, ecosystems: Sequence[Ecosystem], rules: Sequence[Rule]
) -> ReplayedVerdict:
    """Judge the case again. Raises DefinitionError if a rule of its policy is not in `rules`."""
    case = recorded_verdict.case
    verdict = evaluate.judge(case, ecosystems, rules)
    is_same = canonical.encode(verdict) == canonical.encode(recorded_verdict.verdict)
    differences = tuple(_list_input_differences(recorded_verdict))
    if not is_same:
        differences += tuple(_list_differences(recorded_verdict.verdict, verdict))
    return ReplayedVerdict(verdict, differences if differences or is_same else ("The bytes of the verdict differ.",))


def _list_input_differences(recorded_verdict: RecordedVerdict) -> Iterator[str]:
    """The parts of the case that do not match the digests in the verdict."""
    policy = recorded_verdict.case.policy
    if compute_digest(encode_policy(policy)) != policy.digest:
        yield f"The policy {policy.name} does not match its digest {policy.digest}."
    stated_inputs, actual_inputs = recorded_verdict.verdict.inputs, evaluate.digest_inputs(recorded_verdict.case)
    for field in fields(InputDigests):
        if getattr(stated_inputs, field.name) != getattr(actual_inputs, field.name):
            yield f"The case does not match the verdict's digest of {field.name}."


def _list_differences(before: Verdict, after: Verdict) -> Iterator[str]:
    for name in ("image", "policy", "status", "summary"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            yield f"The verdict's {name} was {old!s}, and is {new!s}."
    if len(before.platform_verdicts) != len(after.platform_verdicts):
        yield f"It had {len(before.platform_verdicts)} platforms, and has {len(after.platform_verdicts)}."
        return
    for old, new in zip(before.platform_verdicts, after.platform_verdicts, strict=True):
        suffix = f" on {old.platform}" if old.platform else ""
        for field in fields(PlatformVerdict):
            was, now = getattr(old, field.name), getattr(new, field.name)
            if was != now:
                yield f"{field.name}{suffix}: {_describe(was)}, and now {_describe(now)}."


def _describe(value: object) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} entries"
    return str(value) if isinstance(value, str | dict) else "a different value"
