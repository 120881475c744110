"""Documents that programs read: JSON in ASCII alone, so that no encoding can refuse it and no terminal is steered."""

import json
import re
import uuid
from typing import Any, TextIO

from dockgate.shared import canonical

Document = dict[str, Any]


def write(document: Document, out: TextIO) -> None:
    """Half of a surrogate pair, as a name has it whose bytes are no UTF-8, is written as text: many readers refuse a
    document in which it stands as such."""
    text = json.dumps(document, indent=2, allow_nan=False)
    if r"\ud" in text:  # which is hardly ever there: a tenth of the time would go into looking for such halves
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        text = re.sub(r"[^\x00-\x7e]", _ascii, text)
    out.write(text)
    out.write("\n")


def _ascii(match: re.Match[str]) -> str:
    char = match[0]
    if char == "\x7f":
        return "\\u007f"
    return ("\\" if "\ud800" <= char <= "\udfff" else "") + json.dumps(char)[1:-1]


def urn(document: Document) -> str:
    """A name for the document that its content alone decides."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, canonical.digest(canonical.encode(document)))}"


def given(**values: Any) -> Document:
    """The keys that have something to say: no None, no empty text, list or object. A trailing "_" is left out."""
    return {key.rstrip("_"): value for key, value in values.items() if value or value == 0}
