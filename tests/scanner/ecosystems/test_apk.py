"""Reading apk's files, and what the distribution adds."""

import io
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples

from dockgate.scanner.ecosystems.apk import ECOSYSTEM, REPOSITORIES, REPOSITORIES_LIMIT, SIZE_LIMIT
from dockgate.scanner.ecosystems.apk.installed import LINE_LIMIT, PACKAGES_LIMIT
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.purl import Purl

INSTALLED = "lib/apk/db/installed"
MADE = (Path(__file__).parent / "data" / "apk" / "installed").read_bytes()
MUSL = b"P:musl\nV:1.2.4-r2\nA:x86_64\n"
ALPINE = Distribution("alpine", "3.19.1", "Alpine Linux v3.19")


def read(content: bytes, path: str = INSTALLED) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content))


def release(content: str) -> str | None:
    return read(content.encode(), REPOSITORIES).release


@pytest.fixture
def utils() -> Package:
    return next(package for package in read(MADE).packages if package.name == "musl-utils")


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        ("lib/apk/db/installed", True),
        ("usr/lib/apk/db/installed", True),
        ("etc/apk/repositories", True),
        ("lib/apk/db/installed.old", False),
        ("lib/apk/db/scripts.tar", False),
        ("etc/apk/world", False),
        ("root/lib/apk/db/installed", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted
    assert not is_wanted or path.startswith(ECOSYSTEM.triggers.prefixes)


def test_packages_are_named_with_their_origin() -> None:
    extract = read(MADE, "usr/lib/apk/db/installed")
    assert [
        (package.name, package.version, package.arch, package.source_name, package.source_version)
        for package in extract.packages
    ] == [
        ("musl", "1.2.4_git20230717-r4", "x86_64", "musl", "1.2.4_git20230717-r4"),
        ("musl-utils", "1.2.4_git20230717-r4", "x86_64", "musl", "1.2.4_git20230717-r4"),
        ("busybox", "1.36.1-r15", "x86_64", "busybox", "1.36.1-r15"),
        ("ca-certificates", "20230506-r0", "x86_64", "ca-certificates", "20230506-r0"),
    ]
    assert {package.path for package in extract.packages} == {"usr/lib/apk/db/installed"}


def test_a_package_owns_its_files() -> None:
    assert read(MADE).owns == {
        "musl": ("lib/ld-musl-x86_64.so.1", "lib/libc.musl-x86_64.so.1"),
        "musl-utils": ("sbin/ldconfig", "usr/bin/getconf", "usr/bin/ldd"),
        "busybox": ("bin/busybox",),
        "ca-certificates": (".keep",),
    }


def test_virtual_package_counts_only_with_files() -> None:
    virtual = b"P:.build-deps\nV:20240115.101530\nT:virtual meta package\n"
    assert read(virtual).packages == ()
    assert [item.name for item in read(virtual + b"F:bin\nR:sh\n").packages] == [".build-deps"]
    assert [item.name for item in read(virtual.replace(b"virtual ", b"")).packages] == [".build-deps"]


def test_package_without_origin_is_its_own_source() -> None:
    (package,) = read(b"\n\n" + MUSL + b"o:\n").packages
    assert package.source_name == "musl"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (MUSL + b"\nP:busybox\n", "line 5: the entry that begins here has no V"),
        (MUSL + b"\nV:1\n", "line 5: the entry that begins here has no P"),
        (MUSL + b"V:2\n", "line 4: V occurs twice"),
        (MUSL + b"F:bi", "line 4 has no end"),
        (MUSL + b"nonsense\n", "line 4 is not a field"),
        (MUSL + b" :x\n", "line 4 is not a field"),
        (b"\x7fELF\n", "line 1 is not a field"),
        (b"\0" * 100, "line 1 has no end"),
    ],
)
def test_a_corrupt_database_is_unreadable_and_says_where(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_invalid_utf8_is_read() -> None:
    extract = read(MUSL.replace(b"1.2.4", b"1\xff") + b"F:bin\nR:\xff\n")
    assert (extract.packages[0].version, extract.owns) == ("1\ufffd-r2", {"musl": ("bin/\udcff",)})


def test_a_file_too_large_is_unreadable(tmp_path: Path) -> None:
    for path, limit in ((INSTALLED, SIZE_LIMIT), (REPOSITORIES, REPOSITORIES_LIMIT)):
        with (tmp_path / "sparse").open("wb+") as file:
            file.truncate(limit + 1)
            with pytest.raises(UnreadableError, match=f"no more than {limit}"):
                ECOSYSTEM.read(path, file)
    with pytest.raises(UnreadableError, match=f"longer than {LINE_LIMIT}"):
        read(b"P:" + b"a" * LINE_LIMIT + b"\n")


@pytest.mark.parametrize("between", [b"", b"\nP:x\nV:1\nF:" + b"a" * 500_000 + b"\n"], ids=["one entry", "many"])
def test_memory_for_paths_is_limited(between: bytes) -> None:
    folder = b"F:" + b"a" * 500_000 + b"\n"
    before = time.process_time()
    with pytest.raises(UnreadableError, match="too many or too long"):
        read(MUSL + folder + (between + b"R:b\n" * 20) * 100)
    assert time.process_time() - before < 5


@pytest.mark.slow
def test_the_most_packages_are_read() -> None:
    assert len(read(b"P:a\nV:1\n\n" * PACKAGES_LIMIT).packages) == PACKAGES_LIMIT


def test_too_many_packages_are_unreadable() -> None:
    with pytest.raises(UnreadableError, match=f"more than {PACKAGES_LIMIT}"):
        read(b"P:a\nV:1\n\n" * (PACKAGES_LIMIT + 1))


def test_changed_bytes_are_read_or_unreadable_but_never_crash() -> None:
    @settings(max_examples=scale_examples(300), deadline=None, database=None, derandomize=True)
    @given(st.lists(st.tuples(st.integers(0, len(MADE) - 1), st.integers(0, 255)), min_size=1, max_size=20))
    def check(changes: list[tuple[int, int]]) -> None:
        content = bytearray(MADE)
        for at, value in changes:
            content[at] = value
        for path in (INSTALLED, REPOSITORIES):
            with suppress(UnreadableError):
                read(bytes(content), path)

    check()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "http://mirror.example/alpine/v3.19/main\nhttp://mirror.example/alpine/v3.19/community\n",
            "v3.19",
        ),
        ("http://mirror.example/alpine/edge/main/\n", "edge"),
        ("http://mirror.example/alpine/v3.9/main\nhttp://mirror.example/alpine/v3.10/main\n", "v3.10"),
        ("http://mirror.example/v3.19/main\n@testing http://mirror.example/edge/testing\n", "v3.19"),
        ("http://mirror.example/v3.19/main\nhttp://mirror.example/edge/main\n", "edge"),
        ("#http://mirror.example/edge/main\n  \nhttp://mirror.example/v3.19/main\n", "v3.19"),
        ("https://packages.wolfi.dev/os\n", None),
        ("/var/cache/v3/main\nhttp://example/v3.19.1/main\nhttp://example/v/main\n", None),
        ("http://example/v" + "9" * 5000 + ".1/main\n", None),
        ("", None),
    ],
)
def test_repositories_state_the_release(content: str, expected: str | None) -> None:
    assert release(content) == expected
    assert read(content.encode(), REPOSITORIES) == Extract(release=expected)


