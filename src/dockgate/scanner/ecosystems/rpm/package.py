"""Build rpm packages, with the source packages that advisories name."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dockgate.scanner.model import ANY_MODULE, Package
from dockgate.shared.purl import write_purl

_MODULAR = ".module"  # in the release of a package that was built in a module ("1.module_el8.3.0+2005+45d748af")


class RpmPackage(NamedTuple):
    """A package as rpm describes it.

    `evr` is "EPOCH:VERSION-RELEASE", without an epoch "VERSION-RELEASE". `source_rpm` is SOURCERPM, such as
    "bash-5.1.8-9.el9.src.rpm", or a purl's upstream ("bash@5.1.8-9.el9"); `module` is "nodejs:18". What is unknown is
    None.
    """

    name: str
    evr: str
    arch: str | None
    source_rpm: str | None
    module: str | None
    vendor: str | None


def build_packages(rows: Sequence[RpmPackage], path: str) -> tuple[Package, ...]:
    """Build the packages, with the epochs of their sources.

    SOURCERPM has no epoch, and a package may have another version than its source (perl-Errno-1.30 of perl-5.32.1,
    whose epoch is 4). The source's epoch is that of another package with the source's version.
    """
    epochs: dict[str, str] = {}
    for row in rows:
        epoch, _, version_release = row.evr.rpartition(":")
        if row.source_rpm and "-" in version_release and row.source_rpm.endswith(f"-{version_release}.src.rpm"):
            epochs[row.source_rpm] = epoch
    return tuple(build_package(_add_epoch(row, epochs), path) for row in rows)


def _add_epoch(row: RpmPackage, epochs: Mapping[str, str]) -> RpmPackage:
    """Add the source's epoch to SOURCERPM ("perl-4:5.32.1-481.el9.src.rpm") if the package's differs."""
    epoch = epochs.get(row.source_rpm) if row.source_rpm else None
    if not row.source_rpm or epoch is None or epoch == row.evr.rpartition(":")[0]:
        return row
    name, upstream, release = row.source_rpm.rsplit("-", 2)
    return row._replace(source_rpm=f"{name}-{epoch or 0}:{upstream}-{release}")


def build_package(row: RpmPackage, path: str) -> Package:
    """Build a package that is not yet assigned to a distribution."""
    epoch, colon, version_release = row.evr.rpartition(":")
    source_name, source_version = _find_source(row, epoch + colon)
    qualifiers = {"arch": row.arch, "epoch": epoch, "rpmmod": row.module, "upstream": row.source_rpm}
    return Package(
        name=row.name,
        version=row.evr,
        purl=write_purl("rpm", "", row.name, version_release, qualifiers),
        ecosystem="",
        source_name=source_name or row.name,
        source_version=source_version or row.evr,
        path=path,
        arch=row.arch,
        module=row.module or (ANY_MODULE if _MODULAR in version_release else None),
        vendor=row.vendor,
    )


def _find_source(row: RpmPackage, epoch: str) -> tuple[str | None, str | None]:
    """Return name and version of the source, None if unknown, from SOURCERPM or a purl's "NAME[@VERSION]"."""
    if not row.source_rpm:
        return None, None
    stem = row.source_rpm.removesuffix(".rpm")
    if stem == row.source_rpm:
        name, _, version = stem.partition("@")
    else:
        parts = stem.removesuffix(".src").removesuffix(".nosrc").rsplit("-", 2)
        if len(parts) < 3 or not parts[0]:
            return None, None
        name, version = parts[0], "-".join(parts[1:])
    if version and ":" not in version:
        version = epoch + version
    return name or None, version or None


def parse_module_stream(label: str) -> str:
    """Return "nodejs:18" of MODULARITYLABEL, "nodejs:18:9030020240301:rhel9"."""
    return ":".join(label.split(":")[:2])
