"""From an item of a document to a package."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace

from dockgate.scanner.model import Distribution, Package, Unread
from dockgate.scanner.osrelease import os_id
from dockgate.scanner.ports import Ecosystem
from dockgate.scanner.sboms._contents import Item
from dockgate.scanner.sboms.purls import parse
from dockgate.shared.errors import DockgateError
from dockgate.shared.purl import MAINTAINER, Purl

_SYSTEMS = ("deb", "apk", "rpm")
_EXTRAS = tuple(one.name for one in fields(Package) if one.name not in ("name", "version", "purl"))


class Packages:
    """Makes packages, by the ecosystems whose purls they bear."""

    def __init__(self, ecosystems: Sequence[Ecosystem], distribution: Distribution | None) -> None:
        self._kinds: Mapping[str, Ecosystem] = {kind: one for one in ecosystems for kind in one.purls}
        self._distribution = distribution

    def package(self, item: Item) -> Package | Unread:
        if not item.purl:
            return item.unread("it has no package URL")
        ours = {name: item.traits.one(f"dockgate:{name}") for name in _EXTRAS}
        if ours["source_name"]:
            return Package(name=item.name, version=item.version, purl=item.purl, **ours)
        try:
            purl = parse(item.purl)
        except ValueError:
            return item.unread(f"{item.purl} is no package URL")
        kind = self._kinds.get(purl.type)
        if kind is None:
            return item.unread(f"nothing is known of packages of the type {purl.type}")
        if not purl.version and not item.version:
            return item.unread("it has no version")
        try:
            package = kind.package(_mended(purl, item), self._distribution)
        except DockgateError as error:
            return item.unread(str(error).rstrip("."))
        return replace(package, **_places(purl, item))


def distribution(items: Iterable[Item]) -> Distribution | None:
    """What the first distribution package says that it is of (`distro=debian-13`)."""
    for item in items:
        if item.purl.startswith(tuple(f"pkg:{kind}/" for kind in _SYSTEMS)):
            try:
                distro = parse(item.purl).qualifiers.get("distro", "")
            except ValueError:
                continue
            name, dash, version = distro.partition(" (")[0].rpartition("-")
            if dash and name:
                return Distribution(os_id(name), version)
    return None


def _mended(purl: Purl, item: Item) -> Purl:
    """As Syft writes it. Trivy puts a Debian version's epoch and what a package was built from elsewhere, and has names
    of its own for some distributions. Both write Alpine's R as the specification has it, in lower case."""
    given = dict(purl.qualifiers)
    version = purl.version or item.version
    if purl.type == "deb" and (epoch := given.pop("epoch", "")) and ":" not in version:
        version = f"{epoch}:{version}"
    name, dash, release = given.get("distro", "").rpartition("-")
    if dash:
        given["distro"] = f"{os_id(name)}-{release}"
    if item.source[0] and purl.type in _SYSTEMS:
        given.setdefault("upstream", _upstream(purl.type, *item.source))
    if item.maker and purl.type in _SYSTEMS:
        given.setdefault("vendor" if purl.type == "rpm" else MAINTAINER, item.maker)
    name = item.name if purl.type == "apk" and item.name.lower() == purl.name else purl.name
    return purl._replace(name=name, version=version, qualifiers=given)


def _upstream(kind: str, name: str, version: str) -> str:
    if kind == "rpm":
        return f"{name}-{version.rpartition(':')[2]}.src.rpm"
    return f"{name}@{version}" if version else name


def _places(purl: Purl, item: Item) -> dict[str, str]:
    """The file that told of it. Of a distribution's package Syft names first what else it looked at."""
    path = item.traits.one("aquasecurity:trivy:FilePath")
    if not path and purl.type not in _SYSTEMS:
        path = item.traits.one("syft:location:0:path")
    return {"path": path.lstrip("/"), "layer": item.traits.one("aquasecurity:trivy:LayerDigest")}
