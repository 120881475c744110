"""Reading R's libraries and of renv's lockfile, and how R's versions compare."""

import io
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.scanner.layers import (
    DEBIAN,
    make_dpkg_list,
    make_file,
    make_image,
    make_stanza,
    make_status,
    make_whiteouts,
    read_image,
)

from dockgate.scanner.ecosystems.cran import ECOSYSTEM, FILE_LIMIT
from dockgate.scanner.ecosystems.dpkg import ECOSYSTEM as DPKG
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UncomparableError, UnreadableError, UsageError
from dockgate.shared.purl import Purl

DATA = Path(__file__).parent / "data" / "cran"
LIBRARY = "usr/local/lib/R/site-library"
PATH = f"{LIBRARY}/commonmark/DESCRIPTION"
COMMONMARK = (DATA / "commonmark" / "DESCRIPTION").read_bytes()
BIOC = (DATA / "BiocGenerics" / "DESCRIPTION").read_bytes()
LOCK = (DATA / "renv.lock").read_bytes()
BIOCONDUCTOR = "repository_url=https:%2F%2Fbioconductor.org"
BUILT = "Built: R 4.5.0; ; 2025-04-29 22:53:03 UTC; unix\n"


def read(content: str | bytes, path: str = PATH) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content.encode() if isinstance(content, str) else content))


