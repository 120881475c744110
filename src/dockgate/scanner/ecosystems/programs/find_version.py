"""Find a program's version in the read-only data of its executable or library."""

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from dockgate.scanner.ecosystems.programs.names import PYTHON, Program, parse_python_release
from dockgate.scanner.formats.executable import Executable, Part, find_executables
from dockgate.shared.errors import UnreadableError

DATA_LIMIT = 256 * 1024 * 1024  # bytes of read-only data that are searched; Node.js has 46 MB
CHUNK = 1024 * 1024
VERSION_LIMIT = 40  # characters of a version
CANDIDATES_LIMIT = 1000  # positions in one file that are checked

_OVERLAP = 128  # bytes, more than a marker and a version together
_DIGITS = frozenset(b"0123456789")
_CHARACTERS = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+-_~")


def find_version(program: Program, name: str, file: BinaryIO) -> str | None:
    """Return the program's version; None if a library has it, or if this is another program.

    Raises UnreadableError if the file must be the program and contains no version.
    """
    executables = find_executables(file, (b"",))
    for executable in executables:
        if (
            version := _find_python_version(executable, name)
            if program is PYTHON
            else _find_marked_version(executable, program)
        ):
            return version
    if not program.is_certain or not executables or name.startswith("libssl"):
        return None
    for executable in executables:
        section = executable.find_section(b".dynstr")  # names of linked libraries, among others
        names = executable.read_part(section) if section else executable.head
        if any(library in names for library in program.libraries):
            return None
    raise UnreadableError(f"it is named like {program.name}, but contains no version of it")


def _find_marked_version(executable: Executable, program: Program) -> str | None:
    for chunk, at, marker in _find_candidates(executable, program.markers):
        start = at + len(marker)
        version = _read_version(chunk, start)
        if (
            version[:1].isdecimal()
            and version[-1:] != "."
            and version.count(".") >= program.dots
            and chunk.startswith(program.end_marker, start + len(version))
        ):
            return version
    return None


def _find_python_version(executable: Executable, name: str) -> str | None:
    """Return Python's version, a string of its own or the end of a longer one.

    Linkers may merge it with the end of a path. So it begins with the release in the file's name and ends its string; a
    complete string takes precedence.
    """
    release = parse_python_release(name)
    whole_strings: set[str] = set()
    string_ends: set[str] = set()
    for chunk, at, _ in _find_candidates(executable, (release + b".",) if release else (b"\x003.", b"\x002.")):
        start = at + (not release)
        version = _read_version(chunk, start)
        before, bytes_behind = chunk[start - 1], chunk[start + len(version) : start + len(version) + 1]
        is_bounded = start and bytes_behind == b"\0" and before not in _DIGITS and before != 0x2E
        if is_bounded and _is_python_version(version):
            (string_ends if before else whole_strings).add(version)
    versions = whole_strings or string_ends
    if len(versions) > 1:
        raise UnreadableError(f"it contains several versions of python: {', '.join(sorted(versions)[:5])}")
    return versions.pop() if versions else None


def _find_candidates(executable: Executable, markers: Iterable[bytes]) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield a piece of data, the position of a marker in it, and the marker; at most CANDIDATES_LIMIT."""
    attempts = CANDIDATES_LIMIT
    for chunk in _read_constants(executable):
        for marker in markers:
            at = chunk.find(marker)
            while at >= 0 and attempts:
                attempts -= 1
                yield chunk, at, marker
                at = chunk.find(marker, at + 1)


def _is_python_version(version: str) -> bool:
    """Return whether it is a release, a pre-release (3.13.0rc1), or a build after one (3.12.3+)."""
    major, _, minor_and_patch = version.removesuffix("+").partition(".")
    minor, _, patch = minor_and_patch.partition(".")
    for word in ("a", "b", "rc"):
        number, separator, count = patch.partition(word)
        if separator and number.isdecimal() and count.isdecimal():
            patch = number
    return major.isdecimal() and minor.isdecimal() and patch.isdecimal() and len(minor) <= 2 and len(patch) <= 2


def _read_version(chunk: bytes, start: int) -> str:
    end = start
    while end < len(chunk) and end - start < VERSION_LIMIT and chunk[end] in _CHARACTERS:
        end += 1
    return chunk[start:end].decode("ascii")


def _read_constants(executable: Executable) -> Iterator[bytes]:
    """Yield overlapping pieces of the read-only data; without names of sections, of all that is loaded."""
    sections: Iterable[Part] = [part for part in executable.sections if (part.name or b"").startswith(b".rodata")]
    bytes_left = DATA_LIMIT
    for part in sections or executable.segments:
        at = executable.base + part.offset
        end = min(at + part.size, executable.file.seek(0, 2))
        overlap = b"\0"
        while at < end and bytes_left > 0:
            executable.file.seek(at)
            piece = executable.file.read(min(CHUNK, end - at, bytes_left))
            if not piece:
                break
            at += len(piece)
            bytes_left -= len(piece)
            yield overlap + piece
            overlap = piece[-_OVERLAP:]
