"""The order of NuGet versions: NuGet.Versioning's, as a byte string for each version."""

from dockgate.scanner.formats.order import encode_number, is_at_most, is_digits, is_label
from dockgate.shared.errors import UncomparableError

INT_MAX = 2**31 - 1  # the largest number in a version, and the largest label that compares as a number (System.Int32)


def make_version_key(version: str) -> bytes:
    """One to four numbers, labels in any case: NuGetVersion and VersionComparer, also in what is refused."""
    plain, plus, build = version.strip().partition("+")
    core, dash, pre = plain.partition("-")
    numbers = [part.strip() for part in core.split(".")]
    if (
        len(numbers) > 4
        or not all(is_digits(part) and is_at_most(part, INT_MAX) for part in numbers)
        or (plus and not all(map(is_label, build.split("."))))
    ):
        raise UncomparableError(f"the NuGet version {version!r} is invalid")
    key = b"".join(map(encode_number, [*numbers, "", "", ""][:4]))
    if not dash:
        return key + b"\x03"
    for label in pre.split("."):
        if not is_label(label) or (is_digits(label) and label[0] == "0" and label != "0"):
            raise UncomparableError(f"the NuGet version {version!r} has a malformed label")
        key += _encode_label(label)
    return key + b"\x00"


def _encode_label(label: str) -> bytes:
    """Encode a label: numbers, which may be negative for .NET, sort before text."""
    digits = label.removeprefix("-")
    if is_digits(digits) and len(digits.lstrip("0")) <= 10:
        value = int(label)
        if -INT_MAX - 1 <= value <= INT_MAX:
            return b"\x01" + (value + INT_MAX + 1).to_bytes(4, "big")
    return b"\x02" + label.upper().encode("ascii") + b"\x00"
