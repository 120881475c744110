"""The seams: what the core and the pipeline ask of plugins and adapters. The comments promise behaviour, and the
contract suites in `tests/contracts` hold every implementation (its memory fake too) to them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from dockgate.core.deploy import Deployment, Service, Task, TaskDefinition
from dockgate.core.model import (
    Advisory,
    Breach,
    Coverage,
    Distribution,
    Inventory,
    Matches,
    Package,
    Rating,
    Slice,
    Undetermined,
)
from dockgate.core.purl import Purl

# --- reading images ----------------------------------------------------------------------------------------------

Kind = Literal["file", "directory", "symlink", "hardlink", "whiteout", "opaque", "other"]


@dataclass(slots=True)
class Entry:
    """One entry of a layer. `path` is relative, normalised ("etc/os-release"; no leading "./" or "/", no "..").

    A whiteout's `path` is what it removes; an opaque's `path` is the folder whose lower content it hides ("" for the
    root).
    `target` is the link's text (symlink) or the normalised path (hardlink). `head` holds a file's first 64 bytes
    (fewer if it is shorter). `open` gives the file's content, seekable, at position 0: valid only until the next
    entry is asked for. A folder has one only when it could not be listed: it raises UnreadableError, which says why.
    """

    path: str
    kind: Kind
    size: int = 0
    mode: int = 0
    target: str = ""
    head: bytes = b""
    open: Callable[[], BinaryIO] | None = None


class Layer(Protocol):
    """One layer blob. `digest` is of the blob as stored (compressed)."""

    digest: str

    def entries(self) -> Iterator[Entry]:
        """Every entry, in order. May be called again (the blob is then read again). Memory stays flat in the layer's
        size.

        Verifies the digest while reading: raises ImageError at the end when the blob does not match, is truncated or
        is no tar (the caller then drops all facts of this layer), UnavailableError when the transport fails.
        """
        ...


@dataclass(frozen=True, slots=True)
class Origins:
    """Where an image comes from, by its manifest and config: see `Inventory` for each."""

    base_layers: int = 0
    base: str = ""
    created: str = ""
    user: str = ""


class Image(Protocol):
    """One platform's image."""

    digest: str
    """of its manifest"""
    platform: str
    """"linux/amd64", "linux/arm64/v8", from the config"""
    layers: Sequence[Layer]
    """base first"""
    origins: Origins


@dataclass(frozen=True, slots=True)
class Triggers:
    """Which files are worth asking an ecosystem about, by tests that cost next to nothing: one that holds is enough.

    `names` are last parts of paths ("METADATA"), `suffixes` what the last part has from its last dot on (".jar"),
    `prefixes` beginnings of paths, `parts` what stands anywhere in them, `magics` first four bytes of content.
    """

    names: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    magics: tuple[bytes, ...] = ()


