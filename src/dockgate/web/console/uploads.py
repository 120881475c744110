"""A file that a person chooses in a form, or the text in its place."""

import re
from typing import NamedTuple

from fastapi import Request

from dockgate.shared.errors import UsageError
from dockgate.web.console.routes import read_body, read_form
from dockgate.web.request_limits import require_storable

# Characters of a file's name that count.
MAX_NAME = 200
# Parts of a form that are read: its fields are `file` and `content`.
MAX_PARTS = 10
# What a text is called that was not in a file.
PASTED_NAME = "document.json"
_MULTIPART = re.compile(r"multipart/form-data;\s*boundary=\"?([^\s\";]{1,70})\"?", re.IGNORECASE)
_NAME = re.compile(rb'\bname="([^"\r\n]*)"')
_FILE_NAME = re.compile(rb'\bfilename="([^"\r\n]*)"')


class Upload(NamedTuple):
    """The bytes of a file, and the name that messages call it."""

    name: str
    data: bytes


async def upload_of(request: Request) -> Upload:
    """The file of the field `file`, or the text of the field `content` if no file was chosen.

    Raises UsageError for a malformed body, or for neither; BusyError while too many others are received.
    """
    multipart = _MULTIPART.fullmatch(request.headers.get("content-type", ""))
    if multipart is None:
        upload = Upload(PASTED_NAME, (await read_form(request)).get("content", "").encode())
    else:
        upload = read_upload(await read_body(request), multipart[1].encode())
    if not upload.data.strip():
        raise UsageError("no document was given", "Choose a file, or paste its text.")
    require_storable(upload.data)
    return upload


def read_upload(body: bytes, boundary: bytes) -> Upload:
    """The upload in a form of several parts (RFC 7578)."""
    first, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary, MAX_PARTS + 2)
    if len(parts) > MAX_PARTS + 1:  # the last one is the end
        raise UsageError("the form cannot be read: it has too many parts", "Send it again from the page.")
    if first or not parts or not parts[-1].startswith(b"--"):
        raise UsageError("the form cannot be read: it does not end", "Send it again from the page.")
    fields: dict[bytes, Upload] = {}
    for part in parts[:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        name, file_name = _NAME.search(head), _FILE_NAME.search(head)
        if name is None or name[1] in fields:
            raise UsageError("the form cannot be read: a part has no name of its own", "Send it again from the page.")
        title = file_name[1].decode(errors="replace")[:MAX_NAME] if file_name else ""
        fields[name[1]] = Upload(title or PASTED_NAME, data)
    file_part = fields.get(b"file")
    if file_part is not None and file_part.data:
        return file_part
    text = fields.get(b"content", Upload(PASTED_NAME, b"")).data
    return Upload(PASTED_NAME, text.replace(b"\r\n", b"\n"))