@pytest.mark.parametrize(
    ("distribution", "ecosystem"),
    [
        (ALPINE, "Alpine:v3.19"),
        (Distribution("alpine", "3.19.1", repository="v3.20"), "Alpine:v3.20"),
        (Distribution("alpine", "3.19.1", repository="edge"), "Alpine:edge"),
        (Distribution("alpine", "3.20_alpha20231219"), "Alpine:edge"),
        (Distribution("alpine", "3.19"), "Alpine:v3.19"),
        (Distribution("alpine", ""), "Alpine"),
        (Distribution("wolfi", "20230201"), "Wolfi"),
        (Distribution("chainguard", "20230214"), "Chainguard"),
        (Distribution("minimos", "20240101"), "MinimOS"),
        (Distribution("alpaquita", "23"), "Alpaquita:23"),
        (Distribution("alpaquita", "stream"), "Alpaquita:stream"),
        (Distribution("postmarketos", "24.06"), "postmarketos:24.06"),
        (Distribution("unknown", ""), "unknown"),
    ],
)
def test_the_distribution_names_the_ecosystem(distribution: Distribution, ecosystem: str, utils: Package) -> None:
    assert ECOSYSTEM.assign_distribution(utils, distribution).ecosystem == ecosystem


@pytest.mark.parametrize(
    ("distribution", "source"),
    [
        (ALPINE, "musl"),
        (Distribution("alpaquita", "stream"), "musl"),
        (Distribution("minimos", "20241031"), "musl"),
        (Distribution("wolfi", "20230201"), "musl-utils"),
        (Distribution("chainguard", "20230214"), "musl-utils"),
    ],
)
def test_advisories_name_the_origin_except_for_chainguard(
    distribution: Distribution, source: str, utils: Package
) -> None:
    assigned_package = ECOSYSTEM.assign_distribution(utils, distribution)
    assert (assigned_package.source_name, assigned_package.source_version) == (source, utils.version)
    arguments = {"distro": distribution.id, "upstream": "musl"}
    rebuilt_package = ECOSYSTEM.build_from_purl(
        Purl("apk", distribution.id, utils.name, utils.version, arguments), None
    )
    assert rebuilt_package.source_name == source
    assert "upstream=musl" in assigned_package.purl
    assert "upstream=musl" in rebuilt_package.purl


