"""What an image holds, as frozen values: packages, their distribution, and what could not be read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Distribution:
    """The operating system, from os-release(5).

    The fields are `ID`, `VERSION_ID` ("" for a rolling release), `PRETTY_NAME`, `ID_LIKE` and `SUPPORT_END`
    (YYYY-MM-DD, "" if missing). `repository` is the release of its package repositories ("v3.19", "edge"), "" if
    unknown.
    """

    id: str
    version: str
    name: str = ""
    like: tuple[str, ...] = ()
    support_end: str = ""
    repository: str = ""


# See `Package.vendor`.
THIRD_PARTY = "?"


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package.

    `name` and `version` are as installed; `source_name` and `source_version` are what advisories name (a dpkg source
    package, a PEP 503 name). `ecosystem` is OSV's, with its release ("Debian:13", "PyPI"); a distribution's package has
    it empty until `Ecosystem.assign_distribution` has seen the distribution. `path` is the file that names it, and what
    lies in an archive comes after "!/" ("app.war!/WEB-INF/lib/a.jar"). `layer` is the digest of the layer which brought
    that file, or, of a package database, which first has it in this version. `owner` is the distribution package that
    owns the file ("" for none): an owned package is judged by the distribution's advisories alone. `module` is an rpm's
    module and stream ("nodejs:18"), "" for none, `ANY_MODULE` for an unknown one. `vendor` is who made a package
    in a distribution's form that is not the distribution's own ("docker.com"), "" for all others; until it is settled,
    what its database says of who made it, after `THIRD_PARTY` where its files tell that the distribution did not. A
    vendor's ecosystem is "vendor:" and that, unless it publishes advisories (Docker, of its hardened images). `imports`
    are the import paths of those packages of a Go module that the program holds, with blanks between, "" where the
    program does not say.
    """

    name: str
    version: str
    purl: str
    ecosystem: str
    source_name: str
    source_version: str
    path: str
    layer: str = ""
    arch: str = ""
    owner: str = ""
    module: str = ""
    vendor: str = ""
    imports: str = ""


# The module of a package that is of one, by its version, and does not say of which.
ANY_MODULE = "*"


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that could not be read or believed. `path` is inside the image, "/" for all of it."""

    path: str
    reason: str
    layer: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What one platform's image holds, and what of it could not be read.

    `image` is the manifest's digest, `platform` "os/arch" or "os/arch/variant", `layers` blob digests from the base up.
    Packages and unread entries are sorted, so that equal content is equal bytes.

    The lowest `base_layers` of the layers are the base image's, which is called `base`: 0 and "" where nothing tells.
    `created` (RFC 3339) and `user` are the image config's, "" when it does not say. `diff_ids` are the digests of the
    uncompressed layers, one for each of `layers`, "" where none was computed; never the config's claim.
    """

    image: str
    platform: str
    distribution: Distribution | None
    layers: tuple[str, ...]
    packages: tuple[Package, ...]
    unread: tuple[Unread, ...]
    base_layers: int = 0
    base: str = ""
    created: str = ""
    user: str = ""
    diff_ids: tuple[str, ...] = ()

    def in_base(self, package: Package) -> bool:
        """Whether the base image brought the package."""
        return package.layer in self.layers[: self.base_layers]
