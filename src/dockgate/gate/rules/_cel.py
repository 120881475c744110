"""Expressions in CEL: their types, their variables, and how they are compiled and evaluated by Google's runtime
(cel-expr-python). It and protobuf are imported at first use.

What is not known is null, so that an expression that looks at it without asking ends in an error, which is no answer;
so do comparisons with it (`_cel_null`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from dockgate.gate.rules import _cel_bounds, _cel_growth, _cel_null
from dockgate.shared.errors import DefinitionError

_TEXT, _TRUTH = "string", "bool"
_TEXTS, _MAYBE_TEXT, _MAYBE_NUMBER, _MAYBE_TRUTH = "strings", "StringValue", "DoubleValue", "BoolValue"
_MAYBE_WHOLE = "Int64Value"

TYPES: Mapping[str, Mapping[str, str]] = {
    "Package": {
        "purl": _TEXT,
        "name": _TEXT,
        "version": _TEXT,
        "ecosystem": _TEXT,
        "source": _TEXT,
        "path": _TEXT,
        "owner": _TEXT,
        "in_base": _MAYBE_TRUTH,
    },
    "Finding": {
        "id": _TEXT,
        "aliases": _TEXTS,
        "package": "Package",
        "severity": _MAYBE_TEXT,
        "score": _MAYBE_NUMBER,
        "fixed": _MAYBE_TEXT,
        "state": _TEXT,
        "exploited": _MAYBE_TRUTH,
        "due": _MAYBE_TEXT,
        "epss": _MAYBE_NUMBER,
        "percentile": _MAYBE_NUMBER,
        "disputed": _TRUTH,
        "reachable": _MAYBE_TEXT,
        "published": _MAYBE_TEXT,
        "fixed_at": _MAYBE_TEXT,
        "running": _MAYBE_TRUTH,
        "approved": _MAYBE_TRUTH,
    },
    "Image": {
        "digest": _TEXT,
        "platform": _TEXT,
        "distribution": _MAYBE_TEXT,
        "release": _MAYBE_TEXT,
        "support_end": _MAYBE_TEXT,
        "base": _MAYBE_TEXT,
        "created": _MAYBE_TEXT,
        "user": _MAYBE_TEXT,
        "layers": _MAYBE_WHOLE,
        "unread": _MAYBE_WHOLE,
    },
}
"""Message -> its fields and their types; a type that ends in "Value" may be null."""

VARIABLES = {"findings": "list(Finding)", "packages": "list(Package)", "image": "Image", "now": "timestamp"}
RESULTS = {"BOOL": "bool", "LIST<dockgate.Finding>": "list(Finding)", "LIST<dockgate.Package>": "list(Package)"}


class EvaluationError(Exception):
    """An expression has no answer here; the text says why."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression; `result` is one of RESULTS' values. `grows`: with more findings, what is true stays so,
    and what is in the list (`_cel_growth`)."""

    result: str
    compiled: Any
    grows: bool

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """A bool, or the messages in the list. Raises EvaluationError."""
        try:
            value = self.compiled.eval(data=dict(variables)).plain_value()
        except RuntimeError as error:
            raise EvaluationError(_told(str(error))) from None
        if self.result == "bool" and not isinstance(value, bool):
            raise EvaluationError(_told(str(value)))
        if self.result != "bool" and not isinstance(value, list):
            raise EvaluationError(_told(str(value)))
        return value


@lru_cache(maxsize=256)
def compiled(text: str) -> Program:
    """Raises DefinitionError, without the key, with the compiler's message and its place in the expression."""
    if len(text) > _cel_bounds.LONGEST:
        raise DefinitionError(f"the expression has {len(text)} characters, at most {_cel_bounds.LONGEST} are allowed")
    try:
        expression = _environment().compile(text)
    except RuntimeError as error:
        raise DefinitionError(_told(str(error))) from None
    kind = str(expression.return_type())
    if kind not in RESULTS:
        raise DefinitionError(f"the expression is of type {kind}; allowed: {', '.join(RESULTS.values())}")
    tree = expression.serialize()
    try:
        _cel_bounds.check(tree)
        asking = _environment().deserialize(_cel_null.asked(tree))
    except _cel_bounds.UnboundedError as error:
        raise DefinitionError(f"the expression could cost too much: {error}") from None
    except _cel_null.NullError as error:
        raise DefinitionError(str(error)) from None
    return Program(RESULTS[kind], asking, _cel_growth.grows(tree))


