"""Packages laid out by pnpm and Yarn: links to one store, archives that are never unpacked."""

import contextlib
import io
import struct
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.scanner.layers import make_file, make_image, make_symlink, read_image

from dockgate.scanner.ecosystems import dpkg
from dockgate.scanner.ecosystems.npm import ECOSYSTEM
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Entry
from dockgate.shared.errors import UnreadableError

DATA = Path(__file__).parent / "data" / "npm"
INSTALLED = "Status: install ok installed\nArchitecture: all\n"
ARCHIVE = "app/.yarn/cache/is-odd-npm-3.0.1-93c3c3f41b-89ee2e353c.zip"


def read_inventory(*entries: Entry) -> Inventory:
    return read_image(make_image(list(entries)), [ECOSYSTEM])


def read_tree(name: str) -> list[Entry]:
    """The entries of a tree: its package.json files, each with the name of its folder, and its links."""
    entries: list[Entry] = []
    for line in (DATA / name).read_text(encoding="utf-8").splitlines():
        path, link, target = f"app/{line}".partition(" -> ")
        if link:
            entries.append(make_symlink(path, target))
        else:
            entries.append(make_file(path, f'{{"name": "{path.split("/")[-2]}", "version": "1.0.0"}}'))
    return entries


def pack_members(members: dict[str, str | bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


@pytest.mark.parametrize("name", ["tree-pnpm.txt", "tree-yarn.txt"])
def test_linked_store_yields_each_package_once(name: str) -> None:
    entries = read_tree(name)
    result = read_inventory(*entries)
    assert sorted(package.path for package in result.packages) == [e.path for e in entries if e.kind == "file"]
    assert len(result.packages) == 11
    assert result.unread == ()


@pytest.mark.parametrize(
    "folder",
    [
        "root/.node_modules/lodash",
        "home/app/.node_libraries/@types/node",
        "usr/lib/node/lodash",
        "usr/local/lib/node/lodash",
        "opt/node-v20.20.2/lib/node/lodash",
        "root/.node_modules/a/node_modules/lodash",
    ],
)
def test_packages_in_global_folders_are_read(folder: str) -> None:
    """Node.js looks there wherever it was started."""
    result = read_inventory(make_file(f"{folder}/package.json", '{"name": "lodash", "version": "4.17.4"}'))
    assert [package.version for package in result.packages] == ["4.17.4"]


@pytest.mark.parametrize(
    "path",
    ["app/lib/node/lodash/package.json", "usr/lib/node/lodash/dist/package.json", "root/.node_modules/package.json"],
)
def test_other_folders_are_a_projects_own(path: str) -> None:
    assert read_inventory(make_file(path, '{"name": "lodash", "version": "4.17.4"}')).packages == ()


def test_a_link_in_a_global_folder_is_followed_or_unread() -> None:
    hidden_manifest = make_file("srv/x/package.json", '{"name": "lodash", "version": "4.17.4"}')
    result = read_inventory(make_symlink("root/.node_modules/lodash", "/srv/x"), hidden_manifest)
    assert [package.version for package in result.packages] == ["4.17.4"]
    result = read_inventory(make_symlink("root/.node_modules", "/srv"), hidden_manifest)
    assert "root/.node_modules" in {entry.path for entry in result.unread}


def test_link_out_of_the_store_is_unread() -> None:
    entries = [*read_tree("tree-pnpm.txt"), make_symlink("app/node_modules/evil", "../../srv/evil")]
    assert [entry.path for entry in read_inventory(*entries).unread] == ["app/node_modules/evil"]


def test_cache_that_is_a_link_is_unread() -> None:
    result = read_inventory(
        make_file("srv/x.zip"), make_symlink("app/.yarn/cache", "/srv"), make_file("app/node_modules/a/package.json")
    )
    assert "app/.yarn/cache" in [entry.path for entry in result.unread]


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        ("app/node_modules/.store/a-npm-1.0.0-306ce07075/package/package.json", True),
        ("app/node_modules/.store/a-npm-1.0.0-306ce07075/package", True),
        ("app/node_modules/.store/a-npm-1.0.0-306ce07075/package/esm/package.json", False),
        ("app/node_modules/.store/package.json", False),
        ("app/node_modules/.bun/a@1.0.0/node_modules/a/package.json", True),
        ("app/.yarn/unplugged/a-npm-1.0.0-1/node_modules/a/package.json", True),
        (ARCHIVE, True),
        ("root/.yarn/berry/cache/a.zip", True),
        ("app/.yarn/cache", True),
        ("app/.yarn/releases/yarn.cjs", False),
        ("app/.yarn/releases/a.zip", False),
        ("app/a.zip", False),
        ("opt/yarn-v1.22.22/package.json", True),
        ("opt/yarn-v1.22.22", True),
        ("opt/yarn-v1.22.22/lib/package.json", False),
        ("opt/yarn-v1.22.22/lib", False),
        ("opt/app/package.json", False),
        ("app/yarn.lock", True),
        ("package-lock.json", True),
        ("app/my-yarn.lock", False),
        ("app/node_modules/a/yarn.lock", False),
        ("app/node_modules/a/npm-shrinkwrap.json", False),
        ("app/node_modules/.package-lock.json", False),
        ("usr/share/nodejs", True),
        ("usr/share/nodejs/@babel", True),
        ("usr/share/nodejs/lodash", True),
        ("usr/share/nodejs/lodash/package.json", True),
        ("usr/share/nodejs/@babel/core/package.json", True),
        ("usr/share/nodejs/npm/node_modules/a/package.json", True),
        ("usr/lib/nodejs/a/package.json", True),
        ("usr/lib/aarch64-linux-gnu/nodejs/a/package.json", True),
        ("usr/share/nodejs/package.json", False),
        ("usr/share/nodejs/@babel/package.json", False),
        ("usr/share/nodejs/terser/bin/package.json", False),
        ("usr/share/nodejs/lodash/yarn.lock", False),
        ("usr/share/nodejs-doc/a/package.json", False),
        ("usr/share/doc/nodejs/package.json", False),
        ("usr/lib/a/b/nodejs/a/package.json", False),
        ("opt/nodejs/a/package.json", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_an_alias_is_the_package_that_its_file_names() -> None:
    result = ECOSYSTEM.read(
        "app/node_modules/odd-six/package.json", io.BytesIO(b'{"name": "is-number", "version": "6.0.0"}')
    )
    assert [package.purl for package in result.packages] == ["pkg:npm/is-number@6.0.0"]


def test_a_library_of_debian_is_judged_as_a_package_of_debian() -> None:
    folder = "usr/share/nodejs/lodash"
    inventory = read_image(
        make_image(
            [
                make_file("etc/os-release", "ID=debian\nVERSION_ID=13\n"),
                make_file("var/lib/dpkg/status", f"Package: node-lodash\n{INSTALLED}Version: 4.17.21-1\n"),
                make_file(
                    "var/lib/dpkg/info/node-lodash.list", f"/.\n/{folder}\n/{folder}/package.json\n/{folder}/a.js\n"
                ),
                make_file(f"{folder}/package.json", '{"name": "lodash", "version": "4.17.21"}'),
                make_file(f"{folder}/a.js"),
                make_symlink("usr/share/node_modules", "nodejs"),
            ]
        ),
        [dpkg.ECOSYSTEM, ECOSYSTEM],
    )
    assert [(package.name, package.owner) for package in inventory.packages] == [
        ("lodash", "node-lodash"),
        ("node-lodash", None),
    ]
    assert inventory.unread == ()


def test_the_yarn_of_the_official_images_owns_its_folder() -> None:
    result = ECOSYSTEM.read("opt/yarn-v1.22.22/package.json", io.BytesIO(b'{"name": "yarn", "version": "1.22.22"}'))
    assert result.owns == {"pkg:npm/yarn@1.22.22": ("opt/yarn-v1.22.22/",)}


def test_an_archive_of_yarn_holds_its_package() -> None:
    with (DATA / "is-odd.zip").open("rb") as content:
        result = ECOSYSTEM.read(ARCHIVE, content)
    (package,) = result.packages
    assert (package.purl, package.path) == (
        "pkg:npm/is-odd@3.0.1",
        f"{ARCHIVE}!/node_modules/is-odd/package.json",
    )
    assert result.is_self_contained


def test_an_unreadable_member_leaves_the_others() -> None:
    content = pack_members(
        {
            "node_modules/@a/b/package.json": '{"name": "@a/b", "version": "1.0.0"}',
            "node_modules/@a/b/esm/package.json": '{"type": "module"}',
            "node_modules/@a/b/node_modules/c/package.json": "{",
        }
    )
    result = ECOSYSTEM.read(ARCHIVE, io.BytesIO(content))
    assert [package.name for package in result.packages] == ["@a/b"]
    assert [path for path, _ in result.unread_parts] == ["node_modules/@a/b/node_modules/c/package.json"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a complete zip"),
        (b"PK\x03\x04" + b"\0" * 100, "not a complete zip"),
        (pack_members({}), "contains no packages"),
        (pack_members({"package.json": "{}"}), "contains no packages"),
        (pack_members({"node_modules/a/package.json": "{}"})[:-30], "not a complete zip|truncated|broken"),
    ],
    ids=range(5),
)
def test_an_archive_that_holds_nothing_is_unreadable(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        ECOSYSTEM.read(ARCHIVE, io.BytesIO(content))


def test_a_compression_bomb_in_a_store_is_not_inflated() -> None:
    result = ECOSYSTEM.read(ARCHIVE, io.BytesIO(pack_members({"node_modules/a/package.json": b" " * 2**26})))
    assert result.packages == ()
    assert [path for path, _ in result.unread_parts] == ["node_modules/a/package.json"]


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_a_member_named_many_times_is_not_inflated_each_time(count: int) -> None:
    content = pack_members({"node_modules/a/package.json": b" " * (2**22 - 1)})
    start, end = content.rindex(b"PK\x01\x02"), content.rindex(b"PK\x05\x06")
    entry = content[start:end]
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(entry) * count, start, 0)
    before = time.process_time()
    try:
        assert ECOSYSTEM.read(ARCHIVE, io.BytesIO(content[:start] + entry * count + tail)).packages == ()
    except UnreadableError as error:
        assert "10000 packages" in str(error)  # noqa: PT017 - both answers are fine, time is what counts
    assert time.process_time() - before < 2


SEED = (DATA / "is-odd.zip").read_bytes()


@settings(max_examples=scale_examples(200), deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.binary(max_size=8)), min_size=1, max_size=8))
def test_a_damaged_archive_is_read_or_unreadable(edits: list[tuple[int, bytes]]) -> None:
    content = bytearray(SEED)
    for at, new in edits:
        content[at : at + len(new)] = new
    with contextlib.suppress(UnreadableError):
        ECOSYSTEM.read(ARCHIVE, io.BytesIO(bytes(content)))