def list_purls(extract: Extract) -> list[str]:
    return [package.purl for package in extract.packages]


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        (PATH, True),
        ("renv/library/R-4.5/x86_64-pc-linux-gnu/rlang/DESCRIPTION", True),
        ("DESCRIPTION", False),
        (f"{LIBRARY}/commonmark/DESCRIPTION.md", False),
        (f"{LIBRARY}/commonmark/MY_DESCRIPTION", False),
        ("app/renv.lock", True),
        ("renv.lock", True),
        ("app/my-renv.lock", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_an_installed_package_owns_its_folder() -> None:
    extract = read(COMMONMARK)
    (package,) = extract.packages
    assert (package.name, package.version, package.ecosystem) == ("commonmark", "1.9.5", "CRAN")
    assert (package.source_name, package.source_version) == ("commonmark", "1.9.5")
    assert package.purl == "pkg:cran/commonmark@1.9.5"
    assert extract.owns == {package.purl: (f"{LIBRARY}/commonmark/",)}
    assert not extract.is_lockfile


@pytest.mark.parametrize("lacks", [b"", b"\nRepository: Bioconductor", b"\ngit_url: https://git.bioconductor.org"])
def test_a_package_of_bioconductor_is_of_another_ecosystem(lacks: bytes) -> None:
    """Releases before 2024 say it by `git_url` alone."""
    (package,) = read(BIOC.replace(lacks, b"\nX: ") if lacks else BIOC).packages
    assert (package.ecosystem, package.purl) == ("Bioconductor", f"pkg:cran/BiocGenerics@0.52.0?{BIOCONDUCTOR}")


def test_a_source_is_not_installed() -> None:
    assert read(COMMONMARK.replace(b"\nBuilt:", b"\nBuild:")) == Extract()
    assert read("Some words about R.\n") == Extract()


@pytest.mark.parametrize("name", ["stats", "translations"])
def test_base_packages_of_r_are_not_those_of_cran(name: str) -> None:
    assert read(f"Package: {name}\nVersion: 4.5.0\nPriority: base\n{BUILT}") == Extract()


@pytest.mark.parametrize(
    "package", ["Package: base\n", "Package: MASS\nPriority: base\n", "Package: x\nPriority: base\n"]
)
def test_other_base_packages_are_from_cran(package: str) -> None:
    (read_package,) = read(f"{package}Version: 1.0\n{BUILT}").packages
    assert read_package.ecosystem == "CRAN"


def test_r_itself_is_listed_once_and_undetermined() -> None:
    (package,) = read(f"Package: base\nVersion: 4.5.0\nPriority: base\n{BUILT}").packages
    assert (package.purl, package.ecosystem) == ("pkg:generic/R@4.5.0", "R")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"\n \nPackage: a\nVersion:\n 1.0\n{BUILT}", "pkg:cran/a@1.0"),
        (f"Package:   a  \r\nVersion:\t1.0-2\r\n{BUILT}", "pkg:cran/a@1.0-2"),
        (f"Title: x\n  Package: b\nPackage: a\nVersion: 1.0\n{BUILT}\nVersion: 9.9\n", "pkg:cran/a@1.0"),
        (f"{BUILT}Package: a\nVersion: 1.0\nno field\n", "pkg:cran/a@1.0"),
    ],
)
def test_a_description_is_read_as_r_reads_it(content: str, expected: str) -> None:
    assert list_purls(read(content)) == [expected]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f"Version: 1.0\n{BUILT}", "it has no Package"),
        (f"Package: a\n{BUILT}", "it has no Version"),
        (f"Package: a\nVersion: 1.0\nVersion: 2.0\n{BUILT}", "it has two fields Version"),
        (b" " * (FILE_LIMIT + 1), f"no more than {FILE_LIMIT}"),
    ],
)
def test_a_description_that_names_no_package_is_unreadable(content: str | bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_a_lockfile_names_what_renv_would_install() -> None:
    extract = read(LOCK, "app/renv.lock")
    assert (list_purls(extract), extract.is_lockfile, extract.owns) == (["pkg:cran/commonmark@1.9.5"], True, {})
    packages = {"limma": {"Version": "3.62.2", "Source": "Bioconductor"}, "a": {"Package": "a"}, "b": 1}
    extract = read(json.dumps({"Packages": packages}), "renv.lock")
    assert list_purls(extract) == [f"pkg:cran/limma@3.62.2?{BIOCONDUCTOR}"]
    assert extract.unread_parts == (("a", "it has no version"), ("b", "it has no version"))
    assert read("{}", "renv.lock").packages == ()
    with pytest.raises(UnreadableError, match="is not a JSON object"):
        read('{"Packages": []}', "renv.lock")


def test_package_url_becomes_a_package() -> None:
    package = ECOSYSTEM.build_from_purl(Purl("cran", "", "rJava", "1.0-4"), None)
    assert (package.source_name, package.source_version, package.ecosystem) == ("rJava", "1.0-4", "CRAN")
    arguments = {"repository_url": "https://bioconductor.org"}
    package = ECOSYSTEM.build_from_purl(Purl("cran", "", "limma", "3.62.2", arguments), None)
    assert (package.ecosystem, package.purl) == ("Bioconductor", f"pkg:cran/limma@3.62.2?{BIOCONDUCTOR}")
    with pytest.raises(UsageError, match="no version"):
        ECOSYSTEM.build_from_purl(Purl("cran", "", "rJava"), None)


def test_package_owned_by_dpkg_belongs_to_the_distribution() -> None:
    database = make_status(make_stanza("r-cran-commonmark", "1.9.5-1"))
    path = "usr/lib/R/site-library/commonmark/DESCRIPTION"
    base = [
        make_file("etc/os-release", DEBIAN),
        database,
        make_file(path, COMMONMARK),
        make_dpkg_list("r-cran-commonmark", path),
    ]
    inventory = read_image(make_image(base), [DPKG, ECOSYSTEM])
    assert {package.purl.partition("@")[0]: package.owner for package in inventory.packages} == {
        "pkg:deb/debian/r-cran-commonmark": None,
        "pkg:cran/commonmark": "r-cran-commonmark",
    }


def test_removed_description_with_code_left_is_unread() -> None:
    base = [
        make_file("etc/os-release", DEBIAN),
        make_file(PATH, COMMONMARK),
        make_file(f"{LIBRARY}/commonmark/R/commonmark"),
    ]
    for edit in (make_whiteouts(PATH), [make_file(PATH, COMMONMARK.replace(b"\nBuilt:", b"\nBuild:"))]):
        reasons = "".join(entry.reason for entry in read_image(make_image(base, edit), [ECOSYSTEM]).unread)
        assert f"{PATH} no longer lists commonmark 1.9.5" in reasons
    newer = [make_file(PATH, COMMONMARK.replace(b"1.9.5", b"2.0.0")), base[2]]
    inventory = read_image(make_image(base, newer), [ECOSYSTEM])
    assert [package.version for package in inventory.packages] == ["2.0.0"]
    assert "commonmark" not in "".join(entry.reason for entry in inventory.unread)


@settings(deadline=None, max_examples=scale_examples(300))
@given(
    content=st.sampled_from([COMMONMARK, BIOC, LOCK]),
    cut=st.integers(0, 2000),
    splice=st.binary(max_size=12) | st.sampled_from([b"\nVersion: ", b"\n\n", b"\nPackage", b"{", b'"Version": ']),
    path=st.sampled_from([PATH, "renv.lock"]),
)
def test_damaged_files_are_read_or_unreadable(content: bytes, cut: int, splice: bytes, path: str) -> None:
    with suppress(UnreadableError):
        extract = read(content[:cut] + splice + content[cut + len(splice) :], path)
        assert all(package.name and package.version for package in extract.packages)


@pytest.mark.parametrize("version", ["", " ", "1.0 ", " 1.0", "1.0\n", "\ud800", "1\0.0", "⁵.1"])
def test_invalid_versions_are_refused(version: str) -> None:
    with pytest.raises(UncomparableError):
        ECOSYSTEM.make_version_key(version)
