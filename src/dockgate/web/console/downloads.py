"""Files to download: what they contain was made from images, and must not act in a browser."""

import re
from collections.abc import Callable
from io import StringIO
from typing import TextIO

from fastapi.responses import Response

# What a browser may do with a file that it opens all the same: show it, without scripts, in an origin of its own.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "sandbox",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
# Characters of a file's name.
_LONGEST_NAME = 120


def download(name: str, media_type: str, write: Callable[[TextIO], None]) -> Response:
    """A file that the browser saves. What is unsafe in its name becomes "-"."""
    out = StringIO()
    write(out)
    safe = _UNSAFE.sub("-", name).strip("-.")[:_LONGEST_NAME] or "report"
    disposition = {"Content-Disposition": f'attachment; filename="{safe}"'}
    content = out.getvalue().encode("utf-8", "replace")
    return Response(content, media_type=media_type, headers={**_HEADERS, **disposition})
