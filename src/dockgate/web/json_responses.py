"""JSON for texts that are not Unicode.

These are paths in images whose bytes are not UTF-8, and what JSON of others has escaped. Pydantic and Starlette write
UTF-8, and fail on lone surrogates. JSON in ASCII has them as escapes.
"""

import json
from typing import Any

from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from dockgate.shared.interfaces import override


class AsciiResponse(JSONResponse):
    """A response in JSON, for any text."""

    @override
    def render(self, content: Any) -> bytes:
        return _encode_ascii(content)


def respond_with_large(value: object) -> Response:
    """Return the response with a dataclass, made at once.

    A call that returns the value itself leaves that to the event loop, which no other request gets meanwhile.
    """
    try:
        content = to_json(value)
    except PydanticSerializationError:
        content = _encode_ascii(to_jsonable_python(value))
    return Response(content, media_type="application/json")


def accept_any_text(route: APIRoute) -> None:
    """Have the route answer with any text.

    Others are written as before: in ASCII it takes ten times as long.
    """
    field = route.response_field
    if field is None:
        return
    serialize_json = field.serialize_json

    def serialize_value(value: Any, **options: Any) -> bytes:
        try:
            return serialize_json(value, **options)
        except PydanticSerializationError:
            return _encode_ascii(field.serialize(value, **options))

    field.serialize_json = serialize_value  # type: ignore[method-assign]


def _encode_ascii(content: Any) -> bytes:
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")
