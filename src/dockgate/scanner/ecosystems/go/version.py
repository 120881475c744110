"""The order of Go versions, of modules and of the toolchain, as a byte string for each version."""

from dockgate.scanner.formats import semver
from dockgate.scanner.formats.order import is_digits


def make_version_key(version: str) -> bytes:
    """Encode a version by golang.org/x/mod/semver, or by go/version for the toolchain.

    A leading "v" may be missing, as in OSV. "go1.22rc1", "1.22rc1" and OSV's "1.22.0-rc.1" are equal. Build data is
    ignored ("+incompatible", "+dirty"). A bare "1.22" is the toolchain's, which sorts before its release candidates
    from 1.21 on; "v1.22" is v1.22.0.
    """
    if version.startswith("v"):
        return semver.make_version_key(version[1:], "Go", minimum_parts=1)
    return semver.make_version_key(_translate_version(parse_toolchain_release(version)), "Go")


def parse_toolchain_release(version: str) -> str:
    """Return the toolchain's release: "1.22.3" of "go1.22.3 X:boringcrypto" and of "go1.22.3-company".

    Also of BoringCrypto's "go1.22.3b7". A development version ("devel go1.24-1a2b3c") compares with none.
    """
    if version[:2] != "go" or not is_digits(version[2:3]):
        return version
    release = version.removeprefix("go").split()[0].partition("-")[0].partition("+")[0]
    patched_release, b, build = release.rpartition("b")
    return patched_release if b and is_digits(build) and patched_release.count(".") == 2 else release


def _translate_version(version: str) -> str:
    """Translate the toolchain's own forms into OSV's (Go, internal/gover); return others unchanged."""
    major, dot, minor_and_patch = version.partition(".")
    if "." in minor_and_patch or bool(dot) != bool(minor_and_patch) or not is_digits(major):
        return version
    letters = minor_and_patch.rstrip("0123456789")
    if not letters:
        # Since Go 1.21, the first release is 1.21.0; 1.21 is the language, older than any 1.21rc1.
        is_language_version = (len(minor_and_patch), minor_and_patch) >= (2, "21")
        return f"{major}.{minor_and_patch or '0'}.0{'-0' if is_language_version else ''}"
    minor = letters.rstrip("abcdefghijklmnopqrstuvwxyz")
    kind, count = letters[len(minor) :], minor_and_patch[len(letters) :]
    return f"{major}.{minor}.0-{kind}{'.' if count else ''}{count}" if is_digits(minor) and kind else version
