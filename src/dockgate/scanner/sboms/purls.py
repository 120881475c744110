"""Parse package URLs."""

from typing import Any
from urllib.parse import unquote

from dockgate.shared.purl import Purl

# Types whose names the specification has in lower case, though packages of theirs have capitals (R, JSONStream)
_CASE_SENSITIVE_TYPES = ("apk", "npm")
# Types whose namespace has no capitals by the specification, though the library leaves them; no more has deb's name
# (Debian Policy 5.6.1)
_VENDORS = ("deb", "rpm")


def parse(text: str) -> Purl:
    """Parse a package URL. Raises ValueError."""
    from packageurl import PackageURL

    parsed = PackageURL.from_string(text)
    qualifiers: Any = parsed.qualifiers or {}
    namespace, name = parsed.namespace or "", parsed.name
    if parsed.type in _CASE_SENSITIVE_TYPES:
        scope, name = _as_written(text)
        namespace = scope if parsed.type == "npm" else namespace
    elif parsed.type in _VENDORS:
        namespace = namespace.lower()
        name = name.lower() if parsed.type == "deb" else name
    return Purl(parsed.type, namespace, name, parsed.version or "", dict(qualifiers), parsed.subpath or "")


def _as_written(text: str) -> tuple[str, str]:
    """Namespace and name in their own case."""
    path = text.partition("#")[0].partition("?")[0].partition(":")[2].strip("/").partition("/")[2]
    scope, _, last = path.strip("/").rpartition("/")
    return unquote(scope), unquote(last.rpartition("@")[0] or last)
