"""Build, update, describe, export, import and open the advisory database.

Only a trusted one is imported.
"""

import hmac
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING

from dockgate.config import Settings
from dockgate.scanner.model import Inventory
from dockgate.shared.digest import from_hex, require_digest
from dockgate.shared.errors import DeniedError, DockgateError, NotFoundError, UsageError
from dockgate.vulnerabilities.database.changes import AdvisoryChanges, find_changes
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.model import (
    Advisory,
    AdvisorySnapshot,
    AdvisoryText,
    Coverage,
    Cve,
    select_ecosystems,
    strip_release,
)
from dockgate.vulnerabilities.ports import AdvisoryReader

if TYPE_CHECKING:
    from dockgate.attestations.dsse import Signer
    from dockgate.services.feeds.status import FeedStatus, SuspectPart
    from dockgate.vulnerabilities.database.parts import Part, Result
    from dockgate.vulnerabilities.database.transfer import Header, Trust

Report = Callable[[str], None]
# The functions of `scanner.images.artifact`. They take a reference, the type of the artifact and its file, then the
# annotations to push or the bytes to pull at most, and return the digest of the manifest.
PushArtifact = Callable[[str, str, Path, Mapping[str, str]], str]
PullArtifact = Callable[[str, str, Path, int], str]

# Before a reference to an artifact in a registry.
REGISTRY = "oci:"
# ArtifactType of an exported database, and media type of its blob.
ARTIFACT = "application/vnd.dockgate.advisories.v1"
# The type of signed exports: a header with the digest of the database's bytes. No attestation has this type.
PAYLOAD_TYPE = "application/vnd.dockgate.advisories.export.v1+json"
_ADVICE = "Run on the exporting machine: `dockgate db key` prints the key, `dockgate db export` the digest."


@dataclass(frozen=True, slots=True)
class Status:
    """The parts of the database at `path`, the ecosystems it covers, and the state of each feed."""

    path: Path
    digest: str
    parts: "tuple[Part, ...]"
    coverage: tuple[Coverage, ...]
    feeds: "tuple[FeedStatus, ...]" = ()
    suspect: "tuple[SuspectPart, ...]" = ()


@dataclass(frozen=True, slots=True)
class Transfer:
    """An export or import of the advisory database.

    `location` is the file or reference; then follow the database's digest, the manifest's (None for a file), the digest
    of the database's bytes, which an import can require, and the id of the key that signed an export.
    """

    location: str
    digest: str
    manifest: str | None = None
    content: str | None = None
    key: str | None = None


def build(path: Path, folder: Path, report: Report) -> "Result":
    """Build the database at `path` from a folder of feeds.

    Raises as `vulnerabilities.database.build.build` does.
    """
    from dockgate.services.feeds.attempts import record_origin
    from dockgate.vulnerabilities import feeds
    from dockgate.vulnerabilities.database.build import build as build_from

    result = build_from(path, feeds.load(), folder, datetime.now(UTC), report)
    record_origin(path, "build")
    return result


def update(
    settings: Settings,
    path: Path,
    report: Report,
    *,
    can_shrink: bool = False,
    feeds: Collection[str] | None = None,
    now: datetime | None = None,
) -> "Result":
    """Update the database at `path` over HTTP, for every ecosystem whose versions can be compared.

    `feeds` are the names of those to fetch, None for all; `can_shrink` installs feeds that lost many of their
    records. What became of each feed is stored beside the database.

    Raises UsageError for a CA bundle that cannot be used, and what `vulnerabilities.database.update.update` does.
    """
    from dockgate.scanner import ecosystems
    from dockgate.services.feeds.attempts import FeedAttempt
    from dockgate.shared.tls import create_client_context
    from dockgate.vulnerabilities import feeds as all_feeds
    from dockgate.vulnerabilities.database.update import update as update_from

    urls, time = dict(settings.feeds), now or datetime.now(UTC)
    selected_feeds = [feed for feed in all_feeds.load() if feeds is None or feed.name in feeds]
    names = [feed.name for feed in selected_feeds if urls.get(feed.name) or feed.url]
    attempt = FeedAttempt(path, names, time, is_whole=feeds is None)
    osv_names = sorted({strip_release(name) for ecosystem in ecosystems.load() for name in ecosystem.osv_names})
    with attempt:
        create_client_context(settings.ca_bundle)
        result = update_from(
            *(path, selected_feeds, urls, osv_names, time, report, settings.ca_bundle), can_shrink=can_shrink
        )
        attempt.result = result
    return result


