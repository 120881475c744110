"""Reading npm's files."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockgate.scanner.ecosystems.npm import ECOSYSTEM
from dockgate.scanner.ecosystems.npm.package import PACKAGE_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.purl import Purl

PATH = "app/node_modules/@vue/core/package.json"


def read(content: str | bytes) -> Extract:
    return ECOSYSTEM.read(PATH, io.BytesIO(content.encode() if isinstance(content, str) else content))


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        ("node_modules/a/package.json", True),
        ("app/node_modules/a/package.json", True),
        ("app/node_modules/@scope/a/package.json", True),
        ("app/node_modules/a/node_modules/b/package.json", True),
        ("app/node_modules/.pnpm/a@1/node_modules/a/package.json", True),
        ("package.json", False),
        ("app/package.json", False),
        ("app/node_modules/package.json", False),
        ("app/node_modules/@scope/package.json", False),
        ("app/node_modules/a/dist/package.json", False),
        ("app/node_modules/@scope/a/esm/package.json", False),
        ("node_modules", True),
        ("app/node_modules", True),
        ("app/node_modules/a", True),
        ("app/node_modules/@scope", True),
        ("app/node_modules/@scope/a", True),
        ("app/node_modules/a/dist", False),
        ("app/node_modules/@scope/a/esm", False),
        ("app/node_modules/.bin", False),
        ("app/node_modules/.package-lock.json", False),
        ("app/my_node_modules", False),
        ("app/node_modules/.bin/package.json", False),
        ("app/my_node_modules/a/package.json", False),
        ("app/node_modules/a/xpackage.json", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


PARTS = (
    *("node_modules", ".yarn", "cache", "berry", "opt", "yarn-v1.22.22", "a", "@s", ".store", "package"),
    *("usr", "share", "nodejs"),
)
LASTS = ("package.json", "yarn.lock", "bun.lock", "pnpm-lock.yaml", "package-lock.json", "a.zip", "node_modules")


@given(st.lists(st.sampled_from(PARTS), max_size=5), st.sampled_from((*LASTS, *PARTS)))
def test_paths_that_are_read_have_a_trigger(folders: list[str], last: str) -> None:
    path, triggers = "/".join((*folders, last)), ECOSYSTEM.triggers
    has_trigger = (
        last in triggers.names or path.startswith(triggers.prefixes) or any(part in path for part in triggers.parts)
    )
    assert has_trigger or not ECOSYSTEM.should_read(path, 1, 0o644, b"")


@pytest.mark.parametrize(("namespace", "name"), [("@vue", "@vue/core"), ("", "core")])
def test_a_purl_names_a_package(namespace: str, name: str) -> None:
    result = ECOSYSTEM.build_from_purl(Purl("npm", namespace, "core", "3.5.0", {"vcs_url": "git+https://x"}), None)
    installed_package = read(f'{{"name": "{name}", "version": "3.5.0"}}').packages[0]
    assert (result.purl, result.source_name, result.ecosystem) == (installed_package.purl, name, "npm")
    assert result.path == ""


def test_a_purl_without_a_version_names_none() -> None:
    with pytest.raises(UsageError, match="pkg:npm/core has no version"):
        ECOSYSTEM.build_from_purl(Purl("npm", "", "core"), None)


def test_a_package_owns_its_folder() -> None:
    extract = read('\ufeff{"name": "@vue/core", "version": "3.5.0+x"}')
    (package,) = extract.packages
    assert (package.name, package.source_name, package.ecosystem) == ("@vue/core", "@vue/core", "npm")
    assert package.purl == "pkg:npm/%40vue/core@3.5.0%2Bx"
    assert extract.owns == {package.purl: ("app/node_modules/@vue/core/",)}


@pytest.mark.parametrize(
    "content", ["{}", '{"type": "module"}', '{"name": "a"}', '{"version": "1.0.0"}', '{"name": "a", "version": ""}']
)
def test_a_package_without_name_or_version_is_unreadable(content: str) -> None:
    with pytest.raises(UnreadableError, match="it has no"):
        read(content)


def test_a_file_instead_of_a_folder_is_no_package() -> None:
    assert ECOSYSTEM.read("app/node_modules/a.js", io.BytesIO(b"{")) == Extract()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not JSON"),
        ('{"name": "a"', "not JSON"),
        ("[" * 200_000, "nested too deeply"),
        ('{"a":' * 200_000, "nested too deeply"),
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        ('{"name": ["a"], "version": "1"}', "not a string"),
        ('{"name": "a", "version": 1}', "not a string"),
        ('{"name": "a", "version": null}', "not a string"),
        ('{"n": ' + "9" * 5000 + "}", "not JSON"),
        (b" " * (PACKAGE_LIMIT + 1), f"no more than {PACKAGE_LIMIT}"),
    ],
    ids=range(11),
)
def test_a_malformed_file_is_unreadable(content: str | bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_invalid_utf8_is_read() -> None:
    assert read(b'{"name": "a", "version": "1.0.0", "author": "\xff"}').packages[0].name == "a"
    assert read(b'{"name": "\\ud800", "version": "1.0.0"}').packages[0].purl == "pkg:npm/%ED%A0%80@1.0.0"
