"""The fields of forms that can send files (RFC 7578).

The parser of the standard library's `email` also reads parts within parts, without a limit: a body of 200 kB can take
it ten seconds. A form has a few fields.
"""

import re
from typing import NamedTuple

from dockgate.shared.errors import UsageError

# Parts of a form that are read.
MAX_PARTS = 10
# Characters of a file's name that count.
MAX_NAME = 200
_TYPE = re.compile(r"multipart/form-data;\s*boundary=\"?([^\s\";]{1,70})\"?", re.IGNORECASE)
_NAME = re.compile(rb'\bname="([^"\r\n]*)"')
_FILE_NAME = re.compile(rb'\bfilename="([^"\r\n]*)"')
_ADVICE = "Send it again from the page."


class Part(NamedTuple):
    """A field of a form: its bytes; for a file its name, for a text None.

    If no file was chosen, a browser sends a file with an empty name.
    """

    file_name: str | None
    data: bytes


def find_boundary(content_type: str) -> bytes | None:
    """What separates the parts of a form with this type; None for another type."""
    match = _TYPE.fullmatch(content_type)
    return match[1].encode() if match else None


def read_parts(body: bytes, boundary: bytes) -> dict[str, Part]:
    """The fields by their names; lines of texts end by newlines. Raises UsageError for a malformed body."""
    first, *texts = (b"\r\n" + body).split(b"\r\n--" + boundary, MAX_PARTS + 2)
    if len(texts) > MAX_PARTS + 1:  # the last one is the end
        raise UsageError("the form cannot be read: it has too many parts", _ADVICE)
    if first or not texts or not texts[-1].startswith(b"--"):
        raise UsageError("the form cannot be read: it does not end", _ADVICE)
    parts: dict[str, Part] = {}
    for text in texts[:-1]:
        head, _, data = text.partition(b"\r\n\r\n")
        match, file_name = _NAME.search(head), _FILE_NAME.search(head)
        name = match[1].decode(errors="replace") if match else None
        if name is None or name in parts:
            raise UsageError("the form cannot be read: a part has no name of its own", _ADVICE)
        if file_name is None:
            parts[name] = Part(None, data.replace(b"\r\n", b"\n"))
        else:
            parts[name] = Part(file_name[1].decode(errors="replace")[:MAX_NAME], data)
    return parts
