"""Reading opam's switches and lockfiles, and how the versions of OCaml's packages compare."""

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.scanner.ecosystems.orders import compare_versions
from tests.scanner.layers import DEBIAN, make_file, make_image, make_whiteouts, read_image

from dockgate.scanner.ecosystems.opam import ECOSYSTEM, FILE_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.purl import Purl

DATA = Path(__file__).parent / "data" / "opam"
DESCRIPTION, STATE, LOCKED = ((DATA / name).read_bytes() for name in ("opam", "switch-state", "app.opam.locked"))
SWITCH = "home/opam/.opam/default"
OPAM_SWITCH = f"{SWITCH}/.opam-switch"
PATH = f"{OPAM_SWITCH}/packages/hello.1.0~rc1/opam"
LOCK = "src/app.opam.locked"


def read(content: bytes, path: str) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content))


def list_purls(extract: Extract) -> list[str]:
    return [package.purl for package in extract.packages]


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        (PATH, True),
        ("src/_opam/.opam-switch/packages/a.1/opam", True),
        (".opam-switch/packages/a.1/opam", True),
        (f"{OPAM_SWITCH}/overlay/a/opam", False),
        ("src/opam", False),
        ("usr/bin/opam", False),
        (f"{OPAM_SWITCH}/switch-state", True),
        (".opam-switch/switch-state", True),
        ("src/switch-state", False),
        (LOCK, True),
        ("opam.locked", True),
        ("src/opam.locked", True),
        ("src/other.locked", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_an_installed_package_owns_its_library() -> None:
    extract = read(DESCRIPTION, PATH)
    (package,) = extract.packages
    assert (package.name, package.version, package.ecosystem) == ("hello", "1.0~rc1", "opam")
    assert package.purl == "pkg:opam/hello@1.0~rc1"
    assert extract.owns == {package.purl: (f"{SWITCH}/lib/hello/",)}
    assert not extract.is_lockfile
    assert read(b"", ".opam-switch/packages/a.1/opam").owns == {"pkg:opam/a@1": ("lib/a/",)}


@pytest.mark.parametrize("folder", ["hello", "hello.", ".1", "a.1/b"])
def test_a_folder_that_is_not_called_by_a_package_is_unreadable(folder: str) -> None:
    with pytest.raises(UnreadableError, match=r"not NAME\.VERSION"):
        read(DESCRIPTION, f"{OPAM_SWITCH}/packages/{folder}/opam")


def test_a_state_and_a_lockfile_name_what_is_to_be_installed() -> None:
    for content, path in ((STATE, f"{OPAM_SWITCH}/switch-state"), (LOCKED, LOCK)):
        extract = read(content, path)
        assert list_purls(extract) == ["pkg:opam/conf-a@2", "pkg:opam/hello@1.0~rc1"]
        assert (extract.is_lockfile, extract.owns) == (True, {})
    assert read(b'roots: ["a.1"]\n', f"{OPAM_SWITCH}/switch-state") == Extract(is_lockfile=True)


def test_comments_texts_and_filters_are_parsed() -> None:
    state = b'synopsis: """installed: ["a.1"]"""\n# installed: [\ninstalled: ["b.1" # "c.1"\n"d.1.2"(* "e.1" ] *)]'
    assert list_purls(read(state, f"{OPAM_SWITCH}/switch-state")) == ["pkg:opam/b@1", "pkg:opam/d@1.2"]
    lockfile = b'depends: ["a" {= "1" & os = "linux"} "b" {with-test & = "2"} "c" {>= "1" & = "3"}]'
    assert list_purls(read(lockfile, LOCK)) == ["pkg:opam/a@1", "pkg:opam/b@2", "pkg:opam/c@3"]


@pytest.mark.parametrize(
    ("content", "path", "reason"),
    [
        (b'installed: ["a.1"', f"{OPAM_SWITCH}/switch-state", "the value of installed: is not a list"),
        (b'installed: "a.1"', f"{OPAM_SWITCH}/switch-state", "the value of installed: is not a list"),
        (b"installed:", f"{OPAM_SWITCH}/switch-state", "the value of installed: is not a list"),
        (b'synopsis: "a\ninstalled: [1] ', f"{OPAM_SWITCH}/switch-state", "has no end"),
        (b'(* "\ninstalled: ["b.1"]', f"{OPAM_SWITCH}/switch-state", "has no end"),
        (b'installed: ["a"]', f"{OPAM_SWITCH}/switch-state", "'a' is not NAME.VERSION"),
        (b'depends: ["a" "b" {= "1"}]', LOCK, "it states no version of a"),
        (b'depends: ["a" {>= "1"}]', LOCK, "it states no version of a"),
        (b" " * (FILE_LIMIT + 1), LOCK, f"no more than {FILE_LIMIT}"),
    ],
)
def test_files_that_list_no_packages_are_unreadable(content: bytes, path: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content, path)


def test_package_url_becomes_a_package() -> None:
    package = ECOSYSTEM.build_from_purl(Purl("opam", "", "ocaml-base-compiler", "5.2.0"), None)
    assert (package.source_name, package.ecosystem) == ("ocaml-base-compiler", "opam")
    assert package.purl == "pkg:opam/ocaml-base-compiler@5.2.0"
    with pytest.raises(UsageError, match="no version"):
        ECOSYSTEM.build_from_purl(Purl("opam", "", "ocaml"), None)


def test_removed_description_with_library_left_is_unread() -> None:
    base = [make_file("etc/os-release", DEBIAN), make_file(PATH, DESCRIPTION), make_file(f"{SWITCH}/lib/hello/META")]
    inventory = read_image(make_image(base, make_whiteouts(PATH)), [ECOSYSTEM])
    assert f"{PATH} no longer lists hello 1.0~rc1" in "".join(entry.reason for entry in inventory.unread)


def test_a_switch_without_its_descriptions_is_known_by_its_state() -> None:
    def list_paths(*layer: Any) -> list[str]:
        state = make_file(f"{OPAM_SWITCH}/switch-state", STATE)
        inventory = read_image(make_image([make_file("etc/os-release", DEBIAN), state, *layer]), [ECOSYSTEM])
        return [package.path for package in inventory.packages]

    assert list_paths() == [f"{OPAM_SWITCH}/switch-state"] * 2
    assert list_paths(make_file(PATH), make_file(f"{OPAM_SWITCH}/packages/conf-a.2/opam")) == [
        f"{OPAM_SWITCH}/packages/conf-a.2/opam",
        PATH,
    ]


@settings(deadline=None, max_examples=scale_examples(300))
@given(
    content=st.sampled_from([DESCRIPTION, STATE, LOCKED]),
    cut=st.integers(0, 200),
    splice=st.binary(max_size=12) | st.sampled_from([b"installed: [", b'"', b'"""', b"(*", b"{= ", b"#", b"]"]),
    path=st.sampled_from([PATH, f"{OPAM_SWITCH}/switch-state", LOCK]),
)
def test_damaged_files_are_read_or_unreadable(content: bytes, cut: int, splice: bytes, path: str) -> None:
    with suppress(UnreadableError):
        read(content[:cut] + splice + content[cut + len(splice) :], path)


@pytest.mark.parametrize("version", ["", " 1.0", "1.0\n", "\ud800", "1/0"])
def test_invalid_versions_are_refused(version: str) -> None:
    assert compare_versions(ECOSYSTEM, version, version) == "?"