def test_package_urls_contain_the_origin(utils: Package) -> None:
    assigned_package = ECOSYSTEM.assign_distribution(utils, ALPINE)
    version = "1.2.4_git20230717-r4"
    assert (
        assigned_package.purl == f"pkg:apk/alpine/musl-utils@{version}?arch=x86_64&distro=alpine-3.19.1&upstream=musl"
    )
    assert ECOSYSTEM.assign_distribution(assigned_package, ALPINE) == assigned_package


@pytest.mark.parametrize("upstream", ["musl", "musl@1.2.4"])
def test_own_package_url_parses_to_the_same_package(upstream: str, utils: Package) -> None:
    assigned_package = ECOSYSTEM.assign_distribution(utils, ALPINE)
    arguments = {"arch": "x86_64", "distro": "alpine-3.19.1", "upstream": upstream}
    rebuilt_package = ECOSYSTEM.build_from_purl(
        Purl("apk", "alpine", utils.name, utils.version, arguments), Distribution("wolfi", "")
    )
    assert rebuilt_package.path == ""
    assert rebuilt_package.purl == assigned_package.purl
    assert (rebuilt_package.ecosystem, rebuilt_package.source_name, rebuilt_package.source_version) == (
        "Alpine:v3.19",
        "musl",
        utils.version,
    )


def test_distribution_of_a_package_url_without_qualifier() -> None:
    purl = Purl("apk", "wolfi", "musl", "1.2.5-r0")
    assert ECOSYSTEM.build_from_purl(purl, ALPINE).ecosystem == "Alpine:v3.19"
    assert ECOSYSTEM.build_from_purl(purl, None).ecosystem == "Wolfi"
    unqualified_package = ECOSYSTEM.build_from_purl(Purl("apk", "", "musl", "1.2.5-r0", {"distro": ""}), None)
    assert (unqualified_package.ecosystem, unqualified_package.purl) == ("", "pkg:apk/musl@1.2.5-r0")


@pytest.mark.parametrize(
    ("distro", "ecosystem"),
    [("alpine-3.19.1", "Alpine:v3.19"), ("3.19.1", "Alpine:v3.19"), ("wolfi-20230201", "Wolfi"), ("wolfi", "Wolfi")],
)
def test_package_url_states_the_distribution(distro: str, ecosystem: str) -> None:
    assert (
        ECOSYSTEM.build_from_purl(Purl("apk", "alpine", "musl", "1", {"distro": distro}), None).ecosystem == ecosystem
    )


def test_package_url_needs_a_version() -> None:
    with pytest.raises(UsageError, match="no version"):
        ECOSYSTEM.build_from_purl(Purl("apk", "alpine", "musl"), None)
