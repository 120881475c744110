"""File names of programs that are often installed without a package, and where their versions are.

Checked with builds of upstream, Debian and pyenv. The markers are texts that each program prints about itself
(`node.js/v20.20.2`, `OpenSSL 3.0.11 19 Sep 2023`, `X-Powered-By: PHP/8.4.1`).
"""

from typing import NamedTuple

BITNAMI = "Bitnami"


class Program(NamedTuple):
    """A program and the texts around its version.

    `name` is the package's name, the one in Bitnami's advisories if `ecosystem` is Bitnami's. `markers` are texts
    before the version, `end_marker` the text after it; Python's version has neither. `libraries` are beginnings of
    shared libraries that contain the version of a program linked to them. With `is_certain`, nothing else has such a
    name, so a file without version is unread.
    """

    name: str
    ecosystem: str = BITNAMI
    markers: tuple[bytes, ...] = ()
    end_marker: bytes = b""
    libraries: tuple[bytes, ...] = ()
    dots: int = 2
    is_certain: bool = True


NODE = Program("node", markers=(b"node.js/v", b"/download/release/v"), libraries=(b"libnode.so",))
PYTHON = Program("python", libraries=(b"libpython",))
RUBY = Program("ruby", markers=(b"ruby ",), end_marker=b" (", libraries=(b"libruby",))
PHP = Program("php", markers=(b"X-Powered-By: PHP/",), libraries=(b"libphp",))
OPENSSL = Program("openssl", "OpenSSL", markers=(b"OpenSSL ",), end_marker=b" ", libraries=(b"libcrypto.so",))
# Virtual machines other than HotSpot have only the file `release`.
JAVA = Program("java", markers=(b" JRE (",), dots=0, is_certain=False)

_EXECUTABLES = {
    **dict.fromkeys(("node", "nodejs"), NODE),
    "python": PYTHON,
    "ruby": RUBY,
    **dict.fromkeys(("php", "php-cgi", "php-fpm", "phpdbg"), PHP),
    "openssl": OPENSSL,
    "nginx": Program("nginx", markers=(b"nginx/", b"openresty/")),
    **dict.fromkeys(("httpd", "apache"), Program("apache", markers=(b"Apache/",), is_certain=False)),
    "postgres": Program("postgresql", markers=(b"PostgreSQL) ",), dots=1),
    "memcached": Program("memcached", markers=(b"memcached ",)),
}
_LIBRARIES = {"libnode": NODE, "libcrypto": OPENSSL, "libssl": OPENSSL, "libjvm": JAVA}
_NUMBERED_LIBRARIES = {"libpython": PYTHON, "libruby": RUBY, "libphp": PHP}
_DIGITS_AND_DOTS = "0123456789."
# Letters after Python's number: builds for debugging, with pymalloc, free-threaded, with wide Unicode.
_BUILD_LETTERS = "dmtu"
PROGRAMS = {program.name: program for program in (*_EXECUTABLES.values(), JAVA)}


def find_program(name: str) -> Program | None:
    """Return the program that a file of this name belongs to, whatever version is in the name."""
    library, dot_so, _ = name.partition(".so")
    if not dot_so:
        stem = name.rstrip(_DIGITS_AND_DOTS)
        if stem[:6] == "python":
            stem = _strip_build_letters(stem, name)
        return _EXECUTABLES.get(stem)
    if library in _LIBRARIES:
        return _LIBRARIES[library]
    stem = library.rstrip(_DIGITS_AND_DOTS)
    if stem[:9] == "libpython":
        # libpython3.so only forwards to the library with both numbers.
        return PYTHON if "." in library and _strip_build_letters(stem, library) == "libpython" else None
    return _NUMBERED_LIBRARIES.get(stem.rstrip("-"))


def parse_python_release(name: str) -> bytes:
    """Return "3.12" of python3.12, python3.12t and libpython3.12.so.1.0, b"" without two numbers."""
    library = name.partition(".so")[0].rstrip(_BUILD_LETTERS)
    number = library[len(library.rstrip(_DIGITS_AND_DOTS)) :]
    major, dot, minor = number.partition(".")
    return number.encode("ascii") if dot and major and minor.isdecimal() else b""


def _strip_build_letters(stem: str, name: str) -> str:
    bare = name.rstrip(_BUILD_LETTERS)
    is_build = bare[-1:] in _DIGITS_AND_DOTS and len(name) - len(bare) <= len(_BUILD_LETTERS)
    return bare.rstrip(_DIGITS_AND_DOTS) if is_build else stem
