"""Find the packages in a Go program by the function names that the linker puts into it.

Source: Go's cmd/link/internal/ld/pcln.go and debug/gosym, the table "pclntab" of Go 1.18 and later, which remains in a
stripped program. It includes inlined functions, not those computed at compile time: a package of these is missing.
"""

from collections.abc import Iterable
from struct import Struct

from dockgate.scanner.formats.executable import READ_LIMIT, Executable, Part

COUNT_LIMIT = 5_000  # packages of one program; those of Kubernetes have 1,500

_MAGICS = (0xFFFFFFF0, 0xFFFFFFF1)  # of Go 1.18 and 1.20
_SECTIONS = (b".gopclntab", b"__gopclntab", b".data.rel.ro.gopclntab")
_NO_PACKAGES = (b"go:", b"type:", b"go.", b"type..")  # beginnings of names that are not functions of a package


def read_packages(executable: Executable, main: str) -> frozenset[str]:
    """Return the import paths of the packages, `main` for the main one; none if missing, or too many."""
    part = executable.find_section(*_SECTIONS)
    names = _read_function_names(executable, part) if part else b""
    paths = list_packages(names.split(b"\0"))
    return frozenset(main if path == "main" else path for path in paths) if len(paths) <= COUNT_LIMIT else frozenset()


def list_packages(functions: Iterable[bytes]) -> frozenset[str]:
    """Return the packages of these functions."""
    paths: set[bytes] = set()
    prefix = b"\0"
    for name in functions:
        # A package's functions are adjacent. "a.b/c.F" begins like a function of "a".
        if name.startswith(prefix) and b"/" not in name[len(prefix) :]:
            continue
        path = _parse_package_path(name)
        prefix = path + b"." if path else b"\0"
        paths.add(path)
    paths.discard(b"")
    return frozenset(path.replace(b"%2e", b".").decode("utf-8", "replace") for path in paths)


def group_by_module(modules: Iterable[str], paths: Iterable[str]) -> dict[str, list[str]]:
    """Group packages by module, sorted: the module with the longest path that contains the package.

    Packages without a dot in the first element of their path belong to "stdlib".
    """
    module_paths = set(modules)
    packages_by_module: dict[str, list[str]] = {}
    for package in sorted(paths):
        path = package
        while path and path not in module_paths:
            path = path.rpartition("/")[0]
        if not path and "." not in package.partition("/")[0]:
            path = "stdlib"
        if path:
            packages_by_module.setdefault(path, []).append(package)
    return packages_by_module


def _read_function_names(executable: Executable, part: Part) -> bytes:
    """Read the table of function names, separated by NUL.

    The header has magic, two zeros, the sizes of the smallest instruction and of a pointer, then counts of functions
    and files, the text's address, and offsets.
    """
    start = Part(None, 0, part.offset, min(part.size, 8 + 8 * 8))
    header = executable.read_part(start)
    for order in "<>":
        if len(header) < 8 or Struct(order + "I").unpack_from(header)[0] not in _MAGICS:
            continue
        is_wide = header[7] == 8
        row = Struct(order + ("5Q" if is_wide else "5I"))
        if header[4:6] != b"\0\0" or header[7] not in (4, 8) or len(header) < 8 + row.size:
            return b""
        *_, names_at, units_at = row.unpack_from(header, 8)
        size = units_at - names_at
        if not 0 < size <= READ_LIMIT or names_at + size > part.size:
            return b""
        return executable.read_part(Part(None, 0, part.offset + names_at, size))
    return b""


def _parse_package_path(name: bytes) -> bytes:
    """Return the package of a function name: "golang.org/x/net/http2.(*Transport).RoundTrip".

    The linker writes a dot in the package's last element as "%2e". Returns b"" for a name without package.
    """
    if name.startswith(_NO_PACKAGES):
        return b""
    path = name.partition(b"[")[0].partition(b"(")[0]
    at = path.find(b".", path.rfind(b"/") + 1)
    return path[:at] if at > 0 else b""
