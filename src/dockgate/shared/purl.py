"""Package URLs: their parts, and how they are written (the purl specification, ECMA-427)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

# An internal qualifier, never written: the maintainer of a distribution's package, as a document states it.
MAINTAINER = "maintainer"

_SCHEME = "pkg:"

_UNRESERVED_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:")


class Purl(NamedTuple):
    """A package URL's parts, decoded. `namespace` segments are joined by "/".

    An absent part is empty: the specification makes no difference.

    A named tuple, because every scan imports it, and dataclasses take five times as long to make.
    """

    type: str
    namespace: str
    name: str
    version: str = ""
    qualifiers: Mapping[str, str] = MappingProxyType({})
    subpath: str = ""

    def __str__(self) -> str:
        return write_purl(self.type, self.namespace, self.name, self.version, self.qualifiers, self.subpath)


def write_purl(
    kind: str,
    namespace: str,
    name: str,
    version: str = "",
    qualifiers: Mapping[str, str | None] | None = None,
    subpath: str = "",
) -> str:
    """Return the package URL in canonical form: sorted qualifiers, without absent and empty ones."""
    text = f"pkg:{kind}/"
    if namespace:
        text += "/".join(map(quote_part, namespace.split("/"))) + "/"
    text += quote_part(name)
    if version:
        text += "@" + quote_part(version)
    qualifier_texts = [f"{key}={quote_part(value)}" for key, value in sorted((qualifiers or {}).items()) if value]
    if qualifier_texts:
        text += "?" + "&".join(qualifier_texts)
    return text + ("#" + "/".join(map(quote_part, subpath.split("/"))) if subpath else "")


def is_purl(text: str) -> bool:
    """Return whether the text is written as a package URL: it begins with the scheme."""
    return text.startswith(_SCHEME)


def strip_scheme(purl: str) -> str:
    """Return a package URL without "pkg:"."""
    return purl.removeprefix(_SCHEME)


def get_type(purl: str) -> str:
    """The type of a package URL, as it is written: "pypi"."""
    return strip_scheme(purl).partition("/")[0]


def is_of_type(purl: str, *types: str) -> bool:
    """Return whether the text is a package URL of one of these types, which it has in lower case."""
    return is_purl(purl) and get_type(purl) in types


def split_qualifiers(purl: str) -> tuple[str, str]:
    """Return a package URL without its qualifiers and subpath, and the qualifiers as they are written."""
    path, _, qualifiers = purl.partition("#")[0].partition("?")
    return path, qualifiers


def strip_qualifiers(purl: str) -> str:
    """Return a package URL without its qualifiers and subpath."""
    return split_qualifiers(purl)[0]


def get_version(purl: str) -> str | None:
    """The version of a package URL, as it is written, None without one.

    An "@" in front of a slash begins none.
    """
    _, at_sign, version = strip_qualifiers(purl).rpartition("/")[2].rpartition("@")
    return version if at_sign else None


def quote_part(text: str) -> str:
    """Percent-encode as in the specification's "Character encoding"; the colon stays."""
    if _UNRESERVED_CHARACTERS.issuperset(text):
        return text
    return "".join(
        char
        if char in _UNRESERVED_CHARACTERS
        else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
        for char in text
    )