def describe_database(path: Path, urls: Sequence[tuple[str, str]] = ()) -> Status:
    """Describe the database at `path`; `urls` are those set for feeds.

    Raises DatabaseError without one.
    """
    from dockgate.services.feeds.status import read_feed_statuses, record_ages

    with Database.open(path) as database:
        feeds = read_feed_statuses(path, urls)
        suspect = record_ages(database, datetime.now(UTC)).suspect
        return Status(
            path,
            database.digest,
            tuple(database.list_parts()),
            select_ecosystems(database.list_coverage()),
            feeds,
            suspect,
        )


def export(
    settings: Settings,
    path: Path,
    target: str,
    report: Report,
    push_artifact: PushArtifact,
) -> Transfer:
    """Write the signed database at `path` to a file, or to a registry ("oci:…").

    Raises DatabaseError without one, and what `vulnerabilities.database.transfer.pack` and
    `scanner.images.artifact.push_artifact` do.
    """
    from dockgate.attestations import dsse
    from dockgate.vulnerabilities.database.transfer import pack

    describe_database(path)  # no key is made where there is nothing to sign
    signer = _load_signer(settings)
    reference = target.removeprefix(REGISTRY)

    def pack_into(file: Path) -> "Header":
        return pack(path, file, lambda statement: dsse.sign_payload(statement, signer, PAYLOAD_TYPE))

    if reference == target:
        report(f"writing {target}")
        header = pack_into(Path(target))
        return Transfer(target, header.digest, content=from_hex(header.content), key=signer.public.id)
    with TemporaryDirectory(dir=path.parent if path.parent.is_dir() else None) as folder:
        report("packing the database")
        file = Path(folder) / "advisories"
        header = pack_into(file)
        report(f"pushing {reference}")
        annotations = {"org.opencontainers.image.title": "advisories.zst", "dev.dockgate.advisories": header.digest}
        manifest = push_artifact(reference, ARTIFACT, file, annotations)
    return Transfer(reference, header.digest, manifest, from_hex(header.content), signer.public.id)


def import_database(
    path: Path,
    source: str,
    report: Report,
    pull_artifact: PullArtifact,
    *,
    key: Path | None = None,
    digest: str | None = None,
    can_be_older: bool = False,
) -> Transfer:
    """Install an exported database at `path`, from a file or a registry, if it is trusted (`_make_trust`).

    Raises UsageError if nothing says whom to trust, NotFoundError for a name that is not a file, and what
    `vulnerabilities.database.transfer.unpack` and `scanner.images.artifact.pull_artifact` do.
    """
    from dockgate.services.feeds.attempts import record_origin
    from dockgate.vulnerabilities.database.transfer import SIZE_LIMIT, unpack

    reference = source.removeprefix(REGISTRY)
    if reference == source and Path(source).is_file():
        trust = _make_trust(key, digest, is_pinned=False)
        report(f"reading {source}")
        header = unpack(Path(source), path, trust, can_be_older=can_be_older)
        record_origin(path, "import")
        return Transfer(source, header.digest, content=from_hex(header.content))
    if reference == source and "/" not in source:
        raise NotFoundError(
            f"there is no file {source}", f"One in a registry is named with it: oci:registry.example/{source}."
        )
    trust = _make_trust(key, digest, is_pinned="@sha256:" in reference)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent) as folder:
        report(f"fetching {reference}")
        file = Path(folder) / "advisories"
        manifest = pull_artifact(reference, ARTIFACT, file, SIZE_LIMIT)
        header = unpack(file, path, trust, can_be_older=can_be_older)
        record_origin(path, "import")
        return Transfer(reference, header.digest, manifest, from_hex(header.content))


def read_public_key(settings: Settings) -> str:
    """Return the public half of the key that signs exports, in PEM."""
    return _load_signer(settings).public.pem


def _load_signer(settings: Settings) -> "Signer":
    """Return the key in the data folder, which signs attestations too. It is made if missing.

    Raises UnavailableError if the folder of several servers is set, and has no files of a server: it is not mounted.
    """
    from dockgate.attestations.keys import KEYS, Keys
    from dockgate.shared.folder_mark import require_any_mark

    def require_folder() -> None:
        if settings.shared_folder is not None or settings.database_url is not None:
            require_any_mark(settings.shared_data)

    return Keys(settings.shared_data / KEYS, require_folder).get_signer()