def message(kind: str, values: Mapping[str, Any]) -> Any:
    """A message of this type. Values of None stay unset: null where the type has that."""
    made = _classes()[kind]()
    for name, value in values.items():
        if value is None:
            continue
        if TYPES[kind][name].endswith("Value"):
            getattr(made, name).value = value
        elif TYPES[kind][name] == _TEXTS:
            getattr(made, name).extend(value)
        elif TYPES[kind][name] in TYPES:
            getattr(made, name).CopyFrom(value)
        else:
            setattr(made, name, value)
    return made


@cache
def _pool() -> Any:
    """A descriptor pool that holds TYPES as messages of the package `dockgate`."""
    from google.protobuf import descriptor_pb2, descriptor_pool, wrappers_pb2  # type: ignore[import-untyped]

    file = descriptor_pb2.FileDescriptorProto(
        name="dockgate/policy.proto", package="dockgate", syntax="proto3", dependency=[wrappers_pb2.DESCRIPTOR.name]
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {_TEXT: kinds.TYPE_STRING, _TRUTH: kinds.TYPE_BOOL}
    for name, fields in TYPES.items():
        made = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            added = made.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL)
            if kind == _TEXTS:
                added.type, added.label = kinds.TYPE_STRING, kinds.LABEL_REPEATED
            elif kind in scalars:
                added.type = scalars[kind]
            else:
                added.type = kinds.TYPE_MESSAGE
                added.type_name = f".dockgate.{kind}" if kind in TYPES else f".google.protobuf.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


@cache
def _classes() -> dict[str, Any]:
    from google.protobuf import message_factory

    names = {name: _pool().FindMessageTypeByName(f"dockgate.{name}") for name in TYPES}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in names.items()}


@cache
def _environment() -> Any:
    try:
        from cel_expr_python import cel  # type: ignore[import-untyped]
    except ImportError as error:
        advice = "Install the package cel-expr-python, or leave out the rule."
        raise DefinitionError(f"expressions in CEL cannot be read here: {error}", advice) from error
    lists = {f"list({name})": cel.Type.List(cel.Type(f"dockgate.{name}")) for name in TYPES}
    types = {**lists, **{name: cel.Type(f"dockgate.{name}") for name in TYPES}, "timestamp": cel.Type.TIMESTAMP}
    return cel.NewEnv(descriptor_pool=_pool(), variables={name: types[kind] for name, kind in VARIABLES.items()})


def _told(text: str) -> str:
    """The runtime's message in one line, with its place and the names that there are: "line 1, column 21: undefined
    field …"."""
    if _cel_null.UNKNOWN in text:
        return "what it compares is not known (null)"
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("|")]
    first = (lines or [text])[0].partition(": ")[2] or text
    first = first.removeprefix("ERROR: ").removesuffix("]").rpartition(" [")[0] or first.removeprefix("ERROR: ")
    place, _, rest = first.removeprefix("<input>:").partition(": ")
    row, _, column = place.partition(":")
    if first.startswith("<input>:") and row.isdecimal() and column.isdecimal():
        return f"line {row}, column {column}: {rest}{_allowed(rest)}"
    return first


def _allowed(text: str) -> str:
    """What there is in place of what the compiler does not know."""
    if text.startswith("undeclared reference"):
        return f"; the variables are {', '.join(VARIABLES)}"
    kind = text.rpartition("struct 'dockgate.")[2].rstrip("'")
    fields = TYPES.get(kind, {}) if text.startswith("undefined field") else {}
    return f"; allowed here: {', '.join(fields)}" if fields else ""
