"""Events as CloudEvents 1.0 over HTTP.

Source: "HTTP Protocol Binding for CloudEvents", 3.1 binary, 3.2 structured.
"""

import json
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from dockgate.events.model import Message
from dockgate.shared.wording import replace_surrogates

TYPE_PREFIX = "dev.dockgate."


class CloudEventsMode(StrEnum):
    """Where the attributes are: in the body (STRUCTURED), or in headers (BINARY)."""

    STRUCTURED = "structured"
    BINARY = "binary"


def make_http_message(message: Message, mode: CloudEventsMode) -> tuple[dict[str, str], str]:
    """The headers and the body of a message. `data` is what the rule makes of the event."""
    data, is_json = _decode_data(message.data)
    attributes = {
        "specversion": "1.0",
        "id": message.key,
        "source": str(message.event.get("source") or "dockgate"),
        "type": make_event_type(str(message.event.get("source", "")), str(message.event.get("detail-type", ""))),
        "time": str(message.event.get("time", "")),
    }
    if message.subject:
        attributes["subject"] = str(message.subject)
    content_type = "application/json" if is_json else "text/plain; charset=utf-8"
    if mode is CloudEventsMode.BINARY:
        headers = {f"ce-{name}": _encode_header(value) for name, value in attributes.items() if value}
        return {**headers, "content-type": content_type}, replace_surrogates(message.data)
    body = {
        **{name: value for name, value in attributes.items() if value},
        "datacontenttype": content_type,
        "data": data,
    }
    content = replace_surrogates(json.dumps(body, ensure_ascii=False, separators=(",", ":")))
    return {"content-type": "application/cloudevents+json; charset=utf-8"}, content


def make_event_type(source: str, detail_type: str) -> str:
    """The type of an event: "dev.dockgate.image.judged", "aws.inspector2.Inspector2 Finding"."""
    return f"{TYPE_PREFIX}{detail_type}" if source in ("", "dockgate") else f"{source}.{detail_type}"


def _decode_data(text: str) -> tuple[Any, bool]:
    try:
        return json.loads(text), True
    except ValueError:
        return text, False


def _encode_header(value: str) -> str:
    """A value in the form of headers (3.1.3.2).

    All but printable ASCII without space, " and % is percent-encoded.
    """
    return quote(replace_surrogates(value), safe="!#$&'()*+,/:;<=>?@[\\]^_`{|}~-.")
