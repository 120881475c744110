"""Package URLs, read."""

from typing import Any
from urllib.parse import unquote

from dockgate.core.purl import Purl

_CASED = ("npm",)
"""types whose names the specification has in lower case, though older packages of theirs have capitals (JSONStream)"""


def parse(text: str) -> Purl:
    """Raises ValueError for what is no package URL."""
    from packageurl import PackageURL

    found = PackageURL.from_string(text)
    qualifiers: Any = found.qualifiers or {}
    namespace, name = found.namespace or "", found.name
    if found.type in _CASED:
        namespace, name = _as_written(text)
    return Purl(found.type, namespace, name, found.version or "", dict(qualifiers), found.subpath or "")


def _as_written(text: str) -> tuple[str, str]:
    """Namespace and name in their own case."""
    path = text.partition("#")[0].partition("?")[0].partition(":")[2].strip("/").partition("/")[2]
    scope, _, last = path.strip("/").rpartition("/")
    return unquote(scope), unquote(last.rpartition("@")[0] or last)
