"""Read Java archives: their packages, those of nested archives, and the parts that are unreadable."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO

from dockgate.scanner.ecosystems.java import coordinates
from dockgate.scanner.ecosystems.java.coordinates import Coordinates
from dockgate.scanner.ecosystems.java.suffixes import ARCHIVES, SUFFIXES, ZIP
from dockgate.scanner.formats.zip_archive import Archive, Entry, Section, is_zip
from dockgate.scanner.model import Package
from dockgate.scanner.ports import Extract
from dockgate.scanner.standalone_ecosystem import build_package
from dockgate.shared.errors import UnreadableError
from dockgate.shared.purl import write_purl

DEPTH_LIMIT = 8  # nested archives, including the outermost; an enterprise application's libraries are at 3
PARTS_LIMIT = 10_000  # archives, and files that name packages, in one file
ENTRIES_LIMIT = 1_000_000  # entries of all archives in one file
BYTES_LIMIT = 2 * 1024 * 1024 * 1024  # bytes that are read from entries, or inflated, for one file
# The same as a multiple of the file's size. Code shrinks two or three times; nested archives are read twice.
RATIO_LIMIT = 20
RATIO_FROM = 64 * 1024 * 1024  # bytes that may be read whatever the multiple
MANIFEST_LIMIT = 64 * 1024  # bytes of a manifest that contain its main section; digests of signatures follow
POM_LIMIT = 1024 * 1024  # bytes of a pom.xml or pom.properties

_MANIFEST = "META-INF/MANIFEST.MF"
_MAVEN = "META-INF/maven/"
_PROPERTIES, _POM = "/pom.properties", "/pom.xml"
_PYTHON = (".egg", ".pex", ".pyz", ".whl")
_MEMBER_NAMES = tuple(suffix.encode("ascii") for suffix in (*SUFFIXES, *_PYTHON, _PROPERTIES, _POM, _MANIFEST.lower()))
_APPLICATIONS = (".war", ".ear", ".par", ".sar", ".rar")
_AMBIGUOUS_SUFFIXES = (".par", ".sar", ".nar", ".rar", ZIP)
_RUNTIMES = ("jrt-fs.jar", "rt.jar")  # the jar that each runtime has once, since Java 9 and before
_NO_GROUP = "no Maven groupId: cannot be matched to advisories"


def read_archive(path: str, file: BinaryIO) -> Extract:
    """Read the packages of the archive at `path`. Raises UnreadableError if it cannot be read."""
    section = Section(file, 0, file.seek(0, 2))
    if _is_other_format(path, section):
        return Extract()
    reading = _ArchiveReader(min(BYTES_LIMIT, max(RATIO_FROM, RATIO_LIMIT * section.size)))
    try:
        reading.read_archive(section, path, "", 1)
    except _LimitError as error:
        reading.unread_parts.append((reading.part_path, str(error)))
    packages, unread_parts = dict.fromkeys(reading.packages), dict.fromkeys(reading.unread_parts)
    return Extract(tuple(packages), unread_parts=tuple(unread_parts), is_self_contained=True)


def make_package(library: Coordinates, path: str) -> Package:
    """Build the package GROUP:ARTIFACT, or ARTIFACT if the group is unknown."""
    name = f"{library.group}:{library.artifact}" if library.group else library.artifact
    version = library.version or ""
    purl = write_purl("maven", library.group or "", library.artifact, version)
    return build_package("Maven", name, version, purl, path)


class _LimitError(UnreadableError):
    """A limit on all that is read of one file is reached; the rest is not read."""


class _ArchiveReader:
    """A reader of archives up to `limit` bytes, for packages and unread parts. It is at `part_path`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.packages: list[Package] = []
        self.unread_parts: list[tuple[str, str]] = []
        self.part_path = ""
        self._parts = 0
        self._entries = 0
        self._bytes = 0

    def read_archive(self, section: Section, path: str, inner: str, depth: int) -> None:
        """Read the archive called `path`, in the file `inner`. Raises UnreadableError."""
        archive = Archive(section, _MEMBER_NAMES, self._spend, is_case_ignored=True)
        self._entries += archive.count
        if self._entries > ENTRIES_LIMIT:
            raise _LimitError(f"this archive and those before it have more than {ENTRIES_LIMIT} entries")
        manifest: dict[str, str] = {}
        poms: dict[str, list[Entry]] = {}
        nested_entries: list[Entry] = []
        for entry in archive.entries:
            suffix = _get_suffix(entry.name)
            if suffix in SUFFIXES or suffix in _PYTHON:
                nested_entries.append(entry)
            elif entry.name.upper() == _MANIFEST:
                manifest = {}
                with self._guard_part(_join_path(inner, entry.name)):
                    manifest = coordinates.parse_manifest(archive.read_head(entry, MANIFEST_LIMIT))
            elif (
                entry.name.startswith(_MAVEN)
                and entry.name.count("/") == 4
                and entry.name.endswith((_PROPERTIES, _POM))
            ):
                poms.setdefault(entry.name.rpartition("/")[0], []).append(entry)
        libraries = [
            library for entries in poms.values() for library in self._read_coordinates(archive, entries, inner)
        ]
        if archive.has_classes and not _is_among(libraries, path):
            is_composed = any(_get_suffix(entry.name) in ARCHIVES for entry in nested_entries)
            libraries += _find_own_coordinates(manifest, path, is_composed=is_composed)
        self.packages += (make_package(library, path) for library in libraries)
        if coordinates.is_java_runtime(manifest) and path.endswith(_RUNTIMES):
            from dockgate.scanner.ecosystems.programs import make_program_package

            self.packages.append(make_program_package("java", manifest.get("implementation-version", ""), path))
        if not all(library.group for library in libraries):
            self.unread_parts.append((inner or _MANIFEST, _NO_GROUP))
        # Java loads nothing from a zip archive without classes; only its jars are libraries, which a start script may
        # unpack.
        is_loaded = _get_suffix(path) != ZIP or archive.has_classes
        for entry in nested_entries:
            if not is_loaded and _get_suffix(entry.name) in (ZIP, *_PYTHON):
                continue
            self._read_nested(archive, entry, f"{path}!/{entry.name}", _join_path(inner, entry.name), depth + 1)

    def _read_nested(self, archive: Archive, entry: Entry, path: str, inner: str, depth: int) -> None:
        with self._guard_part(inner):
            if depth > DEPTH_LIMIT:
                raise UnreadableError(f"it is nested in {depth - 1} archives; no more than {DEPTH_LIMIT} are opened")
            with archive.open_entry(entry) as section:
                if _get_suffix(path) in _PYTHON:
                    self._read_python(section, path, inner)
                elif not _is_other_format(path, section):
                    self.read_archive(section, path, inner, depth)
                    if _get_suffix(path) == ZIP:
                        self._read_python(section, path, inner)

    def _read_python(self, section: Section, path: str, inner: str) -> None:
        """Read Python packages, which Jython and others import from an application's archives."""
        from dockgate.scanner.ecosystems.python import zip_packages

        if is_zip(section):
            packages, unread_parts = zip_packages.read_packages(section, path, self._spend)
            self.packages += packages
            self.unread_parts += ((_join_path(inner, inner_path), reason) for inner_path, reason in unread_parts)

    def _read_coordinates(self, archive: Archive, entries: list[Entry], inner: str) -> list[Coordinates]:
        """Read coordinates from pom.properties (several in a merged jar), missing values from the pom.xml."""
        libraries: list[Coordinates] = []
        for entry in sorted(entries, key=lambda entry: entry.name.endswith(_POM)):
            if entry.name.endswith(_POM) and libraries and all(library.version for library in libraries):
                continue
            with self._guard_part(_join_path(inner, entry.name)):
                raw = archive.read_all(entry, POM_LIMIT)
                if entry.name.endswith(_POM):
                    pom = coordinates.from_pom(raw, entry.name)
                    libraries = [
                        library if library.version else replace(library, version=pom.version) for library in libraries
                    ] or [pom]
                else:
                    libraries.append(coordinates.from_pom_properties(raw, entry.name))
        return libraries

    @contextmanager
    def _guard_part(self, part_path: str) -> Iterator[None]:
        """Count the part, and collect its UnreadableError; a limit on the file is not caught."""
        self.part_path = part_path
        self._parts += 1
        if self._parts > PARTS_LIMIT:
            raise _LimitError(f"its archive has more than {PARTS_LIMIT} parts that name packages")
        try:
            yield
        except _LimitError:
            raise
        except UnreadableError as error:
            self.unread_parts.append((part_path, str(error)))

    def _spend(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._limit:
            raise _LimitError(f"more than {self._limit} bytes of the archive would have to be read for it")


def _is_other_format(path: str, section: Section) -> bool:
    """Return whether the file has another format with the same suffix (RAR archive, statistics file).

    Anything may precede an archive, such as a script that starts it.
    """
    if not path.lower().endswith(_AMBIGUOUS_SUFFIXES):
        return False
    return section.size < 4 or (section.read(0, 2) != b"PK" and not is_zip(section))


def _is_among(libraries: list[Coordinates], path: str) -> bool:
    """Return whether one of the libraries that Maven's files name is the jar itself.

    If the jar's file name has a version that none of them has, the jar only contains them. A jar without a version in
    its name was renamed, and is taken for one of them.
    """
    stem = path.rpartition("/")[2].rpartition(".")[0]
    for library in libraries:
        artifact, suffix = stem[: len(library.artifact)], stem[len(library.artifact) :]
        if artifact == library.artifact and (not suffix or (suffix[0] == "-" and suffix[1:2].isdecimal())):
            return True
    _, version = coordinates.split_stem(stem)
    return bool(libraries) and (version is None or any(library.version == version for library in libraries))


def _find_own_coordinates(manifest: Mapping[str, str], path: str, *, is_composed: bool) -> list[Coordinates]:
    """Return the archive's own coordinates, by manifest and file name.

    An application is not a library: unless its group is known, one that `is_composed` of parts counts only by these.
    Jars of a Java runtime do not count either.
    """
    file = path.rpartition("/")[2]
    library = coordinates.from_manifest(manifest, file)
    if library.group:
        return [library]
    is_application = is_composed or file.lower().endswith(_APPLICATIONS) or "spring-boot-version" in manifest
    return [] if is_application or coordinates.is_java_runtime(manifest) else [library]


def _get_suffix(name: str) -> str:
    return name[name.rfind(".") :].lower()


def _join_path(inner: str, name: str) -> str:
    return f"{inner}!/{name}" if inner else name
