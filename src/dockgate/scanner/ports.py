"""The interfaces of images and ecosystems.

The contract suites in `tests/contracts` test each implementation.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, Protocol

from dockgate.scanner.model import Distribution, LayerBuildInfo, Package

if TYPE_CHECKING:  # a scan has to start at once, and has no use for them
    from dockgate.shared.purl import Purl

# --- reading images ----------------------------------------------------------------------------------------------

Kind = Literal["file", "directory", "symlink", "hardlink", "whiteout", "opaque", "other"]


@dataclass(slots=True)
class Entry:
    """One entry of a layer.

    `path` is relative, normalised ("etc/os-release"; no leading "./" or "/", no ".."). The `path` of a whiteout is the
    path that it removes; that of an opaque entry is the folder whose lower content it hides (the root's path is empty).
    `target` is the text of a symlink or the normalised path of a hardlink, None for others (`link_target`). `head` has
    the first 64 bytes of a file, or all of a shorter one. `open` returns the content, seekable, at position 0; call it
    before the next entry. A folder has `open` only if it could not be listed; it raises UnreadableError.
    """

    path: str
    kind: Kind
    size: int = 0
    mode: int = 0
    target: str | None = None
    head: bytes = b""
    open: Callable[[], BinaryIO] | None = None

    @property
    def link_target(self) -> str:
        """The target of a symlink or hardlink. Raises ValueError for an entry of another kind."""
        if self.target is None:
            raise ValueError(f"the {self.kind} {self.path!r} has no target")
        return self.target


class Layer(Protocol):
    """One layer. `digest` is of the blob as stored (compressed), None for a folder, which is no blob."""

    digest: str | None
    # From the manifest, None if it has none.
    media_type: str | None
    # The compression of the blob: "gzip", "zstd" or "none"; None until its first bytes were read.
    compression: str | None
    # The digest of the uncompressed content ("sha256:…"), None until it was computed.
    content_digest: str | None

    def read_entries(self, *, should_hash: bool = False) -> Iterator[Entry]:
        """Yield every entry, in order. Each call reads the blob again. Memory does not grow with the layer.

        `should_hash`: `content_digest` is set at the end.

        Verifies the digest while reading: raises ImageError at the end if the blob does not match, is truncated or is
        not a tar file (the caller then drops all facts of this layer), UnavailableError if the transport fails.
        """
        ...

    def hash_content(self) -> str | None:
        """Read the blob only for the digest of its uncompressed content, None for what is not a blob.

        Raises the same as `read_entries`.
        """
        ...


class ImageMetadata(NamedTuple):
    """The origin of an image according to its manifest and config.

    `Inventory` has these fields, too, before `layers`.
    """

    base_layers: int = 0
    base: str | None = None
    created: str | None = None
    user: str | None = None
    layers: tuple[LayerBuildInfo, ...] = ()


class Image(Protocol):
    """One platform's image."""

    # "linux/amd64", "linux/arm64/v8", from the config.
    platform: str
    # Digests of the uncompressed layers as the config says, base first; None for a folder, which has no config.
    diff_ids: Sequence[str] | None
    metadata: ImageMetadata

    @property
    def digest(self) -> str | None:
        """The digest of the manifest, None for a folder, which has none."""
        ...

    @property
    def layers(self) -> Sequence[Layer]:
        """The layers, base first."""
        ...


class OpenedImages(NamedTuple):
    """Opened images. `digest` is of the manifest or index, None for a folder.

    `images` are those of the requested platforms.

    Layers can be read until `close`, also in several threads. If `is_local` (on this machine), also in forked
    processes.
    """

    digest: str | None
    images: Sequence[Image]
    close: Callable[[], None]
    is_local: bool = True

    def __enter__(self) -> "OpenedImages":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ImageOpener(Protocol):
    """A function that opens the images that a reference names."""

    def __call__(
        self,
        reference: str,
        platforms: Sequence[str] | None = None,
        *,
        ca_bundle: Path | None = None,
        is_insecure: bool = False,
    ) -> OpenedImages:
        """Open the images: see `images.open_images`, which has the forms of references and what is raised."""
        ...


class Triggers(NamedTuple):
    """Cheap tests for files that an ecosystem may want; one match is enough.

    `names` are last parts of paths ("METADATA"), `suffixes` what the last part has from its last dot on, in lower case
    (".jar", which also matches ".JAR"), `prefixes` beginnings of paths, `parts` texts anywhere in them,
    `magics` first four bytes of content.
    """

    names: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    magics: tuple[bytes, ...] = ()


class Ecosystem(Protocol):
    """A package kind: one module in `ecosystems/` with one object named `ECOSYSTEM`."""

    # "dpkg", "python", "npm".
    name: str
    # Increment it when the same bytes give another result: layers are then read again.
    version: int
    # OSV's names of the ecosystems whose versions `make_version_key` orders, without release: ("Debian", "Ubuntu")
    osv_names: tuple[str, ...]
    # Whether an advisory may omit the epoch of a version (rpm), and then means the installed one.
    can_omit_epoch: bool
    # Whether an advisory's "2.10.0" includes "2.10.0+cu126" (PEP 440, local version labels)
    can_omit_local_label: bool
    # The package URL types that `build_from_purl` understands: ("deb",)
    purl_types: tuple[str, ...]
    # os-release IDs whose package database this is; () for languages.
    distributions: tuple[str, ...]
    # The paths one of which must exist on those distributions ("var/lib/dpkg/status", "var/lib/dpkg/status.d/")
    database_paths: tuple[str, ...]
    # `should_read` is called only for files that match one of these.
    triggers: Triggers

    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Return whether `read` is to see this file.

        Called for very many files of every layer: string tests only, no pattern. Links and folders are asked about too,
        with `head` empty: a yes means that evidence may be hidden there.
        """
        ...

    def read(self, path: str, file: BinaryIO) -> "Extract":
        """Read the packages of a file. Raises UnreadableError with the reason; any other exception is a bug."""
        ...

    def assign_distribution(self, package: Package, distribution: Distribution) -> Package:
        """Return the package with `ecosystem` and `purl` completed by the distribution.

        Languages return it unchanged.
        """
        ...

    def build_from_purl(self, purl: "Purl", distribution: Distribution | None) -> Package:
        """The package that a package URL of one of `purl_types` names, with an empty `path`.

        `distribution` is that of the document from which the purl comes; the purl's own `distro` takes precedence.
        Raises UsageError for a purl without what the ecosystem needs, such as a version.
        """
        ...

    def build_upgrade_commands(self, upgrades: "Sequence[PackageUpgrade]") -> tuple[str, ...]:
        """The commands that a build of the image runs to have these packages at these versions or later.

        One line of shell each, as few as possible; a line that begins with "#" says what no command can do. Names,
        versions and paths may come from a hostile image: they are quoted, and illegal ones are left out and counted.
        """
        ...

    def make_version_key(self, version: str) -> Any:
        """Return something whose `<` and `==` are the version's order (bytes where possible).

        Raises UncomparableError.
        """
        ...


class PackageUpgrade(NamedTuple):
    """An installed package, and the version of its source that it is to have, or a later one."""

    package: Package
    version: str


class Extract(NamedTuple):
    """The content of one file: its packages, and the paths that each package owns.

    `owns` maps a package's owner name to normalised paths (a trailing "/" means all below). For distributions the
    owner name is the installed name (and ":arch" if the file says so); for languages the purl. `removed_names`
    are in the database as removed (dpkg's "deinstall ok config-files"): their left-over files are not tampering.

    `unread_parts` are parts of the file that could not be read: (path inside the file, reason).
    `is_self_contained`: the packages are inside this file (a jar, a binary), so no other file can contradict it.
    `is_lockfile`: the file says what should be installed, and counts only if nothing is installed from it. Together
    with `is_self_contained`: an archive of packages; each counts unless it is installed in that version.
    `is_linked_only`: it counts only if a symbolic link that the ecosystem wants leads to the file's folder.
    `release`: the value for `Distribution.repository`.
    `is_third_party`: the listed files show that the distribution did not build the package.
    """

    packages: tuple[Package, ...] = ()
    owns: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    removed_names: tuple[str, ...] = ()
    unread_parts: tuple[tuple[str, str], ...] = ()
    is_self_contained: bool = False
    is_lockfile: bool = False
    is_linked_only: bool = False
    release: str | None = None
    is_third_party: bool = False
