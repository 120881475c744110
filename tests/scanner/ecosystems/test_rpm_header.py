"""Reading an rpm header. They are written by hand here: rpm makes neither broken ones nor those of rpm 3."""

import struct

import pytest

from dockgate.scanner.ecosystems.rpm.headers import FOLDER_LIMIT, TAGS_LIMIT, VALUES_LIMIT, Header, parse_header
from dockgate.shared.errors import UnreadableError

LIMIT = 1 << 20
NAME, VERSION, RELEASE, EPOCH, VENDOR, ARCH, SOURCE, MODULE = 1000, 1001, 1002, 1003, 1011, 1022, 1044, 5096
OLD_FILES, STATES, MODES, FLAGS, FOLDERS_AT, BASES, FOLDERS = 1027, 1029, 1030, 1037, 1116, 1117, 1118
INTEGERS = {STATES: (1, "B"), MODES: (3, "H"), FLAGS: (4, "I"), FOLDERS_AT: (4, "I"), EPOCH: (4, "I")}

Value = str | list[str] | list[int]


def make_header(*tags: tuple[int, Value]) -> bytes:
    """A header with these tags, in this order."""
    index, data = b"", b""
    for tag, value in tags:
        offset = len(data)
        if isinstance(value, str):
            kind, count = 6, 1
            data += value.encode("utf-8", "surrogateescape") + b"\0"
        elif tag in INTEGERS:
            (kind, letter), count = INTEGERS[tag], len(value)
            data += struct.pack(f">{count}{letter}", *value)
        else:
            kind, count = 8, len(value)
            data += b"".join(str(text).encode("utf-8", "surrogateescape") + b"\0" for text in value)
        index += struct.pack(">IIII", tag, kind, offset, count)
    return struct.pack(">II", len(tags), len(data)) + index + data


BASH: tuple[tuple[int, Value], ...] = ((NAME, "bash"), (VERSION, "5.1.8"), (RELEASE, "9.el9"), (ARCH, "x86_64"))
LISTED: tuple[tuple[int, Value], ...] = (
    (FOLDERS, ["/usr/bin/", "/usr/share/doc/"]),
    (FOLDERS_AT, [0, 1, 0, 0, 0]),
    (BASES, ["bash", "bash", "sh", "log", "b\udcff"]),
)


def test_a_header_says_what_the_package_is() -> None:
    tags = ((EPOCH, [7]), (SOURCE, "bash-5.1.8-9.el9.src.rpm"), (MODULE, "bash:5:1:a"), (VENDOR, "Rocky"))
    parsed_header = parse_header(make_header(*BASH, *tags), LIMIT)
    assert parsed_header == Header(
        "bash", 7, "5.1.8", "9.el9", "x86_64", "bash-5.1.8-9.el9.src.rpm", "bash:5:1:a", "Rocky", ()
    )


def test_an_absent_epoch_is_0() -> None:
    assert parse_header(make_header(*BASH), LIMIT).epoch == 0


def test_a_later_entry_takes_the_place_of_an_earlier_one() -> None:
    assert parse_header(make_header(*BASH, (VERSION, "6")), LIMIT).version == "6"


def test_files_are_listed_without_folders_ghosts_and_what_was_not_installed() -> None:
    modes: list[int] = [0o100755, 0o040755, 0o120777, 0o100644, 0o100644]
    parsed_header = parse_header(make_header(*BASH, *LISTED, (MODES, modes), (FLAGS, [0, 0, 0, 64, 2])), LIMIT)
    assert parsed_header.files == ("usr/bin/bash", "usr/bin/sh", "usr/bin/b\udcff")
    assert parse_header(make_header(*BASH, *LISTED, (STATES, [0, 1, 2, 3, 4])), LIMIT).files == (
        "usr/bin/bash",
        "usr/bin/log",
    )


def test_files_of_rpm_3_are_listed_whole() -> None:
    parsed_header = parse_header(
        make_header(*BASH, (OLD_FILES, ["/bin/bash", "/bin"]), (MODES, [0o100755, 0o040755])), LIMIT
    )
    assert parsed_header.files == ("bin/bash",)


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"", "truncated"),
        (make_header(*BASH)[:-1], "its size does not match its 4 tags"),
        (make_header(*BASH) + b"\0", "its size does not match its 4 tags"),
        (
            struct.pack(">II", TAGS_LIMIT + 1, 0) + b"\0" * 16 * (TAGS_LIMIT + 1),
            "its size does not match its 65536 tags",
        ),
        (make_header(*BASH[1:]), "no name"),
        (make_header(BASH[0]), "no version"),
        (make_header(*BASH, (BASES, [1])).replace(b"1\0", b"11"), "tag 1117"),
        (
            make_header(*BASH, (EPOCH, [7])).replace(struct.pack(">II", EPOCH, 4), struct.pack(">II", EPOCH, 6)),
            "tag 1003",
        ),
        (make_header(*BASH, (EPOCH, "7")), "tag 1003"),
        (
            make_header((NAME, "x"), (VERSION, "1")).replace(struct.pack(">II", NAME, 6), struct.pack(">II", NAME, 4)),
            "1000",
        ),
        (make_header(*BASH, (BASES, ["a"])), "do not match"),
        (make_header(*BASH, (BASES, ["a"]), (FOLDERS_AT, [1]), (FOLDERS, ["/"])), "do not match"),
        (make_header(*BASH, *LISTED, (MODES, [0])), "is inconsistent"),
        (make_header(*BASH, (FOLDERS, ["/" * (FOLDER_LIMIT + 1)])), f"more than {FOLDER_LIMIT} bytes"),
    ],
)
def test_a_broken_header_is_unreadable_and_says_why(blob: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        parse_header(blob, LIMIT)


@pytest.mark.parametrize(("tag", "kind"), [(BASES, 8), (STATES, 2)])
def test_a_tag_with_too_many_values_is_unreadable(tag: int, kind: int) -> None:
    count = VALUES_LIMIT + 1
    index = struct.pack(">IIIIIIII", NAME, 6, 0, 1, VERSION, 6, 0, 1) + struct.pack(">IIII", tag, kind, 2, count)
    index += struct.pack(">IIII", OLD_FILES, 8, 0, 1) if tag == STATES else b""
    data = b"a\0" + b"\0" * count
    with pytest.raises(UnreadableError, match=f"tag {tag} has {count} values"):
        parse_header(struct.pack(">II", len(index) // 16, len(data)) + index + data, LIMIT)


def test_memory_for_paths_is_limited() -> None:
    folder = "/" + "a" * (FOLDER_LIMIT - 1)
    blob = make_header(*BASH, (FOLDERS, [folder]), (FOLDERS_AT, [0] * 10_000), (BASES, ["b"] * 10_000))
    many_paths = make_header(*BASH, (OLD_FILES, ["/"] * 20_000))
    for hostile in (blob, many_paths):
        with pytest.raises(UnreadableError, match="too many or too long"):
            parse_header(hostile, LIMIT)
