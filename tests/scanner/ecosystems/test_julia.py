"""Reading Julia's depots and manifests, and how Julia packages' versions compare."""

import io
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.scanner.ecosystems.orders import compare_versions
from tests.scanner.layers import DEBIAN, make_file, make_image, make_whiteouts, read_image

from dockgate.scanner.ecosystems.julia import ECOSYSTEM, MANIFEST_LIMIT, PROJECT_LIMIT, VERSION_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.purl import Purl

DATA = Path(__file__).parent / "data" / "julia"
FOLDER = "root/.julia/packages/HTTP/sJD5V"
PATH = f"{FOLDER}/Project.toml"
STDLIB = "usr/local/julia/share/julia/stdlib/v1.11"
PROJECT, FIRST, SECOND = ((DATA / name).read_bytes() for name in ("Project.toml", "Manifest-1.toml", "Manifest-2.toml"))
HTTP = "uuid=cd3eb016-35fb-5094-929b-558a96fad6f3"


def read(content: str | bytes, path: str = PATH) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content.encode() if isinstance(content, str) else content))


def list_purls(extract: Extract) -> list[str]:
    return [package.purl for package in extract.packages]


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        (PATH, True),
        ("packages/HTTP/sJD5V/JuliaProject.toml", True),
        (f"{STDLIB}/OpenSSL_jll/Project.toml", True),
        ("app/Project.toml", False),
        ("root/.julia/packages/HTTP/Project.toml", False),
        (f"{FOLDER}/test/Project.toml", False),
        ("root/.julia/environments/v1.11/Manifest.toml", True),
        ("JuliaManifest.toml", True),
        ("app/Manifest-v1.11.toml", True),
        ("app/Manifest-v1.11.toml.bak", False),
        ("app/MyManifest.toml", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_an_installed_package_owns_its_folder() -> None:
    extract = read(PROJECT)
    (package,) = extract.packages
    assert (package.name, package.version, package.ecosystem) == ("HTTP", "1.10.8", "Julia")
    assert (package.source_name, package.source_version) == ("HTTP", "1.10.8")
    assert package.purl == f"pkg:julia/HTTP@1.10.8?{HTTP}"
    assert extract.owns == {package.purl: (f"{FOLDER}/",)}
    assert not extract.is_lockfile


def test_a_standard_library_of_julia_with_a_version_is_a_package() -> None:
    library = 'name = "OpenSSL_jll"\nuuid = "458c"\nversion = "3.0.15+1"\n'
    assert list_purls(read(library, f"{STDLIB}/OpenSSL_jll/Project.toml")) == [
        "pkg:julia/OpenSSL_jll@3.0.15%2B1?uuid=458c",
    ]
    assert read('name = "Base64"\n', f"{STDLIB}/Base64/Project.toml") == Extract()


def test_project_in_a_similar_folder_is_not_installed() -> None:
    assert read('name = "Own"\n', "app/packages/own/core/Project.toml") == Extract()


@pytest.mark.parametrize(
    ("content", "path", "reason"),
    [
        ('name = "HTTP"\n', PATH, "it has no version"),
        ('version = "1"\n', PATH, "its name or version is not text"),
        ('name = "HTTP"\nversion = 1\n', PATH, "its name or version is not text"),
        ("name", PATH, "it is not TOML"),
        (b" " * (PROJECT_LIMIT + 1), PATH, f"no more than {PROJECT_LIMIT}"),
        (b" " * (MANIFEST_LIMIT + 1), "Manifest.toml", f"no more than {MANIFEST_LIMIT}"),
        ('manifest_format = "2.0"\ndeps = 1\n', "Manifest.toml", "its 'deps' is not a table"),
        ('[[deps.HTTP]]\nversion = "1.0.0"\n', "Manifest.toml", "it does not state its format"),
        ("[[HTTP]]\nversion = 1\n", "Manifest.toml", "the version or uuid of HTTP is not text"),
        ('HTTP = ["1.0.0"]\n', "Manifest.toml", "the version or uuid of HTTP is not text"),
    ],
)
def test_files_that_list_no_packages_are_unreadable(content: str | bytes, path: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content, path)


def test_manifest_lists_packages_except_julia_and_local_ones() -> None:
    extract = read(SECOND, "app/Manifest-v1.11.toml")
    assert list_purls(extract) == [
        f"pkg:julia/HTTP@1.10.8?{HTTP}",
        "pkg:julia/OpenSSL_jll@3.0.15%2B1?uuid=458c3c95-2e84-50aa-8efc-19380b2a3a95",
    ]
    assert (extract.is_lockfile, extract.owns) == (True, {})
    assert list_purls(read(FIRST, "app/Manifest.toml")) == [f"pkg:julia/HTTP@0.9.17?{HTTP}"]
    assert read('manifest_format = "2.0"\n', "app/Manifest.toml") == Extract(is_lockfile=True)


def test_package_url_becomes_a_package() -> None:
    package = ECOSYSTEM.build_from_purl(Purl("julia", "", "HTTP", "1.10.8", {"uuid": HTTP.removeprefix("uuid=")}), None)
    assert (package.source_name, package.ecosystem) == ("HTTP", "Julia")
    assert package.purl == f"pkg:julia/HTTP@1.10.8?{HTTP}"
    with pytest.raises(UsageError, match="no version"):
        ECOSYSTEM.build_from_purl(Purl("julia", "", "HTTP"), None)


def test_removed_or_edited_project_file_with_code_left_is_unread() -> None:
    def join_reasons(edit: object) -> str:
        base = [make_file("etc/os-release", DEBIAN), make_file(PATH, PROJECT), make_file(f"{FOLDER}/src/HTTP.jl")]
        return "".join(entry.reason for entry in read_image(make_image(base, edit), [ECOSYSTEM]).unread)  # type: ignore[arg-type]

    assert f"{PATH} no longer lists HTTP 1.10.8" in join_reasons(make_whiteouts(PATH))
    assert f"{PATH} became HTTP 9.9.9" in join_reasons([make_file(PATH, PROJECT.replace(b"1.10.8", b"9.9.9"))])


@settings(deadline=None, max_examples=scale_examples(300))
@given(
    content=st.sampled_from([PROJECT, FIRST, SECOND]),
    cut=st.integers(0, 700),
    splice=st.binary(max_size=12) | st.sampled_from([b"\nname = ", b"[[deps.A]]\n", b'"', b"version = 1\n", b"[["]),
    path=st.sampled_from([PATH, "Manifest.toml"]),
)
def test_damaged_files_are_read_or_unreadable(content: bytes, cut: int, splice: bytes, path: str) -> None:
    with suppress(UnreadableError):
        extract = read(content[:cut] + splice + content[cut + len(splice) :], path)
        assert all(package.name and package.version for package in extract.packages)


@pytest.mark.parametrize("version", ["", " 1.0.0", "1.0.0\n", "\ud800", "1.0.0-" + "a" * VERSION_LIMIT])
def test_invalid_versions_are_refused(version: str) -> None:
    assert compare_versions(ECOSYSTEM, version, version) == "?"