class Ecosystem(Protocol):
    """A package kind: one module in `ecosystems/` with one object named `ECOSYSTEM`."""

    name: str
    """"dpkg", "python", "npm"""
    version: int
    """raised whenever the same bytes would be read otherwise: layers are then read again"""
    orders: tuple[str, ...]
    """OSV ecosystem names without release whose versions `key` orders: ("Debian", "Ubuntu")"""
    optional_epoch: bool
    """whether an advisory may leave out the epoch of a version (rpm), and then speaks of the one that is installed"""
    purls: tuple[str, ...]
    """the package URL types that `package` understands: ("deb",)"""
    distributions: tuple[str, ...]
    """os-release IDs whose package database this is; () for languages"""
    databases: tuple[str, ...]
    """the paths one of which must exist on those distributions ("var/lib/dpkg/status", "var/lib/dpkg/status.d/")"""
    triggers: Triggers
    """`wants` is asked only of files for which one of all ecosystems' triggers holds: it says yes to no other"""

    def wants(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Whether `read` is to see this file. Called for very many files of every layer: string tests only, no pattern.

        Links and folders are asked about too, with `head` empty: a yes means that evidence may be hidden there.
        """
        ...

    def read(self, path: str, file: BinaryIO) -> "Extract":
        """What the file says. Raises UnreadableError with the reason; any other exception is a bug."""
        ...

    def settle(self, package: Package, distribution: Distribution) -> Package:
        """The package with `ecosystem` and `purl` completed by the distribution. Languages return it unchanged."""
        ...

    def package(self, purl: Purl, distribution: Distribution | None) -> Package:
        """The package that a package URL of one of `purls` names, `path` empty, settled as far as can be.

        `distribution` is the one that the document names which the purl stands in; the purl's own `distro` goes before
        it. Raises UsageError for a purl that lacks what the ecosystem needs (no version).
        """
        ...

    def key(self, version: str) -> Any:
        """Something whose `<` and `==` are the version's order (bytes where possible). Raises UncomparableError."""
        ...


@dataclass(frozen=True, slots=True)
class Extract:
    """What one file says: its packages, and which paths a package owns.

    `owns` maps a package's evidence name to normalised paths (a trailing "/" means all below). For distributions the
    evidence name is the installed name (and ":arch" if the file says so); for languages the purl. `gone` are names
    which the database knows as removed (dpkg's "deinstall ok config-files"): their left-over files are no tampering.

    `unread` are parts of the file that could not be read, each with its reason: (path inside the file, reason).
    `alone`: the packages lie in this very file (a jar, a binary), so that no other file could contradict it.
    `lock`: a lockfile, which says what is to be installed; it counts only where nothing is installed from it.
    `release`: what the file says of `Distribution.repository`.
    """

    packages: tuple[Package, ...] = ()
    owns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    alone: bool = False
    lock: bool = False
    release: str = ""


# --- advisories --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fetched:
    """A feed's answer. `unchanged`: what was fetched last still holds, and `path` is None.

    `path` is a local file to parse. It holds the part whole, or, where `replaces` is not None, only its records of
    those ids: what was known of them is void (an id that the file lacks is gone), and all others stand.
    """

    unchanged: bool
    fingerprint: str
    path: Path | None = None
    replaces: frozenset[str] | None = None


Held = Callable[[], Mapping[str, str]]
"""Id -> `modified` of every record of a part, as the database holds it."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What the record of a CVE says of its severity; the rating's source is "cve"."""

    cve: str
    rating: Rating


@dataclass(frozen=True, slots=True)
class Exploited:
    """A CVE is known to be exploited. `since` is the date at which the catalogue took it up, `due` the one by which it
    wants it mended, YYYY-MM-DD ("" when it does not say)."""

    cve: str
    since: str
    due: str = ""


@dataclass(frozen=True, slots=True)
class Predicted:
    """How likely a CVE is to be exploited: see `Cve.epss` and `Cve.percentile`."""

    cve: str
    epss: float
    percentile: float


@dataclass(frozen=True, slots=True)
class Faulty:
    """Something in a feed could not be read. `name` is the member or line.

    `contained`: the package that it speaks of is known, and has an advisory that no version can be compared with.
    Otherwise it may speak of any package, and the feed is no longer complete.
    """

    name: str
    reason: str
    contained: bool = False


@dataclass(frozen=True, slots=True)
class Silent:
    """A record that speaks of no package of its part. Worth remembering only to know it again."""

    id: str
    modified: str


Statement = Advisory | Scored | Exploited | Predicted | Silent | Faulty


class Feed(Protocol):
    """A publisher's feed: one module in `feeds/` with one object named `FEED`."""

    name: str
    """"osv", "kev" or "cvss", for example"""
    version: int
    """raised whenever the same bytes would be read otherwise: they are then fetched and read again"""
    file: str
    """where it lies in a folder; "osv/*/all.zip" for a feed that has parts, "*" being the part"""
    url: str
    """where it is published, "" for nowhere: the base of its parts, or the file itself"""

    def parts(self, url: str, ecosystems: Sequence[str], ca_bundle: Path | None = None) -> Sequence[str]:
        """The parts published at `url` that speak of these OSV ecosystems (without release); ("",) for a feed without
        parts. Never fails: a list that cannot be had leaves out nothing.
        """
        ...

    def ecosystem(self, part: str) -> str:
        """The OSV ecosystem for all of which, or all of whose releases, the part is the publisher's whole word:
        "Debian", "Amazon Linux:2023"; "" for a feed without parts."""
        ...

    def fetch(
        self,
        origin: Path | str,
        part: str,
        fingerprint: str,
        into: Path,
        ca_bundle: Path | None = None,
        held: Held | None = None,
    ) -> Fetched:
        """Brings one part ("" for a feed without parts) from a folder (Path) or URL (str).

        `fingerprint` is what the last fetch from this origin gave, "" for none; while it holds, nothing is brought.
        `held` tells what is known since then; only where it is given may the answer be a part of the whole.
        What is downloaded is written into the folder `into`; a folder's file is left where it is. `ca_bundle` holds the
        authorities to trust, None the usual ones. Raises NotFoundError when the folder has no such file, and
        UnavailableError naming the feed and its URL when it cannot be reached or answers wrongly.
        """
        ...

    def parse(self, stream: BinaryIO, part: str) -> Iterator[Statement]:
        """Every statement of a seekable file, in its order, in memory that does not grow with it.

        What cannot be read is Faulty, never left out. Raises UnreadableError when the file as a whole cannot be read.
        """
        ...


class AdvisoryReader(Protocol):
    """The advisory database, open for reading."""

    digest: str
    """of its content: changes whenever any answer could"""

    def slice(self, inventories: Sequence[Inventory]) -> Slice:
        """All that the database says of these inventories' packages, and its coverage of their ecosystems."""
        ...

    def coverage(self) -> Sequence[Coverage]: ...


# --- gate --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule may look at, for one platform. Times are RFC 3339 in UTC."""

    inventory: Inventory
    matches: Matches
    coverage: tuple[Coverage, ...]
    now: str


class Rule(Protocol):
    """A gate rule: one module in `rules/` with one object named `RULE`. Pure."""

    name: str
    """its key in a policy"""
    always: Mapping[str, object] | None
    """settings with which it holds when a policy does not name it; None: only when named"""

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        """The settings in full, defaults filled in. Raises DefinitionError naming the key and what is allowed."""
        ...

    def judge(self, facts: Facts, settings: Mapping[str, object]) -> Iterable[Breach | Undetermined]:
        """Every breach and every undetermined entry, in a stable order."""
        ...


# --- the way through ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: `id` 40 hex digits, `branch` without refs/heads/, `message` whole, `time` RFC 3339."""

    id: str
    branch: str
    author: str
    message: str
    time: str


class Source(Protocol):
    """Where commits come from."""

    def heads(self, repository: str) -> Mapping[str, str]:
        """Branch name -> commit id. NotFoundError for an unknown repository."""
        ...

    def commit(self, repository: str, revision: str) -> Commit:
        """`revision` is a commit id or a branch name. NotFoundError for an unknown repository or revision."""
        ...

    def archive(self, repository: str, commit: str, into: Path) -> None:
        """Writes the commit's tree as a tar file, the same bytes each time, replacing `into` whole or not at all."""
        ...


class RepositoryHost(Source, Protocol):
    """A source that we host ourselves."""

    def create(self, repository: str) -> None:
        """An empty repository. Does nothing when it exists."""
        ...


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build. `key` is unique to the attempt and a valid tag: the image is pushed under it. `context` is a
    folder."""

    key: str
    repository: str
    context: Path
    dockerfile: str = "Dockerfile"
    args: Mapping[str, str] = field(default_factory=dict)


class Builder(Protocol):
    def build(self, request: BuildRequest, log: Callable[[str], None]) -> str:
        """Builds, pushes to `<registry>/<repository>:<key>`, and returns the pushed manifest's digest.

        Called again with the same key it returns the digest already pushed, without building. Lines of output go to
        `log`, without line ends. Raises BuildError (the Dockerfile's fault), UnavailableError (registry or engine)."""
        ...


class Registry(Protocol):
    """The registry that builds are pushed to and services run from."""

    address: str
    """"127.0.0.1:5000": the prefix of references"""

    def resolve(self, repository: str, tag: str) -> str | None:
        """The digest behind a tag, None when there is none. UnavailableError when the registry does not answer."""
        ...

    def tags(self) -> Iterator[tuple[str, str]]:
        """Every repository and tag there is. UnavailableError when the registry does not answer."""
        ...


class ImageReader(Protocol):
    """Turns a reference in our registry into inventories."""

    def __call__(self, repository: str, digest: str) -> Sequence[Inventory]:
        """One inventory per platform (attestation manifests aside). ImageError, NotFoundError, UnavailableError."""
        ...


class Target(Protocol):
    """Runs services. Everything is keyed by service name and revision; the target keeps no memory of its own but what
    runs."""

    def deploy(self, service: Service, definition: TaskDefinition, previous: TaskDefinition | None) -> Deployment:
        """Makes `service.desired_count` tasks of `definition` run and be healthy, then none of any other revision.

        Idempotent: called again it completes what is missing and leaves what is right. When a task does not become
        healthy in time, `previous` (None: nothing) runs again and DeployError tells why. Raises UnavailableError when
        the engine is down."""
        ...

    def tasks(self, service: str) -> Sequence[Task]:
        """What exists now, stopped tasks of the current deploy included. An unknown service has none."""
        ...

    def remove(self, service: str) -> None:
        """Stops and removes every task of the service. Does nothing when there are none."""
        ...


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell people. `key` is unique: a notifier may be handed the same notice again after a crash."""

    key: str
    kind: str
    title: str
    body: str
    detail: Mapping[str, Any]


class Notifier(Protocol):
    def notify(self, notice: Notice) -> None:
        """Raises UnavailableError when it could not be handed on; it is then tried again later."""
        ...


Clock = Callable[[], datetime]
"""Now, with time zone UTC."""

Advisories = Callable[[], AdvisoryReader]
"""Opens the advisory database as it stands now. Raises DatabaseError when there is none."""
