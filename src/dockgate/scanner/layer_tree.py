"""Collect the paths of one layer, and refuse contradictions between them.

Storage drivers agree on a layer only if its entries can be applied in any order: overlayfs merges the folders of a
layer with those below, others remove and write in place. They disagree on a path that is written and removed in one
layer, or is first a file and then a folder. No builder writes such a layer.
"""

from bisect import bisect_left

from dockgate.scanner.ports import Entry
from dockgate.shared.errors import ImageError

# Symbolic links in one layer; the fullest images in use have some ten thousand.
LINKS_LIMIT = 500_000
# Characters; no system makes a link with a longer target (symlink(2)).
PATH_LIMIT = 4096
# Bytes of memory for folders without an entry of their own. Those above one file can take a thousand times as much as
# its path. Where a builder writes no folders, a layer has some ten thousand of 60 characters.
IMPLIED_LIMIT = 64 * 2**20
_FOLDER_COST = 64  # bytes of memory that a folder takes besides its path


class LayerTree:
    """The paths of one layer: `files` and `folders`, with and without own entries.

    `files` are everything except folders. Entries are added in the order of the layer. `implied_folders` are folders
    that had no entry before their content, `symlinks` the targets as written, `devices` everything else.
    """

    def __init__(self) -> None:
        self.files: list[str] = []
        self.folders: set[str] = {""}
        self.implied_folders: set[str] = set()
        self.symlinks: dict[str, str] = {}
        self.devices: set[str] = set()
        self.whiteouts: list[str] = []
        self.opaques: list[str] = []
        self._hardlinks: set[str] = set()
        self._regular_paths: set[str] = set()
        self._regular_count = 0
        self._memory_used = 0

    def add_implied_folder(self, folder: str) -> None:
        """Add a folder that is not in `folders`, and the folders above it.

        Raises ImageError above IMPLIED_LIMIT.
        """
        while folder not in self.folders:
            self._spend(folder)
            self.folders.add(folder)
            self.implied_folders.add(folder)
            folder = folder.rpartition("/")[0]

    def add_opaque(self, folder: str) -> None:
        """Add an opaque folder: it hides what lower layers have in it."""
        self.opaques.append(folder)
        self.add_implied_folder(folder)

    def add_symlink(self, path: str, target: str) -> None:
        """Add a symbolic link. Raises ImageError above LINKS_LIMIT."""
        if len(self.symlinks) >= LINKS_LIMIT:
            raise ImageError(f"it contains more than {LINKS_LIMIT} symbolic links")
        self.symlinks[path] = target

    def resolve_hard_link(self, entry: Entry) -> Entry | None:
        """Return the entry that a hard link creates: a hard link to a file, a symbolic link, or a device.

        None if its target is not an earlier entry of the layer. Call it before the path is added to `files`.
        """
        self._hardlinks.add(entry.path)
        if entry.target in self.symlinks:
            return Entry(entry.path, "symlink", mode=entry.mode, target=self.symlinks[entry.target])
        if entry.target in self.devices:
            return Entry(entry.path, "other", mode=entry.mode)
        self._regular_paths.update(self.files[self._regular_count :])
        self._regular_count = len(self.files)
        return entry if entry.target in self._regular_paths else None

    def check(self) -> None:
        """Raise ImageError for a contradiction. Call it after the last entry."""
        files = set(self.files)
        if len(files) != len(self.files):
            self._check_repeated()
        for path in files & self.folders:
            raise ImageError(f"{path} is a folder and something else in the same layer")
        checked_paths: set[str] = set()
        for path in self.whiteouts:
            if path in files or path in self.folders:
                raise ImageError(f"{path} is removed and written in the same layer")
            folder = path.rpartition("/")[0]
            while folder not in self.folders and folder not in checked_paths:
                if folder in files:
                    raise ImageError(f"{path} is removed below {folder}, which is not a folder in the same layer")
                self._spend(folder)
                checked_paths.add(folder)
                folder = folder.rpartition("/")[0]
        implied_folders = sorted(self.implied_folders) if self.opaques else []
        for path in self.opaques:
            start_index = bisect_left(implied_folders, f"{path}/")
            if implied_folders[start_index : start_index + 1] and implied_folders[start_index].startswith(f"{path}/"):
                raise ImageError(
                    f"{path} is marked as opaque, and {implied_folders[start_index]} below it has no entry"
                )

    def _spend(self, folder: str) -> None:
        self._memory_used += len(folder) + _FOLDER_COST
        if self._memory_used > IMPLIED_LIMIT:
            raise ImageError("it has too many folders without an entry, or in too long paths")

    def _check_repeated(self) -> None:
        """Accept regular files that are written twice, as by `tar -r`: every runtime uses the later one."""
        seen_paths: set[str] = set()
        for path in self.files:
            if path in seen_paths and (path in self.symlinks or path in self.devices or path in self._hardlinks):
                raise ImageError(f"{path} is written twice in the same layer, and not both times as a file")
            seen_paths.add(path)


def resolve_link(path: str, target: str) -> str:
    """Return the target of a symbolic link at `path` from the root. Links in the target are not resolved."""
    parts = [] if target.startswith("/") else path.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
