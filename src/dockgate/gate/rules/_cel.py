"""Compile and evaluate CEL expressions by Google's runtime (cel-expr-python).

The runtime and protobuf are imported at first use. Unknown values are null: computing with null, or comparing it
(`_cel_null`), is an error, never a false.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from dockgate.gate.rules import _cel_ast, _cel_limits, _cel_null
from dockgate.gate.rules._cel_messages import Messages, build_message_classes, build_message_pool
from dockgate.shared.errors import DefinitionError
from dockgate.shared.escaping import as_unicode


def _parse_fields(text: str) -> dict[str, str]:
    """The fields and their types, from "NAME, NAME: TYPE; NAME: TYPE"."""
    groups = (group.split(": ") for group in text.split("; "))
    return {name: field_type for names, field_type in groups for name in names.split(", ")}


# Message -> its fields and their types. A type that ends in "Value" may be null.
TYPES: Mapping[str, Mapping[str, str]] = {
    "Package": _parse_fields("purl, name, version, ecosystem, source, path, owner: string; in_base: BoolValue"),
    "Finding": _parse_fields(
        "id: string; aliases: string[]; package: Package; severity: StringValue; score: DoubleValue; "
        "fixed: StringValue; state: string; exploited: BoolValue; due: StringValue; epss, percentile: DoubleValue; "
        "disputed: bool; reachable, published, fixed_at: StringValue; running, approved: BoolValue"
    ),
    "Image": _parse_fields(
        "digest, platform: string; distribution, release, support_end, base, created, user: StringValue; "
        "layers, unread: Int64Value"
    ),
}

_PACKAGE = "dockgate"
_MESSAGES: Messages = {
    message: {name: (number, field_type) for number, (name, field_type) in enumerate(fields.items(), 1)}
    for message, fields in TYPES.items()
}
VARIABLES = {"findings": "list(Finding)", "packages": "list(Package)", "image": "Image", "now": "timestamp"}
RESULTS = {"BOOL": "bool", "LIST<dockgate.Finding>": "list(Finding)", "LIST<dockgate.Package>": "list(Package)"}


class EvaluationError(Exception):
    """An expression has no result for these values; the text says why."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression.

    `result_type` is one of RESULTS' values. `is_monotonic`: one more finding never makes the result false, nor removes
    anything from its list.
    """

    result_type: str
    expression: Any
    is_monotonic: bool

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """A bool, or the messages in the list. Raises EvaluationError."""
        try:
            value = self.expression.eval(data=dict(variables)).plain_value()
        except RuntimeError as error:
            raise EvaluationError(_describe_problem(str(error))) from None
        if not isinstance(value, bool if self.result_type == "bool" else list):
            raise EvaluationError(_describe_problem(str(value)))
        return value


@lru_cache(maxsize=256)
def compile_expression(text: str) -> Program:
    """Raise DefinitionError with the compiler's message and its position in the expression.

    The message does not name the key.
    """
    if len(text) > _cel_limits.MAX_LENGTH:
        raise DefinitionError(f"the expression has {len(text)} characters, at most {_cel_limits.MAX_LENGTH} allowed")
    try:
        expression = _build_environment().compile(text)
    except RuntimeError as error:
        raise DefinitionError(_describe_problem(str(error))) from None
    result_type = str(expression.return_type())
    if result_type not in RESULTS:
        raise DefinitionError(f"the expression is of type {result_type}; allowed: {', '.join(RESULTS.values())}")
    serialized_ast = expression.serialize()
    try:
        document = _cel_ast.parse(serialized_ast)
        _cel_limits.check_cost(document)
        is_monotonic = _cel_limits.is_monotonic(document.expr)
        _cel_null.add_null_checks(document)
        checked_expression = _build_environment().deserialize(_cel_ast.serialize_expression(document, serialized_ast))
    except (_cel_ast.ExpressionError, _cel_limits.UnboundedError) as error:
        raise DefinitionError(f"the expression could cost too much: {error}") from None
    except _cel_null.NullError as error:
        raise DefinitionError(str(error)) from None
    except RuntimeError as error:
        raise DefinitionError(f"the expression is nested too deeply: {_describe_problem(str(error))}") from None
    return Program(RESULTS[result_type], checked_expression, is_monotonic)


def make_message(type_name: str, values: Mapping[str, Any]) -> Any:
    """A message of this type. Values of None stay unset, which is null where the type allows it."""
    result = _build_message_classes()[type_name]()
    for name, value in values.items():
        if value is None:
            continue
        field_type = TYPES[type_name][name]
        if isinstance(value, str):
            value = as_unicode(value)
        if field_type.endswith("Value"):
            getattr(result, name).value = value
        elif field_type == "string[]":
            getattr(result, name).extend(map(as_unicode, value))
        elif field_type in TYPES:
            getattr(result, name).CopyFrom(value)
        else:
            setattr(result, name, value)
    return result


@cache
def _build_descriptor_pool() -> Any:
    return build_message_pool(_PACKAGE, "proto3", _MESSAGES)


@cache
def _build_message_classes() -> dict[str, Any]:
    return build_message_classes(_build_descriptor_pool(), _PACKAGE, _MESSAGES)


@cache
def _build_environment() -> Any:
    try:
        from cel_expr_python import cel  # type: ignore[import-untyped]
    except ImportError as error:
        advice = "Install the package cel-expr-python, or remove the rule `expression` from the policy."
        raise DefinitionError(f"CEL expressions are not supported here: {error}", advice) from error
    lists = {f"list({name})": cel.Type.List(cel.Type(f"dockgate.{name}")) for name in TYPES}
    types = {**lists, **{name: cel.Type(f"dockgate.{name}") for name in TYPES}, "timestamp": cel.Type.TIMESTAMP}
    variables = {name: types[type_name] for name, type_name in VARIABLES.items()}
    return cel.NewEnv(descriptor_pool=_build_descriptor_pool(), variables=variables)


def _describe_problem(text: str) -> str:
    """The runtime's message in one line, with its position and the allowed names.

    For example "line 1, column 21: undefined field …".
    """
    if _cel_null.NULL_OPERAND in text:
        return "it compares a value that is not known (null)"
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("|")]
    first = (lines or [text])[0].partition(": ")[2] or text
    first = first.removeprefix("ERROR: ").removesuffix("]").rpartition(" [")[0] or first.removeprefix("ERROR: ")
    position, _, problem = first.removeprefix("<input>:").partition(": ")
    row, _, column = position.partition(":")
    if first.startswith("<input>:") and row.isdecimal() and column.isdecimal():
        return f"line {row}, column {column}: {problem}{_list_allowed_names(problem)}"
    return first


def _list_allowed_names(problem: str) -> str:
    """The names that exist where the compiler does not know one."""
    if problem.startswith("undeclared reference"):
        return f"; the variables are {', '.join(VARIABLES)}"
    type_name = problem.rpartition("struct 'dockgate.")[2].rstrip("'")
    fields = TYPES.get(type_name, {}) if problem.startswith("undefined field") else {}
    return f"; allowed here: {', '.join(fields)}" if fields else ""
