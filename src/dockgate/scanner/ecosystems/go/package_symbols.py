"""Which packages of its modules a Go program holds, by the names of functions that the linker puts into it.

Source: Go's cmd/link/internal/ld/pcln.go and debug/gosym, the table "pclntab" of Go 1.18 and later. It stays in a
program that is stripped of its symbols. It names inlined functions too, but not those that were computed at compile
time: a package of nothing else is missing here.
"""

from collections.abc import Iterable
from struct import Struct

from dockgate.scanner.formats.executable import READ_LIMIT, Executable, Part

# Packages of one program. Kubernetes' programs have some 1,500.
COUNT_LIMIT = 5_000

# Of Go 1.18 and 1.20.
_MAGICS = (0xFFFFFFF0, 0xFFFFFFF1)
_SECTIONS = (b".gopclntab", b"__gopclntab", b".data.rel.ro.gopclntab")
# How names begin that are no functions' of a package.
_NO_PACKAGES = (b"go:", b"type:", b"go.", b"type..")


def read_packages(executable: Executable, main: str) -> frozenset[str]:
    """Import paths of the packages, `main` being the main package's; none where the program does not say, or says too
    much."""
    part = executable.section(*_SECTIONS)
    names = _function_names(executable, part) if part else b""
    paths = packages_of(names.split(b"\0"))
    return frozenset(main if path == "main" else path for path in paths) if len(paths) <= COUNT_LIMIT else frozenset()


def packages_of(functions: Iterable[bytes]) -> frozenset[str]:
    """The packages that these functions are of."""
    paths: set[bytes] = set()
    prefix = b"\0"
    for name in functions:
        # The functions of a package lie side by side. "a.b/c.F" begins as a function of "a" does.
        if name.startswith(prefix) and b"/" not in name[len(prefix) :]:
            continue
        path = _package_path(name)
        prefix = path + b"." if path else b"\0"
        paths.add(path)
    paths.discard(b"")
    return frozenset(path.replace(b"%2e", b".").decode("utf-8", "replace") for path in paths)


def group_by_module(modules: Iterable[str], paths: Iterable[str]) -> dict[str, list[str]]:
    """Each module's packages, sorted; a package is of the module with the longest path that it lies below. Those
    whose path has no dot in its first element are "stdlib"."""
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


def _function_names(executable: Executable, part: Part) -> bytes:
    """The table of functions' names, each ended by NUL. Its place stands in the header, behind magic, two zeros, the
    least instruction's size and the pointer's: counts of functions and files, the text's address, then offsets."""
    start = Part(b"", 0, part.offset, min(part.size, 8 + 8 * 8))
    header = executable.content(start)
    for order in "<>":
        if len(header) < 8 or Struct(order + "I").unpack_from(header)[0] not in _MAGICS:
            continue
        wide = header[7] == 8
        row = Struct(order + ("5Q" if wide else "5I"))
        if header[4:6] != b"\0\0" or header[7] not in (4, 8) or len(header) < 8 + row.size:
            return b""
        *_, names_at, units_at = row.unpack_from(header, 8)
        size = units_at - names_at
        if not 0 < size <= READ_LIMIT or names_at + size > part.size:
            return b""
        return executable.content(Part(b"", 0, part.offset + names_at, size))
    return b""


def _package_path(name: bytes) -> bytes:
    """The package in a function's name: "golang.org/x/net/http2.(*Transport).RoundTrip". A dot in its last element is
    written "%2e" there. b"" for what is no package's."""
    if name.startswith(_NO_PACKAGES):
        return b""
    path = name.partition(b"[")[0].partition(b"(")[0]
    at = path.find(b".", path.rfind(b"/") + 1)
    return path[:at] if at > 0 else b""
