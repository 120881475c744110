"""Find metadata folders of Python packages without a name or without a list of files.

Other files in the folder show that a package is installed. Without METADATA or PKG-INFO its name is unknown. Without
RECORD its files are unknown, and an edit of the metadata could not be detected. Every installer writes RECORD (pip, uv,
Poetry, PDM, conda); distributions remove it and list the files themselves.
"""

from collections.abc import Iterator
from functools import cached_property

from dockgate.scanner.layer_index import LayerStack, PackageFile, unpack_paths
from dockgate.scanner.model import Unread

# In lower case: importlib.metadata and pip ignore the case.
FOLDERS = (".dist-info", ".egg-info", ".egg/egg-info")
_NAMES = ("METADATA", "PKG-INFO")
_RECORD = "RECORD"


class PackageFolders:
    """The metadata folders of Python packages in an image."""

    def __init__(self, stack: LayerStack) -> None:
        self._view = stack

    def find_nameless(self) -> Iterator[tuple[int, str, Unread]]:
        """Yield folders without the file that names the package.

        Each is yielded with the layer and path of one of its files. `language_packages` checks folders with a list of
        files. Raises UnreadableError if there are too many files.
        """
        named_paths = {path for path in self._present_paths if path.endswith(_NAMES)}
        for folder in self._folders:
            if any(f"{folder}/{name}" in named_paths for name in _NAMES) or folder in self._listing_folders:
                continue
            for path in self._view.list_paths_below(f"{folder}/"):
                at = next(iter(self._view.find_source_layers(path)), None)
                if at is not None:
                    name = "METADATA" if folder.lower().endswith(".dist-info") else "PKG-INFO"
                    reason = f"{folder} contains no {name}, so nothing names the package that it is of."
                    yield at, path, Unread(folder, reason, self._view.facts[at].layer)
                    break

    def has_no_list(self, file: PackageFile) -> bool:
        """Return whether `file` names a package without any list of files.

        Such a list is its RECORD, or another package's list that contains its metadata.
        """
        folder, _, name = file.path.rpartition("/")
        if name != "METADATA" or not folder.lower().endswith(".dist-info") or not file.packages:
            return False
        return f"{folder}/{_RECORD}" not in self._present_paths and file.path not in self._listed_metadata

    @cached_property
    def _folders(self) -> dict[str, None]:
        """The metadata folders of all layers, with and without own entries."""
        return {
            folder: None
            for facts in self._view.facts
            for folder in (*facts.folders, *facts.implied_folders)
            if folder.lower().endswith(FOLDERS)
        }

    @cached_property
    def _present_paths(self) -> frozenset[str]:
        """The paths of present files that were read, and of links, which `checks` examines."""
        links = (
            path for at, facts in enumerate(self._view.facts) for path in facts.links if self._view.is_present(path, at)
        )
        return frozenset((*(file.path for _, file in self._view.present_files), *links))

    @cached_property
    def _listing_folders(self) -> frozenset[str]:
        """Folders with a list that names files, or cannot be read, which another check reports."""
        return frozenset(
            file.path.rpartition("/")[0]
            for _, file in self._view.present_files
            if file.path.endswith((f"/{_RECORD}", "/installed-files.txt"))
            and (any(file.owns.values()) or file.unread_reason)
        )

    @cached_property
    def _listed_metadata(self) -> frozenset[str]:
        """The metadata files in the list of any package (conda's, or a virtual environment inside another)."""
        return frozenset(
            path
            for _, file in self._view.present_files
            for packed_paths in file.owns.values()
            if "/METADATA" in packed_paths
            for path in unpack_paths(packed_paths)
            if path.endswith("/METADATA")
        )
