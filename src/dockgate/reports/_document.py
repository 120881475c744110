"""JSON documents in pure ASCII: any encoding can carry them, and they cannot steer a terminal."""

import json
import re
import uuid
from typing import Any, TextIO

from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest

Document = dict[str, Any]


def write(document: Document, output: TextIO) -> None:
    """Write a document. Lone surrogates (bytes that are not UTF-8) become text: many readers refuse them."""
    text = json.dumps(document, indent=2, allow_nan=False)
    if r"\ud" in text:  # rare: to look for lone surrogates first would cost a tenth of the time
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        text = re.sub(r"[^\x00-\x7e]", _escape_character, text)
    output.write(text)
    output.write("\n")


def _escape_character(match: re.Match[str]) -> str:
    char = match[0]
    if char == "\x7f":
        return "\\u007f"
    return ("\\" if "\ud800" <= char <= "\udfff" else "") + json.dumps(char)[1:-1]


def make_urn(document: Document) -> str:
    """A URN that depends on the content of the document alone."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, compute_digest(canonical.encode(document)))}"


def drop_empty(**values: Any) -> Document:
    """The keyword arguments without None and empty values; 0 stays. A trailing "_" of a name is removed."""
    return {key.rstrip("_"): value for key, value in values.items() if value or value == 0}


def select_fields(source: object, *names: str) -> Document:
    """These fields of a dataclass."""
    return {name: getattr(source, name) for name in names}
