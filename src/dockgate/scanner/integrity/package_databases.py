"""The package databases of a distribution in all layers: packages, their history, their files.

A package has a *history*: its entries in the databases of all layers, base first. *Lists*, in the database or beside
it, say which files a package owns. They name it by an *owner name*: its name, with or without the architecture.
`database_checks.py` compares what is here with the files of the layers.
"""

from functools import cached_property

from dockgate.scanner.integrity.package_history import FileList, HistoryEntry, Identity, LayerIndex, Owner, get_identity
from dockgate.scanner.layer_index import LayerStack, PackageFile
from dockgate.scanner.model import Package
from dockgate.scanner.ports import Ecosystem

# Name and architecture of a package. In some databases it has several versions at once, such as kernels in rpm, which
# are installed and removed independently.
PackageKey = tuple[str, str | None]


class Database:
    """The packages of a distribution in all layers."""

    def __init__(self, stack: LayerStack, kind: Ecosystem) -> None:
        self.stack = stack
        self.kind = kind
        # The database files of every layer, base first.
        self.files: list[tuple[LayerIndex, PackageFile]] = [
            (layer, file)
            for layer, file in stack.list_files(kind.name)
            if (file.packages or not file.owns) and self._is_database(file.path)
        ]
        self.present_files = [(layer, file) for layer, file in self.files if stack.is_present(file.path, layer)]
        # The installed packages: those of the present files.
        self.packages: dict[PackageKey, list[Package]] = {}
        for _, file in self.present_files:
            for package in file.packages:
                self.packages.setdefault((package.name, package.arch), []).append(package)

    def is_rewritten_since(self, since: LayerIndex) -> bool:
        """Return whether the layer `since`, or one above it, wrote a file of the database."""
        return any(layer >= since for layer, _ in self.files)

    def is_complete_list(self, path: str) -> bool:
        """Return whether a database file lists all packages: others list one each, or those of one part."""
        return path in self.kind.database_paths

    # --- the history of packages --------------------------------------------------------------------------------------

    @cached_property
    def history(self) -> dict[PackageKey, list[HistoryEntry]]:
        """The entries of each package, base first."""
        history: dict[PackageKey, list[HistoryEntry]] = {}
        for layer, file in self.files:
            for package in file.packages:
                history.setdefault((package.name, package.arch), []).append(HistoryEntry(layer, package))
        return history

    @cached_property
    def version_layers(self) -> dict[str, LayerIndex]:
        """Owner name of an installed package -> the layer that introduced its present version."""
        version_layers: dict[str, LayerIndex] = {}
        for key, packages in self.packages.items():
            present_versions = {get_identity(package) for package in packages}
            versions_by_layer: dict[LayerIndex, set[Identity]] = {}
            for layer, package in self.history[key]:
                versions_by_layer.setdefault(layer, set()).add(get_identity(package))
            first = max(versions_by_layer)
            for layer in sorted(versions_by_layer, reverse=True):
                if not present_versions <= versions_by_layer[layer]:
                    break
                first = layer
            for name in list_owner_names(*key):
                version_layers[name] = max(first, version_layers.get(name, first))
        return version_layers

    # --- the files of packages ----------------------------------------------------------------------------------------

    @cached_property
    def lists(self) -> dict[str, list[FileList]]:
        """Owner name -> its lists, base first.

        If the database contains the lists, each layer with it repeats all of them: equal lists of unchanged packages
        are left out.
        """
        lists: dict[str, list[FileList]] = {}
        for layer, file in self.stack.list_files(self.kind.name):
            for name, packed_paths in file.owns.items():
                earlier_lists = lists.setdefault(name, [])
                if (
                    not earlier_lists
                    or earlier_lists[-1].packed_paths != packed_paths
                    or self._is_introduced(name, layer)
                ):
                    earlier_lists.append(FileList(layer, file.path, packed_paths))
        return lists

    def has_list(self, package: Package) -> bool:
        """Return whether any list says which files the package owns."""
        return any(name in self.lists for name in list_owner_names(package.name, package.arch))

    def list_paths(self, package: Package) -> list[str]:
        """Return the paths in all lists of a package, of all layers. Some are repeated."""
        return [
            path
            for name in list_owner_names(package.name, package.arch)
            for file_list in self.lists.get(name, ())
            for path in self.stack.unpack_paths(file_list.packed_paths)
        ]

    def list_newest_paths(self, package: Package, last_layer: LayerIndex) -> set[str]:
        """Return the paths in the newest lists of a package up to layer `last_layer`."""
        newest_lists = {
            name: file_list
            for name in list_owner_names(package.name, package.arch)
            for file_list in self.lists.get(name, ())
            if file_list.layer <= last_layer
        }
        return {path for file_list in newest_lists.values() for path in self.stack.unpack_paths(file_list.packed_paths)}

    def find_owners(self, path: str) -> tuple[Owner, ...]:
        """Return the packages whose lists name the path."""
        owners = self._owners.get(path, ())
        self.stack.spend(len(owners))
        return owners

    def is_brought_by(self, path: str, layer: LayerIndex) -> bool:
        """Return whether a package that `layer` introduced owns the path."""
        return any(owner.layer == layer and self._is_introduced(owner.name, layer) for owner in self.find_owners(path))

    def is_owned_by_another(self, path: str, last_layer: LayerIndex, names: set[str]) -> bool:
        """Return whether an installed package without one of these owner names owned the path by `last_layer`."""
        return any(
            layer <= last_layer and name not in names and name in self._installed_names
            for layer, name in self.find_owners(path)
        )

    def is_reclaimed(self, path: str, last_layer: LayerIndex) -> bool:
        """Return whether an installed package owned the path by `last_layer`, or owns it since later.

        A list that was written later for an unchanged package is not evidence.
        """
        return any(
            name in self._installed_names and (layer <= last_layer or self.version_layers[name] > last_layer)
            for layer, name in self.find_owners(path)
        )

    @cached_property
    def _owners(self) -> dict[str, tuple[Owner, ...]]:
        """Path -> packages whose lists name it.

        Whole lists are merged, because most paths occur once.
        """
        owners: dict[str, tuple[Owner, ...]] = {}
        shared_owners: dict[str, list[Owner]] = {}
        for name, lists in self.lists.items():
            for file_list in lists:
                owner = Owner(file_list.layer, name)
                listed_owners = dict.fromkeys(self.stack.unpack_paths(file_list.packed_paths), (owner,))
                for path in owners.keys() & listed_owners.keys():
                    shared_owners.setdefault(path, [*owners[path]]).append(owner)
                owners.update(listed_owners)
        owners.update((path, tuple(several)) for path, several in shared_owners.items())
        return owners

    @cached_property
    def _installed_names(self) -> set[str]:
        return {name for key in self.packages for name in list_owner_names(*key)}

    def _is_introduced(self, name: str, layer: LayerIndex) -> bool:
        return self.stack.is_introduced(name.partition(":")[0], layer, (self.kind.name,))

    def _is_database(self, path: str) -> bool:
        return any(
            path == database_path or (database_path.endswith("/") and path.startswith(database_path))
            for database_path in self.kind.database_paths
        )


def list_owner_names(name: str, arch: str | None) -> set[str]:
    """Return the names that lists of files use for a package."""
    return {name, f"{name}:{arch or ''}"}
