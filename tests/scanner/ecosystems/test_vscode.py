"""Reading the extensions of Visual Studio Code, and of the editor itself."""

import io
import json
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.scanner.layers import DEBIAN, make_file, make_image, make_symlink, make_whiteouts, read_image

from dockgate.scanner.ecosystems.vscode import ECOSYSTEM
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UncomparableError, UnreadableError, UsageError
from dockgate.shared.purl import Purl

DATA = Path(__file__).parent / "data" / "vscode"
EXTENSION, PRODUCT = ((DATA / name).read_bytes() for name in ("package.json", "product.json"))
ROOT = "home/coder/.local/share/code-server/extensions"
FOLDER = f"{ROOT}/ms-vscode.vscode-js-profile-table-1.0.10-universal"
PATH = f"{FOLDER}/package.json"
EDITOR = "usr/lib/code-server/lib/vscode/product.json"


def read(content: bytes, path: str = PATH) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content))


def make_manifest(**changes: Any) -> bytes:
    content = {"publisher": "a", "name": "b", "version": "1.0.0", "engines": {"vscode": "*"}, **changes}
    return json.dumps({key: value for key, value in content.items() if value is not None}).encode()


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        (PATH, True),
        ("root/.vscode-server/extensions/golang.go-0.39.1/package.json", True),
        ("home/.openvscode-server/extensions/git/package.json", True),
        ("extensions/a/package.json", True),
        ("home/theia/plugins/a/extension/package.json", True),
        (f"{FOLDER}/node_modules/a/package.json", False),
        ("srv/ext/a/package.json", True),
        ("app/node_modules/a/package.json", False),
        ("app/node_modules/code-server/lib/vscode/extensions/a/package.json", True),
        ("package.json", False),
        (f"{ROOT}/extensions.json", False),
        ("opt/extensions/golang.go.vsix", True),
        (EDITOR, True),
        ("product.json", True),
        ("app/myproduct.json", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"{") is is_wanted
    assert not ECOSYSTEM.should_read("srv/ext/a/package.json", 0, 0, b"")  # a link


def test_an_extension_owns_its_folder() -> None:
    extract = read(EXTENSION)
    (package,) = extract.packages
    assert (package.name, package.version) == ("ms-vscode.vscode-js-profile-table", "1.0.10")
    assert (package.ecosystem, package.source_name) == ("VSCode", "ms-vscode.vscode-js-profile-table")
    assert package.purl == "pkg:vscode-extension/ms-vscode/vscode-js-profile-table@1.0.10"
    assert extract.owns == {package.purl: (f"{FOLDER}/",)}


def test_names_match_in_any_case() -> None:
    (package,) = read(make_manifest(publisher="EffetMer", name="DarkGPT")).packages
    assert (package.name, package.source_name) == ("EffetMer.DarkGPT", "effetmer.darkgpt")
    assert package.purl == "pkg:vscode-extension/effetmer/darkgpt@1.0.0"


def test_extension_without_publisher_gets_the_placeholder_of_the_editor() -> None:
    (package,) = read(make_manifest(publisher=None)).packages
    assert package.source_name == "undefined_publisher.b"


@pytest.mark.parametrize("content", [b"{}", make_manifest(engines={"node": "*"}), make_manifest(engines="*")])
def test_other_package_json_is_not_an_extension(content: bytes) -> None:
    assert read(content) == Extract()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (make_manifest(name=""), "does not state its publisher, name and version"),
        (make_manifest(version=1), "does not state its publisher, name and version"),
        (make_manifest(publisher=["a"]), "does not state its publisher, name and version"),
        (b"{", "it is not JSON"),
        (b"[]", "it is not a JSON object"),
    ],
)
def test_extension_without_name_is_unreadable(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_escapes_hide_no_extension() -> None:
    escaped_manifest = EXTENSION.replace(b'"vscode"', b'"vs\\u0063ode"')
    assert escaped_manifest != EXTENSION
    assert read(escaped_manifest, "srv/a/package.json").packages


def test_incomplete_file_elsewhere_is_ignored() -> None:
    for content in (b"{{name}}", make_manifest(version=None)):
        assert read(content, "srv/template/package.json") == Extract()
    assert read(make_manifest(), "srv/ext/a/package.json").packages


def pack_members(*members: tuple[str, bytes]) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return output.getvalue()


def test_an_extension_in_its_archive() -> None:
    second = ("extension/node_modules/a/extension/package.json", make_manifest())
    extract = read(
        pack_members(("extension.vsixmanifest", b""), ("extension/package.json", EXTENSION), second), "srv/a.vsix"
    )
    (package,) = extract.packages
    assert (package.source_name, package.version) == ("ms-vscode.vscode-js-profile-table", "1.0.10")
    assert package.path == "srv/a.vsix!/extension/package.json"
    assert (extract.is_self_contained, extract.owns) == (True, {})
    assert read(pack_members(("extension.vsixmanifest", b"")), "srv/a.vsix") == Extract()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK", "zip|truncated|directory"),
        (pack_members(("extension/package.json", b"{")), "it is not JSON"),
        (pack_members(("extension/package.json", make_manifest(name=None))), "does not state its publisher"),
    ],
)
def test_archive_without_extension_name_is_unreadable(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content, "srv/a.vsix")
    with pytest.raises(UnreadableError, match="it contains 2 "):
        read(pack_members(*[("extension/package.json", make_manifest())] * 2), "srv/a.vsix")


