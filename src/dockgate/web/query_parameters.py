"""The parameters of an address. Unknown ones are refused.

If they were ignored, a list would look filtered although it is not.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, get_args
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, Request
from fastapi._compat import ModelField
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError

F = TypeVar("F", bound=Callable[..., Any])

# Characters of a name in an error.
_MAX_NAME = 60
# Values that an error lists: an image may have a hundred layers.
_MAX_VALUES = 20


@dataclass(frozen=True, slots=True)
class _MoreParameters:
    """Parameters that a function reads from the request, beside those in its signature."""

    names: Collection[str] = ()
    tables: Collection[str] = ()
    is_open: bool = False


_more_parameters: dict[Callable[..., Any], _MoreParameters] = {}
_known_names: dict[Callable[..., Any], frozenset[str]] = {}


def mark_parameters(*names: str, tables: Iterable[str] = (), is_open: bool = False) -> Callable[[F], F]:
    """Mark a page or call with the parameters that it reads from the request itself.

    `tables` are the ids of tables on a page, each with parameters of its own (`console.tables`), "layers-*" those that
    begin so. With `is_open` all others are accepted: those of another server, which adds some.
    """

    def mark(call: F) -> F:
        _more_parameters[call] = _MoreParameters(names, tuple(tables), is_open)
        return call

    return mark


async def require_known_parameters(request: Request) -> None:
    """Raise RequestValidationError, with the parameters of the request's route, for another one."""
    call: Callable[..., Any] = request.scope["endpoint"]
    more_parameters = _more_parameters.get(call, _MoreParameters())
    if not request.url.query or more_parameters.is_open:
        return
    known_names = _known_names.get(call)
    if known_names is None:
        names = {field.alias for field in list_parameters(request.scope["route"].dependant)}
        known_names = _known_names[call] = frozenset(names.union(more_parameters.names))
    for name, value in parse_qsl(request.url.query, keep_blank_values=True):
        if name not in known_names and not _is_of_table(name, more_parameters.tables):
            choices = _join_names(sorted(known_names))
            advice = f"Use {choices}, or leave it out." if choices else "Leave it out."
            problem = {"type": "unknown_parameter", "loc": ("query", name[:_MAX_NAME]), "input": value}
            raise RequestValidationError([{**problem, "ctx": {"advice": advice}}])


KNOWN_PARAMETERS = Depends(require_known_parameters)


def _is_of_table(name: str, tables: Collection[str]) -> bool:
    """Return whether a parameter is the order or the cursor of one of these tables."""
    table, _, part = name.rpartition("-")
    is_table = any(table.startswith(entry[:-1]) if entry.endswith("*") else table == entry for entry in tables)
    return is_table and part in ("sort", "after")


def _join_names(names: Sequence[str]) -> str:
    """The names with commas, and "or" before the last one."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1] if names else "")))


def choose_value(fields: Mapping[str, str], name: str, values: Sequence[str], default: str = "") -> str:
    """The value of a parameter that a page reads itself; the default if it is absent or empty.

    Raises RequestValidationError, as for those in a signature, if it is not one of the values.
    """
    value = fields.get(name, "")
    if value and value not in values:
        refuse_value(name, value, values)
    return value or default


def refuse_value(name: str, value: str, values: Sequence[str]) -> NoReturn:
    """Raise RequestValidationError: the value of the parameter is not among these."""
    choices = [repr(str(other_value)) for other_value in values if other_value]
    kind = "enum" if 0 < len(choices) <= _MAX_VALUES else "unknown_value"
    raise RequestValidationError(
        [{"type": kind, "loc": ("query", name), "input": value, "ctx": {"expected": _join_names(choices)}}]
    )


def drop_empty_parameters(request: Request, dependant: Dependant) -> None:
    """Remove choices without a value: a browser sends each field of a form, also those for "any"."""
    if b"=&" not in request.scope["query_string"] and not request.scope["query_string"].endswith(b"="):
        return
    choices = {field.alias for field in list_parameters(dependant) if not _is_text(field.field_info.annotation)}
    pairs = parse_qsl(request.url.query, keep_blank_values=True)
    kept_pairs = [(name, value) for name, value in pairs if value or name not in choices]
    request.scope["query_string"] = urlencode(kept_pairs).encode()


def list_parameters(dependant: Dependant) -> Iterator[ModelField]:
    """The parameters of the query in the signatures of a route and of its dependencies."""
    yield from dependant.query_params
    for inner in dependant.dependencies:
        yield from list_parameters(inner)


def _is_text(annotation: Any) -> bool:
    return str in (annotation, *get_args(annotation))