def _make_trust(key: Path | None, digest: str | None, *, is_pinned: bool) -> "Trust":
    """Trust exports that the public key in the file `key` signed, and those whose database has `digest`.

    With both, both must match. `is_pinned`: the reference names a manifest's digest, which is enough.
    """
    from dockgate.attestations import dsse

    if key is None and not digest and not is_pinned:
        raise UsageError(
            "an import needs the exporter's key or the expected digest: otherwise everybody who can write the file "
            "or the registry could hide vulnerabilities",
            f"Add --key FILE or --digest sha256:…. {_ADVICE}",
        )
    if digest:
        require_digest(digest)
    try:
        public = dsse.PublicKey(key.read_bytes()) if key else None
    except OSError as error:
        raise UsageError(f"{key} cannot be read: {error.strerror}", "`dockgate db key` prints the key.") from None

    def trust(statement: bytes, header: "Header", envelope: bytes) -> None:
        content = from_hex(header.content)
        if digest and not hmac.compare_digest(content.encode(errors="replace"), digest.encode()):
            raise DeniedError(f"the export has the digest {content}, not the expected {digest}", _ADVICE)
        if public is None:
            return
        if not envelope:
            raise DeniedError(
                "the export is not signed",
                "Export it with this version of Dockgate, or add the expected digest: --digest sha256:….",
            )
        try:
            signed_statement = dsse.verify_envelope(envelope, [public])
        except DockgateError as error:
            raise DeniedError(f"the export's signature is not valid: {error}", _ADVICE) from None
        if signed_statement.payload_type != PAYLOAD_TYPE or signed_statement.payload != statement:
            raise DeniedError("the export's signature is for another document", _ADVICE)

    return trust


class CurrentDatabase:
    """The present database, opened again when it was replaced (`delivery.ports.Advisories`)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._identity: tuple[int, int] | None = None
        self._reader: _SharedDatabase | None = None

    def __call__(self) -> AdvisoryReader:
        """The reader of the current file, shared by all threads. Raises DatabaseError without one."""
        with self._lock:
            try:
                stat = self._path.stat()
                identity = stat.st_ino, stat.st_mtime_ns
            except OSError:
                identity = None
            if self._reader is None or identity != self._identity:
                self._reader, self._identity = _SharedDatabase(Database.open(self._path)), identity
            return self._reader


def compare(previous: AdvisoryReader, present_reader: AdvisoryReader, cves: Collection[str]) -> AdvisoryChanges | None:
    """Compare two databases that `Current` has opened, for these CVEs.

    None for other readers.
    """
    if not isinstance(previous, _SharedDatabase) or not isinstance(present_reader, _SharedDatabase):
        return None
    return previous.compare_with(present_reader, cves)


class _SharedDatabase:
    """An open database for many threads, closed when its last user is gone."""

    def __init__(self, database: Database) -> None:
        self.digest = database.digest
        self._database = database
        self._lock = Lock()
        weakref.finalize(self, database.close)

    def read_snapshot(self, inventories: Sequence[Inventory]) -> AdvisorySnapshot:
        with self._lock:
            return self._database.read_snapshot(inventories)

    def read_catalogues(self, cve_names: Collection[str]) -> AdvisorySnapshot:
        with self._lock:
            return self._database.read_catalogues(cve_names)

    def find_cves(self, names: Iterable[str]) -> Mapping[str, Cve]:
        with self._lock:
            return self._database.find_cves(names)

    def find_packages(self, names: Sequence[str]) -> Collection[tuple[str, str]] | None:
        with self._lock:
            return self._database.find_packages(names)

    def has_package(self, names: Sequence[str]) -> bool:
        with self._lock:
            return self._database.has_package(names)

    def list_advisories(self, names: Sequence[str]) -> Sequence[Advisory]:
        with self._lock:
            return self._database.list_advisories(names)

    def list_texts(self, names: Sequence[str]) -> Sequence[AdvisoryText]:
        with self._lock:
            return self._database.list_texts(names)

    def list_coverage(self) -> Sequence[Coverage]:
        with self._lock:
            return self._database.list_coverage()

    def compare_with(self, present_database: "_SharedDatabase", cves: Collection[str]) -> AdvisoryChanges:
        """Compare with another database, for these CVEs."""
        if present_database is self:
            return AdvisoryChanges()
        with self._lock, present_database._lock:
            return find_changes(self._database, present_database._database, cves)
