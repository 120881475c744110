"""How apk versions compare: apk-package(5), as a byte string for each version."""

from dockgate.scanner.formats.order import is_digits, number
from dockgate.shared.errors import UncomparableError

_PRE_SUFFIXES = {"alpha": 1, "beta": 2, "pre": 3, "rc": 4}
_POST_SUFFIXES = {"cvs": 1, "svn": 2, "git": 3, "hg": 4, "p": 5}
_SUFFIXES = _PRE_SUFFIXES | _POST_SUFFIXES
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_HEX = frozenset("0123456789abcdef")


def version_key(version: str) -> bytes:
    """Encode a version; refuses what `apk version --check` refuses (apk-tools, src/version.c).

    One addition: a number after the letter ("5.1p1-r0"), which apk-tools 2 accepts and 3 refuses.
    """
    return _VersionParser(version).key()


class _VersionParser:
    """A version that is being encoded: digit{.digit}...{letter}{_suffix{number}}...{~hash}{-r#}.

    At the first difference, a pre-release suffix ("_rc") sorts before the end, and a part that may come early in a
    version sorts after one that comes late. The marks in the key have that order.
    """

    def __init__(self, version: str) -> None:
        self.version = version
        self.rest = version

    def key(self) -> bytes:
        key = bytearray(number(self._digits()))
        self._components(key)
        while self._take("_"):
            name = self._span(_LETTERS)
            if name not in _SUFFIXES:
                raise self._refused(f"has the unknown suffix {name!r}")
            key.append((0x01 if name in _PRE_SUFFIXES else 0x20) + _SUFFIXES[name])
            if is_digits(self.rest[:1]):
                key.append(0x13)
                key += number(self._digits())
        if self._take("~"):
            commit = self._span(_HEX)
            if not commit:
                raise self._refused("has an empty commit")
            key.append(0x12)
            key += commit.encode("ascii") + b"\0"
        if self._take("-r"):
            key.append(0x11)
            key += number(self._digits())
        if self.rest:
            raise self._refused(f"has {self.rest!r} where nothing is expected")
        key.append(0x10)
        return bytes(key)

    def _components(self, key: bytearray) -> None:
        """Encode numbers and a letter. A number with a leading 0 compares as text, before all others."""
        while True:
            if self._take("."):
                digits = self._digits()
                key.append(0x40)
                key += b"\0" + digits.encode("ascii") + b"\0" if digits[0] == "0" else b"\1" + number(digits)
            elif self.rest[:1] and self.rest[0] in _LETTERS:
                key.append(0x30)
                key += self.rest[0].encode("ascii")
                self.rest = self.rest[1:]
                if not is_digits(self.rest[:1]):
                    return
                key.append(0x40)
                key += number(self._digits())
            else:
                return

    def _digits(self) -> str:
        digits = self._span("0123456789")
        if not digits:
            raise self._refused("lacks a number")
        return digits

    def _take(self, mark: str) -> bool:
        is_next = self.rest.startswith(mark)
        if is_next:
            self.rest = self.rest[len(mark) :]
        return is_next

    def _span(self, allowed: str | frozenset[str]) -> str:
        end = next((at for at, char in enumerate(self.rest) if char not in allowed), len(self.rest))
        taken, self.rest = self.rest[:end], self.rest[end:]
        return taken

    def _refused(self, why: str) -> UncomparableError:
        return UncomparableError(f"The apk version {self.version!r} {why}.")
