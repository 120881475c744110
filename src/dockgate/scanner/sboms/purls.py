"""Parse package URLs."""

from typing import Any
from urllib.parse import unquote

from dockgate.shared.purl import Purl, strip_qualifiers

# Types whose names the specification has in lower case, though packages of theirs have capitals (R, JSONStream)
_CASE_SENSITIVE_TYPES = ("apk", "npm")
# Types whose namespace has no capitals by the specification, though the library leaves them; no more has deb's name
# (Debian Policy 5.6.1)
_VENDORS = ("deb", "rpm")


def parse_purl(text: str) -> Purl:
    """Parse a package URL. Raises ValueError."""
    from packageurl import PackageURL

    package_url = PackageURL.from_string(text)
    qualifiers: Any = package_url.qualifiers or {}
    namespace, name = package_url.namespace or "", package_url.name
    if package_url.type in _CASE_SENSITIVE_TYPES:
        scope, name = _read_name(text)
        namespace = scope if package_url.type == "npm" else namespace
    elif package_url.type in _VENDORS:
        namespace = namespace.lower()
        name = name.lower() if package_url.type == "deb" else name
    return Purl(
        package_url.type, namespace, name, package_url.version or "", dict(qualifiers), package_url.subpath or ""
    )


def _read_name(text: str) -> tuple[str, str]:
    """Namespace and name in their own case."""
    path = strip_qualifiers(text).partition(":")[2].strip("/").partition("/")[2]
    scope, _, last = path.strip("/").rpartition("/")
    return unquote(scope), unquote(last.rpartition("@")[0] or last)
