"""The content of an image: packages, their distribution, and what could not be read."""

from dataclasses import dataclass, field

from dockgate.shared.canonical import STORED_AS_EMPTY


@dataclass(frozen=True, slots=True)
class Distribution:
    """The operating system, from os-release(5).

    The fields are `ID`, `VERSION_ID` (a rolling release has an empty one), `PRETTY_NAME`, `ID_LIKE` and `SUPPORT_END`
    (YYYY-MM-DD). `repository` is the release of its package repositories ("v3.19", "edge"). Name, end of support and
    repository are None if unknown.
    """

    id: str
    version: str
    name: str | None = field(default=None, metadata=STORED_AS_EMPTY)
    like: tuple[str, ...] = ()
    support_end: str | None = None
    repository: str | None = None


# See `Package.vendor`.
THIRD_PARTY = "?"


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package.

    - `name` and `version` are as installed; `source_name` and `source_version` are those in advisories (a dpkg source
      package, a PEP 503 name).
    - `ecosystem` is OSV's with its release ("Debian:13", "PyPI"). That of a distribution's package is an empty text
      until `Ecosystem.assign_distribution`: no reader returns one.
    - `path` is the file that names it; "!/" separates paths inside archives ("app.war!/WEB-INF/lib/a.jar").
    - `layer` is the digest of the layer with that file; for package databases, the first layer with this version.
    - `owner` is the distribution package that owns the file, or None. Then only the distribution's advisories count.
    - `module` is an rpm's module and stream ("nodejs:18"), None without one, `ANY_MODULE` for an unknown one.
    - `vendor` is who built a package in a distribution's format if it was not the distribution ("docker.com"), or None.
      Until `assign_distribution` it is the vendor in the database, after `THIRD_PARTY` if the package's files show that
      the distribution did not build it. The ecosystem is then "vendor:VENDOR", unless the vendor publishes advisories
      (Docker for its hardened images).
    - `imports` are the import paths of the packages of a Go module in the program, separated by blanks, or None.
    """

    name: str
    version: str
    purl: str
    ecosystem: str
    source_name: str
    source_version: str
    path: str
    layer: str | None = field(default=None, metadata=STORED_AS_EMPTY)
    arch: str | None = field(default=None, metadata=STORED_AS_EMPTY)
    owner: str | None = field(default=None, metadata=STORED_AS_EMPTY)
    module: str | None = field(default=None, metadata=STORED_AS_EMPTY)
    vendor: str | None = field(default=None, metadata=STORED_AS_EMPTY)
    imports: str | None = field(default=None, metadata=STORED_AS_EMPTY)


# The module of a package whose version shows that it has one, and which does not name it.
ANY_MODULE = "*"


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that could not be read or trusted. `path` is inside the image, "/" for all of it."""

    path: str
    reason: str
    layer: str | None = field(default=None, metadata=STORED_AS_EMPTY)


@dataclass(frozen=True, slots=True)
class Inventory:
    """The content of the image of one platform.

    `image` is the digest of the manifest, None for packages that are of no image (`image_digest`). `platform` is
    "os/arch" or "os/arch/variant", None if unknown. `layers` are the digests of the blobs, base first. Packages and
    unread entries are sorted, so that equal content has equal bytes.

    The first `base_layers` layers are those of the base image named `base`; 0 and None if unknown. `created` (RFC 3339,
    None if missing) and `user` (None for the runtime's default) are from the image config. `diff_ids` are the computed
    digests of the uncompressed layers, never copied from the config. A layer that was not hashed has an empty text
    there: stored inventories have it so.
    """

    image: str | None = field(metadata=STORED_AS_EMPTY)
    platform: str | None = field(metadata=STORED_AS_EMPTY)
    distribution: Distribution | None
    layers: tuple[str, ...]
    packages: tuple[Package, ...]
    unread: tuple[Unread, ...]
    base_layers: int = 0
    base: str | None = None
    created: str | None = None
    user: str | None = field(default=None, metadata=STORED_AS_EMPTY)
    diff_ids: tuple[str, ...] = ()

    @property
    def image_digest(self) -> str:
        """The digest of the image. Raises ValueError for packages that are of no image."""
        if self.image is None:
            raise ValueError("the inventory is of no image")
        return self.image

    def is_in_base(self, package: Package) -> bool:
        """Return whether the package is in a layer of the base image."""
        return package.layer in self.layers[: self.base_layers]


@dataclass(frozen=True, slots=True)
class LayerBuildInfo:
    """A layer's size as a blob in bytes, and the command that made it (None if unknown).

    They are in the image's manifest and config. A command may contain a secret, so it is not part of an inventory,
    which people publish and attach to builds.
    """

    size: int
    command: str | None = field(metadata=STORED_AS_EMPTY)


@dataclass(frozen=True, slots=True)
class ScannedPlatform:
    """The content of one platform: its inventory, and the origins of its layers, base first."""

    inventory: Inventory
    origins: tuple[LayerBuildInfo, ...] = ()
