"""Find packages that are named again by one of their own files."""

from collections.abc import Sequence

from dockgate.scanner.layer_index import LayerStack, PackageFile
from dockgate.scanner.model import Package
from dockgate.scanner.ports import Ecosystem


class Duplicates:
    """The packages that are named again by one of their own files.

    A program's version is in its executable, and also in a file that its vendor adds: the `release` file of a Java
    runtime, the SBOM of a Bitnami component. Both match the same advisories, so only one counts. A package is
    a duplicate if another one of the same ecosystem, source name and version owns the file that names it.
    """

    def __init__(self, stack: LayerStack, kinds: Sequence[Ecosystem]) -> None:
        self._stack = stack
        self._orders = {name: kind.name for kind in kinds for name in kind.osv_names}
        self._owners: dict[tuple[str, str], list[tuple[str, PackageFile]]] = {}
        shared_files = {
            name
            for _, file in stack.present_files
            for package in file.packages
            if self._is_shared(name := package.ecosystem, file)
        }
        for _, file in stack.present_files if shared_files else ():
            if file.owns and not file.is_lockfile:
                for package in file.packages:
                    if package.ecosystem in shared_files and package.purl in file.owns:
                        self._owners.setdefault((package.ecosystem, package.source_name), []).append(
                            (package.source_version, file)
                        )

    def is_duplicate(self, package: Package, file: PackageFile) -> bool:
        """Return whether another file, which owns this file, already names the package."""
        if not self._owners or not self._is_shared(package.ecosystem, file):
            return False
        return any(
            owner is not file and _is_same(version, package.source_version) and _is_owner(self._stack, owner, file.path)
            for version, owner in self._owners.get((package.ecosystem, package.source_name), ())
        )

    def _is_shared(self, ecosystem: str, file: PackageFile) -> bool:
        """Return whether versions of the ecosystem are ordered by a plugin that did not read the file."""
        return self._orders.get(ecosystem, file.ecosystem) != file.ecosystem


def _is_same(version: str, rebuilt_from: str) -> bool:
    """Return whether versions are equal, or one is a rebuild of the other.

    Bitnami's 3.12.3-4 is a rebuild of upstream's 3.12.3.
    """
    return version == rebuilt_from or version.startswith(f"{rebuilt_from}-")


def _is_owner(stack: LayerStack, owner: PackageFile, path: str) -> bool:
    return any(
        path.startswith(owned_path) if owned_path.endswith("/") else path == owned_path
        for packed_paths in owner.owns.values()
        for owned_path in stack.unpack_paths(packed_paths)
    )
