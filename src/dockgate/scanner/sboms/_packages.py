"""Make packages from the items of an SBOM document."""

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace

from dockgate.scanner.model import Distribution, Package, Unread
from dockgate.scanner.osrelease import find_os_id
from dockgate.scanner.ports import Ecosystem
from dockgate.scanner.sboms._contents import Item
from dockgate.scanner.sboms.purls import parse_purl
from dockgate.shared.errors import DockgateError
from dockgate.shared.purl import MAINTAINER, Purl, is_of_type

_SYSTEMS = ("deb", "apk", "rpm")
_REQUIRED_FIELDS = ("ecosystem", "source_name", "source_version", "path")
_OPTIONAL_FIELDS = tuple(field.name for field in fields(Package) if field.default is None)


class Packages:
    """A builder of packages with the ecosystem of their purl type."""

    def __init__(self, ecosystems: Sequence[Ecosystem], distribution: Distribution | None) -> None:
        self._kinds = {purl_type: ecosystem for ecosystem in ecosystems for purl_type in ecosystem.purl_types}
        self._distribution = distribution

    def build_package(self, item: Item) -> Package | Unread:
        if not item.purl:
            return item.as_unread("it has no package URL")
        required_fields = {name: item.properties.get_first(f"dockgate:{name}") for name in _REQUIRED_FIELDS}
        if required_fields["source_name"]:
            optional_fields = {name: item.properties.get_first(f"dockgate:{name}") or None for name in _OPTIONAL_FIELDS}
            package = Package(name=item.name, version=item.version, purl=item.purl, **required_fields)
            return replace(package, **optional_fields)  # type: ignore[arg-type]
        try:
            purl = parse_purl(item.purl)
        except ValueError:
            return item.as_unread(f"{item.purl} is not a package URL")
        kind = self._kinds.get(purl.type)
        if kind is None:
            return item.as_unread(f"nothing is known of packages of the type {purl.type}")
        if not purl.version and not item.version:
            return item.as_unread("it has no version")
        try:
            package = kind.build_from_purl(_normalize(purl, item), self._distribution)
        except DockgateError as error:
            return item.as_unread(str(error))
        return replace(package, **_read_path_and_layer(purl, item))  # type: ignore[arg-type]


def find_distribution(items: Iterable[Item]) -> Distribution | None:
    """Return the distribution that the first distribution package names (`distro=debian-13`)."""
    for item in items:
        if item.purl is not None and is_of_type(item.purl, *_SYSTEMS):
            try:
                distro = parse_purl(item.purl).qualifiers.get("distro", "")
            except ValueError:
                continue
            name, dash, version = distro.partition(" (")[0].rpartition("-")
            if dash and name:
                return Distribution(find_os_id(name), version)
    return None


def _normalize(purl: Purl, item: Item) -> Purl:
    """Normalise a package URL to the form that Syft writes.

    Trivy puts a Debian version's epoch and the source package elsewhere, and has names of its own for some
    distributions. Both write Alpine's R as the specification has it, in lower case.
    """
    qualifiers = dict(purl.qualifiers)
    version = purl.version or item.version
    if purl.type == "deb" and (epoch := qualifiers.pop("epoch", "")) and ":" not in version:
        version = f"{epoch}:{version}"
    name, dash, release = qualifiers.get("distro", "").rpartition("-")
    if dash:
        qualifiers["distro"] = f"{find_os_id(name)}-{release}"
    if item.source and purl.type in _SYSTEMS:
        source, source_version = item.source
        if purl.type == "rpm":
            upstream = f"{source}-{(source_version or '').rpartition(':')[2]}.src.rpm"
        else:
            upstream = f"{source}@{source_version}" if source_version else source
        qualifiers.setdefault("upstream", upstream)
    if item.maker and purl.type in _SYSTEMS:
        qualifiers.setdefault("vendor" if purl.type == "rpm" else MAINTAINER, item.maker)
    name = item.name if purl.type == "apk" and item.name.lower() == purl.name else purl.name
    return purl._replace(name=name, version=version, qualifiers=qualifiers)


def _read_path_and_layer(purl: Purl, item: Item) -> dict[str, str | None]:
    """The path and layer of the file that names the package; of distributions', Syft's location is another."""
    path = item.properties.get_first("aquasecurity:trivy:FilePath")
    if not path and purl.type not in _SYSTEMS:
        path = item.properties.get_first("syft:location:0:path")
    return {"path": path.lstrip("/"), "layer": item.properties.get_first("aquasecurity:trivy:LayerDigest") or None}
