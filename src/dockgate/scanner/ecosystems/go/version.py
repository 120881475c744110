"""How Go versions compare: those of modules, and those of the toolchain, as a byte string for each version."""

from dockgate.scanner.formats import semver
from dockgate.scanner.formats.order import is_digits


def key(version: str) -> bytes:
    """The order of golang.org/x/mod/semver, without its leading v too, for OSV leaves it away; and that of
    go/version for the toolchain: "go1.22rc1", "1.22rc1" and OSV's "1.22.0-rc.1" are one.

    Build data does not count ("+incompatible", "+dirty"). A bare "1.22" is the toolchain's, which comes before its
    release candidates from 1.21 on; "v1.22" is v1.22.0.
    """
    if version.startswith("v"):
        return semver.key(version[1:], "Go", least=1)
    return semver.key(_semantic(toolchain_release(version)), "Go")


def toolchain_release(version: str) -> str:
    """ "1.22.3" of "go1.22.3", "go1.22.3 X:boringcrypto", "go1.22.3-company" and BoringCrypto's "go1.22.3b7".

    What is no release ("devel go1.24-1a2b3c") stays as it is, and compares with none.
    """
    if version[:2] != "go" or not is_digits(version[2:3]):
        return version
    release = version.removeprefix("go").split()[0].partition("-")[0].partition("+")[0]
    patched, b, build = release.rpartition("b")
    return patched if b and is_digits(build) and patched.count(".") == 2 else release


def _semantic(version: str) -> str:
    """The toolchain's own forms as OSV writes them, after Go's internal/gover; any other stays as it is."""
    major, dot, rest = version.partition(".")
    if "." in rest or bool(dot) != bool(rest) or not is_digits(major):
        return version
    letters = rest.rstrip("0123456789")
    if not letters:
        # Go 1.21 was the first whose release is 1.21.0, and 1.21 the language, older than any 1.21rc1.
        is_language_version = (len(rest), rest) >= (2, "21")
        return f"{major}.{rest or '0'}.0{'-0' if is_language_version else ''}"
    minor = letters.rstrip("abcdefghijklmnopqrstuvwxyz")
    kind, count = letters[len(minor) :], rest[len(letters) :]
    return f"{major}.{minor}.0-{kind}{'.' if count else ''}{count}" if is_digits(minor) and kind else version
