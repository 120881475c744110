"""Read the build information that Go's linker puts into programs (debug/buildinfo, Go 1.13 and later)."""

from typing import Literal, NamedTuple

from dockgate.scanner.formats.content import decode_text
from dockgate.scanner.formats.executable import Executable
from dockgate.shared.errors import UnreadableError

DEVEL_VERSION = "(devel)"  # Go's version of a module that was built from a folder
INFO_LIMIT = 1024 * 1024  # bytes of the list of modules; that of a program with 500 modules has 50,000

MARKS = (b"go.buildinfo", b"go_buildinfo", b"gopclntab", b"go.buildid")
# Signs of a Go program: names of sections, and the note with its build id in either byte order.
NOTES = (b"\x04\0\0\0Go", b"\0\0\0\x04Go")

_MAGIC = b"\xff Go buildinf:"
_ALIGNMENT = 16
_HEADER = 32
_BIG_ENDIAN, _INLINE = 1, 2
_SENTINEL = 16
_BUILD_ID = b'\xff Go build ID: "'


class Module(NamedTuple):
    """A module with its version ("v1.2.3" or DEVEL_VERSION)."""

    path: str
    version: str


class BuildInfo:
    """The build information of a program.

    `go` is the toolchain's own name ("go1.22.3 X:boringcrypto"), `package` the import path of the main package and
    `main` its module, each None if unknown. `modules` are the required modules, with replacements applied. `settings`
    are those of `go version -m` ("-ldflags"), quoted where Go quotes them.

    Not a dataclass, because creating one at every start takes too long (`formats.executable`).
    """

    def __init__(self, go: str) -> None:
        self.go = go
        self.package: str | None = None
        self.main: Module | None = None
        self.modules: list[Module] = []
        self.settings: dict[str, str] = {}


def read(executable: Executable) -> BuildInfo | None:
    """Read the build information, None if this is not a Go program.

    Raises UnreadableError if it is damaged.
    """
    part = executable.find_section(b".go.buildinfo", b"__go_buildinfo") or executable.find_data()
    if part:
        raw = executable.read_part(part)
        at = raw.find(_MAGIC)
        while at >= 0 and (part.address + at) % _ALIGNMENT:
            at = raw.find(_MAGIC, at + 1)
        if at >= 0:
            go, info = _read_strings(executable, raw, at)
            if not go:
                raise UnreadableError("it is a Go program whose build information is damaged")
            return _parse_info(go, info) if info is not None else BuildInfo(go)
    if _is_go(executable):
        raise UnreadableError("it is a Go program without build information, so its modules cannot be determined")
    return None


def _is_go(executable: Executable) -> bool:
    """Return whether sections or the build id are Go's: a note in ELF, the first bytes of the code in PE."""
    if any(mark in executable.head for mark in NOTES):
        return True
    code = executable.find_section(b".text")
    return any((part.name or b"").endswith(MARKS) for part in executable.sections) or bool(
        code and executable.read_loaded(code.address, len(_BUILD_ID)) == _BUILD_ID
    )


def _read_strings(executable: Executable, raw: bytes, at: int) -> tuple[str | None, str | None]:
    """Toolchain and list of modules, None if missing: after the header since Go 1.18, by its pointers before."""
    header = raw[at : at + _HEADER]
    if len(header) < _HEADER:
        return None, None
    size, flags = header[14], header[15]
    if flags & _INLINE:
        go, after = _read_counted_string(raw, at + _HEADER)
        info, _ = _read_counted_string(raw, after)
    else:
        order: Literal["big", "little"] = "big" if flags & _BIG_ENDIAN else "little"
        addresses = (int.from_bytes(header[start : start + size], order) for start in (16, 16 + size))
        go, info = (_read_pointed_string(executable, address, size, order) for address in addresses)
    is_intact = len(info) > 2 * _SENTINEL and info[-_SENTINEL - 1 : -_SENTINEL] == b"\n"
    return decode_text(go) or None, decode_text(info[_SENTINEL:-_SENTINEL]) if is_intact else None


def _read_counted_string(raw: bytes, at: int) -> tuple[bytes, int]:
    """Read a string after its length (a varint); return it and the position after it."""
    length = shift = 0
    for byte in raw[at : at + 10]:
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if at + length > len(raw):
        raise UnreadableError("it is a Go program whose build information is truncated")
    return raw[at : at + _check_length(length)], at + length


def _read_pointed_string(executable: Executable, address: int, size: int, order: Literal["big", "little"]) -> bytes:
    """Read a string by the address of its own address and length."""
    header = executable.read_loaded(address, 2 * size)
    length = _check_length(int.from_bytes(header[size:], order))
    return executable.read_loaded(int.from_bytes(header[:size], order), length)


def _check_length(length: int) -> int:
    if length > INFO_LIMIT:
        raise UnreadableError(f"its list of Go modules has {length} bytes; no more than {INFO_LIMIT} are read")
    return length


def _parse_info(go: str, info: str) -> BuildInfo:
    """Parse lines of a word and tab-separated fields (runtime/debug, ParseBuildInfo)."""
    build_info = BuildInfo(go)
    last_word = ""
    for line in info.split("\n"):
        word, *fields = line.split("\t")
        if word == "path" and fields:
            build_info.package = fields[0]
        elif word == "build" and fields:
            setting, _, value = fields[0].partition("=")
            build_info.settings[setting] = value
        elif word in ("mod", "dep", "=>"):
            if len(fields) not in (2, 3) or not fields[0] or (word == "=>" and last_word not in ("mod", "dep")):
                raise UnreadableError(f"its list of Go modules has the invalid line {line[:80]!r}")
            if word == "mod":
                build_info.main = Module(fields[0], fields[1] or DEVEL_VERSION)
            elif word == "dep":
                build_info.modules.append(Module(fields[0], fields[1] or DEVEL_VERSION))
            elif last_word == "dep":
                build_info.modules[-1] = replace_module(build_info.modules[-1], *fields[:2])
        last_word = word
    return build_info


def replace_module(module: Module, path: str, version: str) -> Module:
    """Apply a replacement: by another module, or by a folder, which keeps the name."""
    return Module(path, version) if version not in ("", DEVEL_VERSION) else Module(module.path, DEVEL_VERSION)