def test_editor_is_listed_and_undetermined() -> None:
    (package,) = read(PRODUCT, EDITOR).packages
    assert (package.name, package.version, package.ecosystem) == ("vscode", "1.99.3", "Visual Studio Code")
    assert package.purl == "pkg:generic/vscode@1.99.3"
    for second in (b"[1]", b"{", b'{"version": "1"}', b'{"applicationName": "a", "dataFolderName": "b"}'):
        assert read(second, EDITOR) == Extract()


def test_package_url_becomes_a_package() -> None:
    package = ECOSYSTEM.build_from_purl(
        Purl("vscode-extension", "Golang", "Go", "0.39.1", {"platform": "linux-x64"}), None
    )
    assert (package.source_name, package.ecosystem) == ("golang.go", "VSCode")
    assert package.purl == "pkg:vscode-extension/golang/go@0.39.1"
    for purl in (Purl("vscode-extension", "a", "b"), Purl("vscode-extension", "", "b", "1.0.0")):
        with pytest.raises(UsageError, match="has no"):
            ECOSYSTEM.build_from_purl(purl, None)


def test_versions_are_ordered_as_npm_orders_them() -> None:
    assert (
        ECOSYSTEM.make_version_key("1.46.2025091308")
        > ECOSYSTEM.make_version_key("1.9.0")
        > ECOSYSTEM.make_version_key("1.9.0-beta")
    )
    with pytest.raises(UncomparableError):
        ECOSYSTEM.make_version_key("1.0")


def join_reasons(*layers: Any) -> str:
    return "".join(entry.reason for entry in read_image(make_image(*layers), [ECOSYSTEM]).unread)


def test_removed_or_edited_package_json_with_code_left_is_unread() -> None:
    base = [make_file("etc/os-release", DEBIAN), make_file(PATH, EXTENSION), make_file(f"{FOLDER}/out/extension.js")]
    name = "ms-vscode.vscode-js-profile-table"
    assert f"{PATH} no longer lists {name} 1.0.10" in join_reasons(base, make_whiteouts(PATH))
    assert f"{PATH} became {name} 9.9.9" in join_reasons(
        base, [make_file(PATH, EXTENSION.replace(b"1.0.10", b"9.9.9"))]
    )


def test_no_link_hides_an_extension() -> None:
    layer = [make_symlink("root/.vscode-server/extensions", "/srv/ext"), make_file("srv/ext/a/package.json", EXTENSION)]
    through = [make_file("root/.vscode-server/extensions/b/package.json", make_manifest())]
    inventory = read_image(make_image([make_file("etc/os-release", DEBIAN), *layer], through), [ECOSYSTEM])
    assert [package.name for package in inventory.packages] == ["a.b", "ms-vscode.vscode-js-profile-table"]


@settings(deadline=None, max_examples=scale_examples(200))
@given(
    content=st.sampled_from([EXTENSION, PRODUCT, make_manifest()]),
    cut=st.integers(0, 1800),
    splice=st.binary(max_size=8) | st.sampled_from([b"{", b'"engines":', b"null", b'"', b"[]"]),
    path=st.sampled_from([PATH, EDITOR]),
)
def test_damaged_files_are_read_or_unreadable(content: bytes, cut: int, splice: bytes, path: str) -> None:
    with suppress(UnreadableError):
        extract = read(content[:cut] + splice + content[cut + len(splice) :], path)
        assert all(package.name and package.version for package in extract.packages)
