"""A file that a person chooses in a form, or a text instead."""

from collections.abc import Mapping
from typing import NamedTuple

from fastapi import Request

from dockgate.shared.errors import UsageError
from dockgate.web.console.form_fields import read_body, read_form
from dockgate.web.console.multipart import Part, find_boundary, read_parts
from dockgate.web.request_limits import require_storable

# What a text is called that was not in a file.
PASTED_NAME = "document.json"


class Upload(NamedTuple):
    """The bytes of a file, and the name that messages call it."""

    name: str
    data: bytes


async def read_upload(request: Request) -> Upload:
    """The file of the field `file`, or the text of the field `content` if no file was chosen.

    Raises UsageError for a malformed body, or for neither; BusyError while too many others are received.
    """
    boundary = find_boundary(request.headers.get("content-type", ""))
    if boundary is None:
        upload = Upload(PASTED_NAME, (await read_form(request)).get("content", "").encode())
    else:
        upload = choose_upload(read_parts(await read_body(request), boundary))
    if not upload.data.strip():
        raise UsageError("no document was given", "Choose a file, or paste its text.")
    require_storable(upload.data)
    return upload


def choose_upload(parts: Mapping[str, Part]) -> Upload:
    """The upload in the fields of a form."""
    file_part = parts.get("file")
    if file_part is not None and file_part.data:
        return Upload(file_part.file_name or PASTED_NAME, file_part.data)
    text = parts.get("content")
    return Upload(PASTED_NAME, text.data if text else b"")
