"""Reading GHC's package databases and of cabal's and Stack's lockfiles, and how Haskell's versions compare."""

import io
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.scanner.ecosystems.orders import compare_versions
from tests.scanner.layers import DEBIAN, make_file, make_image, make_symlink, make_whiteouts, read_image

from dockgate.scanner.ecosystems.haskell import ECOSYSTEM, ENTRY_LIMIT, LOCK_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.purl import Purl

DATA = Path(__file__).parent / "data" / "haskell"
STORE = "root/.cabal/store/ghc-9.6.6"
PATH = f"{STORE}/package.db/aeson-2.0.0.0-0a1b.conf"
AESON = "name: aeson\nversion: 2.0.0.0\nimport-dirs: ${pkgroot}/aeson-2.0.0.0-0a1b/lib\n"
PROCESS, RANDOM, FREEZE, STACK = (
    (DATA / name).read_bytes()
    for name in ("process-1.6.19.0.conf", "random-1.2.1.2.conf", "cabal.project.freeze", "stack.yaml.lock")
)


def read(content: str | bytes, path: str = PATH) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content.encode() if isinstance(content, str) else content))


def list_purls(extract: Extract) -> list[str]:
    return [package.purl for package in extract.packages]


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        (PATH, True),
        ("var/lib/ghc/package.conf.d/random-1.2.1.2.conf", True),
        ("root/.stack/snapshots/x86_64-linux/0a1b/9.6.6/pkgdb/random-1.2.1.2.conf", True),
        ("var/lib/ghc/package.conf.d", True),
        (f"{STORE}/package.db", True),
        ("etc/random-1.2.1.2.conf", False),
        ("var/lib/ghc/package.conf.d/package.cache", False),
        ("app/cabal.project.freeze", True),
        ("stack.yaml.lock", True),
        ("app/my-stack.yaml.lock", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_an_entry_owns_the_folder_of_its_interfaces() -> None:
    extract = read(RANDOM, "var/lib/ghc/package.conf.d/random-1.2.1.2.conf")
    (package,) = extract.packages
    assert (package.name, package.version, package.ecosystem) == ("random", "1.2.1.2", "Hackage")
    assert (package.source_name, package.source_version) == ("random", "1.2.1.2")
    assert package.purl == "pkg:hackage/random@1.2.1.2"
    folder = "usr/lib/haskell-packages/ghc/lib/x86_64-linux-ghc-9.6.6/random-1.2.1.2-9nSipNyPzIK3OtGny4BWjI/"
    assert extract.owns == {package.purl: (folder,)}
    extract = read(PROCESS)
    assert extract.owns == {
        "pkg:hackage/process@1.6.19.0": ("usr/lib/ghc/lib/x86_64-linux-ghc-9.6.6/process-1.6.19.0/",)
    }
    assert read(AESON).owns == {"pkg:hackage/aeson@2.0.0.0": (f"{STORE}/aeson-2.0.0.0-0a1b/lib/",)}


@pytest.mark.parametrize(
    "folder", ["/", "..", "relative/lib", "${pkgroot}/..", "/root/.cabal", "${pkgroot}/package.db", ""]
)
def test_no_entry_of_ghc_owns_folders_above_it(folder: str) -> None:
    assert read(f"name: a\nversion: 1\nimport-dirs: {folder}\n").owns == {}


def test_the_library_of_the_compiler_has_its_version() -> None:
    extract = read("name: ghc\nversion: 9.6.6\n")
    assert [(package.ecosystem, package.purl) for package in extract.packages] == [
        ("Hackage", "pkg:hackage/ghc@9.6.6"),
        ("GHC", "pkg:generic/ghc@9.6.6"),
    ]


def test_an_internal_library_is_of_its_package() -> None:
    content = "name: z-attoparsec-z-internal\nversion: 0.14.4\npackage-name:\n    attoparsec\nlib-name: internal\n"
    assert list_purls(read(content)) == ["pkg:hackage/attoparsec@0.14.4"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "it has no name"),
        ("name: a\n", "it has no version"),
        ("version: 1\n", "it has no name"),
        ("description:\n    name: a\n    version: 1\n", "it has no name"),
        ("name: a\nversion: 1\nVersion: 2\n", "it has two fields version"),
        ("name: a\nversion: 1\nwhat\n", "a line of it is not a field: 'what"),
        (b" " * (ENTRY_LIMIT + 1), f"no more than {ENTRY_LIMIT}"),
    ],
)
def test_an_entry_that_names_no_package_is_unreadable(content: str | bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_lockfiles_name_what_comes_from_hackage() -> None:
    extract = read(FREEZE, "app/cabal.project.freeze")
    assert list_purls(extract) == [
        "pkg:hackage/aeson@2.0.0.0",
        "pkg:hackage/base@4.18.2.1",
        "pkg:hackage/random@1.2.1.2",
    ]
    assert (extract.is_lockfile, extract.owns) == (True, {})
    extract = read(STACK, "app/stack.yaml.lock")
    assert (list_purls(extract), extract.is_lockfile) == (["pkg:hackage/jose-jwt@0.10.0"], True)
    assert list_purls(read("constraints: aeson ==1.0", "cabal.project.freeze")) == ["pkg:hackage/aeson@1.0"]
    assert read("packages: []\n", "stack.yaml.lock") == Extract(is_lockfile=True)


@pytest.mark.parametrize(
    ("content", "path", "reason"),
    [
        ("", "cabal.project.freeze", "its format is not that of cabal"),
        ("constraints: any.a ==1.0 || ==1.1", "cabal.project.freeze", "its format is not that of cabal"),
        ("constraints: any.a == 1.0", "cabal.project.freeze", "its format is not that of cabal"),
        (b" " * (LOCK_LIMIT + 1), "cabal.project.freeze", f"no more than {LOCK_LIMIT}"),
        ("- a\n", "stack.yaml.lock", "it is not a single YAML mapping"),
        ("packages: a\n", "stack.yaml.lock", "it has no list of packages"),
        ("packages: [{completed: {hackage: a}}]\n", "stack.yaml.lock", "a package of it has no version"),
    ],
)
def test_a_lockfile_that_hides_a_package_is_unreadable(content: str | bytes, path: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content, path)


def test_package_url_becomes_a_package() -> None:
    package = ECOSYSTEM.build_from_purl(Purl("hackage", "", "AC-HalfInteger", "1.2.1"), None)
    assert (package.source_name, package.ecosystem) == ("AC-HalfInteger", "Hackage")
    assert package.purl == "pkg:hackage/AC-HalfInteger@1.2.1"
    with pytest.raises(UsageError, match="no version"):
        ECOSYSTEM.build_from_purl(Purl("hackage", "", "aeson"), None)


def join_reasons(*layers: object) -> str:
    return "".join(entry.reason for entry in read_image(make_image(*layers), [ECOSYSTEM]).unread)  # type: ignore[arg-type]


def test_removed_or_edited_entry_with_interfaces_left_is_unread() -> None:
    base = [
        make_file("etc/os-release", DEBIAN),
        make_file(PATH, AESON),
        make_file(f"{STORE}/aeson-2.0.0.0-0a1b/lib/Data/Aeson.hi"),
    ]
    assert f"{PATH} no longer lists aeson 2.0.0.0" in join_reasons(base, make_whiteouts(PATH))
    assert f"{PATH} became aeson 2.2" in join_reasons(base, [make_file(PATH, AESON.replace("2.0.0.0", "2.2"))])
    assert "aeson" not in join_reasons(base)
    assert "which was not read" in join_reasons([*base, make_symlink("var/lib/ghc/package.conf.d", "/opt/clean")])


@settings(deadline=None, max_examples=scale_examples(300))
@given(
    content=st.sampled_from([RANDOM, FREEZE, STACK]),
    cut=st.integers(0, 900),
    splice=st.binary(max_size=12)
    | st.sampled_from([b"\nname: ", b"\nversion:", b" ==1", b"- completed:", b"${pkgroot}"]),
    path=st.sampled_from([PATH, "cabal.project.freeze", "stack.yaml.lock"]),
)
def test_damaged_files_are_read_or_unreadable(content: bytes, cut: int, splice: bytes, path: str) -> None:
    with suppress(UnreadableError):
        extract = read(content[:cut] + splice + content[cut + len(splice) :], path)
        assert all(package.name and package.version for package in extract.packages)


@pytest.mark.parametrize("version", ["", " 1.0", "1.0\n", "1.0-tag", "9.8.1-rc1", "\ud800", "⁵.1", "１.0"])
def test_invalid_versions_are_refused(version: str) -> None:
    assert compare_versions(ECOSYSTEM, version, version) == "?"
