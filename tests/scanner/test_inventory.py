"""How layers become an inventory."""

import time
from dataclasses import fields, replace
from itertools import count
from typing import Any

import pytest
from tests.scanner.layers import (
    DEBIAN,
    ECOSYSTEMS,
    FakeLayer,
    list_names,
    make_dist_info,
    make_dpkg_list,
    make_file,
    make_folder,
    make_hardlink,
    make_image,
    make_opaque,
    make_stanza,
    make_status,
    make_symlink,
    make_whiteouts,
    read_image,
    read_inventory,
)

from dockgate.scanner.inventory import IMAGE_LIMIT, UNREAD_LIMIT, FactsInMemory, combine_facts
from dockgate.scanner.layer_index import LayerFacts, PackageFile
from dockgate.scanner.layer_reader import TIME_LIMIT, compute_facts_version, read_layer
from dockgate.scanner.model import Inventory, Package
from dockgate.scanner.ports import Entry
from dockgate.shared import canonical
from dockgate.shared.errors import ImageError, UnavailableError

A = "x/node_modules/a/package.json"


def make_manifest(name: str, version: str = "1.0.0") -> str:
    return f'{{"name": "{name}", "version": "{version}"}}'


def test_packages_of_all_kinds_are_put_together_and_sorted() -> None:
    result = read_inventory(
        [make_file("etc/os-release", DEBIAN), make_status(make_stanza("zlib", "1"), make_stanza("bash", "5"))],
        [*make_dist_info("opt/Foo_Bar-2.dist-info", "Foo_Bar", "2"), make_file(A, make_manifest("a"))],
    )
    assert [(package.name, package.purl, package.layer) for package in result.packages] == [
        ("Foo_Bar", "pkg:pypi/foo-bar@2", "1"),
        ("a", "pkg:npm/a@1.0.0", "1"),
        ("bash", "pkg:deb/debian/bash@5?arch=amd64&distro=debian-13", "0"),
        ("zlib", "pkg:deb/debian/zlib@1?arch=amd64&distro=debian-13", "0"),
    ]
    assert (result.image, result.platform, result.layers, result.unread) == (
        "sha256:image",
        "linux/amd64",
        ("0", "1"),
        (),
    )


def test_a_package_belongs_to_the_first_layer_with_its_version() -> None:
    """Installing a package rewrites the whole database, with the packages of the base image."""
    result = read_inventory(
        [
            make_file("etc/os-release", DEBIAN),
            make_status(make_stanza("bash", "5"), make_stanza("curl", "8"), make_stanza("zlib", "1")),
        ],
        [
            make_status(
                make_stanza("bash", "5"), make_stanza("curl", "8.1"), make_stanza("zlib", "1"), make_stanza("vim", "9")
            )
        ],
        [
            make_status(
                make_stanza("bash", "5"),
                make_stanza("curl", "8"),
                make_stanza("zlib", "1"),
                make_stanza("vim", "9"),
                make_stanza("git", "2"),
            )
        ],
    )
    assert {package.name: package.layer for package in result.packages} == {
        "bash": "0",
        "curl": "2",  # it was raised, and taken back
        "git": "2",
        "vim": "1",
        "zlib": "0",
    }


def test_the_order_of_entries_does_not_show() -> None:
    content = [
        make_file("etc/os-release", DEBIAN),
        make_status(make_stanza("b", "1"), make_stanza("a", "1")),
        make_file(A, make_manifest("a")),
    ]
    assert canonical.encode(read_inventory(content)) == canonical.encode(read_inventory(content[::-1]))


def test_a_package_keeps_everything_that_its_reader_stated() -> None:
    values = {field.name: f"the {field.name}" for field in fields(Package)}
    stated_package = Package(**{**values, "ecosystem": "Go", "path": "app/x"})
    facts = LayerFacts(f"sha256:{'1' * 64}", (PackageFile("app/x", "go", (stated_package,)),))
    (package,) = combine_facts(make_image([]), [facts], ECOSYSTEMS).packages
    assert package == replace(stated_package, layer=facts.layer, owner=package.owner)


def test_a_later_layer_replaces_a_file() -> None:
    assert list_names(
        read_inventory([make_file(A, make_manifest("a"))], [make_file(A, make_manifest("a", "2.0.0"))])
    ) == ["a 2.0.0"]


@pytest.mark.parametrize(
    "upper_layer",
    [
        make_whiteouts(A),
        make_whiteouts("x"),
        [make_opaque("x/node_modules")],
        [make_opaque("")],
        [make_symlink("x", "/y")],
        [make_file("x/node_modules")],
        [make_folder(A)],
    ],
    ids=["whiteout", "whiteout above", "opaque", "opaque root", "link above", "file above", "folder in place"],
)
def test_a_later_layer_removes_a_file(upper_layer: list[Entry]) -> None:
    assert list_names(read_inventory([make_file(A, make_manifest("a"))], upper_layer)) == []


@pytest.mark.parametrize("first", [True, False])
def test_an_opaque_folder_keeps_what_its_own_layer_has_in_it(*, first: bool) -> None:
    own_layer = [
        make_folder("x/node_modules/a"),
        make_opaque("x/node_modules"),
        make_file(A, make_manifest("a", "2.0.0")),
    ]
    own_layer = [own_layer[0], *(own_layer[1:] if first else own_layer[:0:-1])]
    assert list_names(read_inventory([make_file(A, make_manifest("a"))], own_layer)) == ["a 2.0.0"]


def test_a_whiteout_spares_what_only_begins_like_it() -> None:
    assert list_names(
        read_inventory([make_file(A, make_manifest("a"))], make_whiteouts("x/node_modules/a/package", "x/node"))
    ) == ["a 1.0.0"]


def test_a_file_that_comes_back_is_there() -> None:
    assert list_names(
        read_inventory(
            [make_file(A, make_manifest("a"))], make_whiteouts("x"), [make_file(A, make_manifest("a", "3.0.0"))]
        )
    ) == ["a 3.0.0"]


def test_the_last_entry_of_a_path_counts() -> None:
    assert list_names(
        read_inventory([make_file(A, make_manifest("a")), make_file(A, make_manifest("a", "2.0.0"))])
    ) == ["a 2.0.0"]
    assert list_names(read_inventory([make_file(A, make_manifest("a")), make_symlink(A, "y")])) == []


def test_a_hard_link_is_read_as_the_file_it_links_to() -> None:
    result = make_image(
        [make_file("stash", make_manifest("a")), make_hardlink(A, "stash"), make_file("stash", make_manifest("b"))]
    )
    assert list_names(read_image(result, ECOSYSTEMS)) == ["a 1.0.0"]
    assert result.layers[0].read == 2


def test_a_hard_link_out_of_its_layer_is_unread() -> None:
    result = read_inventory(
        [make_file("stash", make_manifest("a")), make_file("y/node_modules/b/package.json", make_manifest("b"))],
        [make_hardlink(A, "stash")],
    )
    assert [entry.path for entry in result.unread] == [A]
    assert "hard link to stash" in result.unread[0].reason


def test_a_link_is_accepted_when_it_leads_to_what_is_read() -> None:
    store = "x/.cache/foo-1.dist-info/METADATA"
    content = [
        *make_dist_info(store.rpartition("/")[0], "foo", "1"),
        make_symlink("x/foo-1.dist-info/METADATA", "../.cache/foo-1.dist-info/METADATA"),
    ]
    assert read_inventory(content).unread == ()
    result = read_inventory([*content, make_file(A, make_manifest("a"))], make_whiteouts("x/.cache"))
    assert [entry.path for entry in result.unread] == ["x/foo-1.dist-info/METADATA"]


def test_an_egg_info_that_is_a_link_to_a_folder_is_accepted() -> None:
    content = [
        make_file("x/share/foo.egg-info/PKG-INFO", "Name: foo\nVersion: 1\n"),
        make_symlink("x/foo.egg-info", "/x/share/foo.egg-info"),
    ]
    assert read_inventory(content).unread == ()


def test_links_that_lead_out_of_the_image_are_resolved_inside_it() -> None:
    content = [
        make_file("usr/lib/os-release", DEBIAN),
        make_symlink("etc/os-release", "../../../../usr/lib/os-release"),
    ]
    assert read_inventory([*content, make_status(make_stanza("a", "1"))]).unread == ()


def test_etc_os_release_comes_before_the_one_in_usr() -> None:
    content = [make_file("usr/lib/os-release", DEBIAN), make_file("etc/os-release", "ID=ubuntu\nVERSION_ID=24.04\n")]
    assert {
        package.ecosystem for package in read_inventory([*content, make_status(make_stanza("a", "1"))]).packages
    } == {"Ubuntu:24.04:LTS"}


def test_a_file_that_cannot_be_read_is_unread_where_it_stands() -> None:
    broken_files = [make_file(A, "{"), make_file("y/node_modules/b/package.json", make_manifest("b"))]
    assert [(entry.path, entry.layer) for entry in read_inventory(broken_files).unread] == [(A, "0")]
    assert read_inventory(broken_files, [make_file(A, make_manifest("a"))]).unread == ()


def test_an_unreadable_os_release_names_no_distribution() -> None:
    result = read_inventory([make_file("etc/os-release", b"ID=debian\0"), make_status(make_stanza("a", "1"))])
    assert result.distribution is None
    assert [entry.path for entry in result.unread] == ["etc/os-release"]


def test_a_broken_layer_yields_no_facts() -> None:
    layer = FakeLayer("sha256:bad", [make_file(A, make_manifest("a"))], ImageError("the digest does not match"))
    facts = read_layer(layer, ECOSYSTEMS)
    assert facts.files == ""
    result = combine_facts(make_image(), [facts], ECOSYSTEMS)
    assert result.packages == ()
    assert ("/", "sha256:bad") in [(entry.path, entry.layer) for entry in result.unread]
    assert "digest does not match" in "".join(entry.reason for entry in result.unread)


@pytest.mark.parametrize(("step", "is_unread"), [(TIME_LIMIT / 2, False), (TIME_LIMIT, True)])
@pytest.mark.parametrize("content", [make_manifest("a"), "{"])
def test_a_layer_whose_files_take_too_long_is_unread_as_a_whole(content: str, step: float, *, is_unread: bool) -> None:
    files = [make_file(f"x/node_modules/{name}/package.json", content) for name in ("a", "b", "c")]
    ticks = count(step=step)
    facts = read_layer(FakeLayer("0", files), ECOSYSTEMS, lambda: next(ticks))
    assert [(entry.path, "take more than 120 seconds" in entry.reason) for entry in facts.unread] == [
        ("/", True)
    ] * is_unread
    assert bool(facts.package_files) is not is_unread


def test_a_layer_out_of_reach_is_no_broken_layer() -> None:
    with pytest.raises(UnavailableError):
        read_layer(FakeLayer("sha256:far", [], UnavailableError("timeout")), ECOSYSTEMS)


def test_facts_survive_being_stored() -> None:
    content = [
        make_file("etc/os-release", DEBIAN),
        make_status(make_stanza("a", "1"), make_stanza("b", "1", "deinstall ok config-files")),
        make_dpkg_list("a", A, "usr/share/\udce9"),
        make_file("usr/share/\udce9"),
        make_file(A, make_manifest("a")),
        make_symlink("y/foo.egg-info", "z"),
        make_folder("z/foo.egg-info"),
        make_opaque("q"),
        *make_whiteouts("p"),
    ]
    facts = read_layer(FakeLayer("0", content), ECOSYSTEMS)
    stored_facts = canonical.decode(LayerFacts, canonical.encode(facts))
    assert stored_facts == facts
    assert combine_facts(make_image(), [stored_facts], ECOSYSTEMS) == read_inventory(content)


def test_the_version_of_facts_names_every_plugin() -> None:
    assert compute_facts_version(ECOSYSTEMS).split()[1:] == [f"{kind.name}:{kind.version}" for kind in ECOSYSTEMS]


def test_a_path_that_cannot_exist_is_unread() -> None:
    for path in ("a/" * 3000 + "b", "a\0b"):
        result = read_inventory([make_file(A, make_manifest("a")), make_file(path)])
        assert [entry.path for entry in result.unread] == ["/"]


def test_a_layer_of_100000_entries_is_read_quickly() -> None:
    content = [make_file("etc/os-release", DEBIAN), make_status(make_stanza("a", "1"))]
    content += [Entry(f"usr/share/{at % 100}/some/folder/file-{at}", "file", 10) for at in range(100_000)]
    before = time.process_time()
    result = read_inventory(
        content, [make_status(make_stanza("b", "1"))], make_whiteouts(*(f"usr/share/{at}" for at in range(100)))
    )
    assert list_names(result) == ["b 1"]
    assert time.process_time() - before < 5


def test_deep_paths_and_many_layers_cost_little() -> None:
    deep = "d/" * 900 + "node_modules/a/package.json"
    before = time.process_time()
    assert list_names(
        read_inventory([make_file(deep, make_manifest("a"))], *([make_file(f"f{at}")] for at in range(200)))
    ) == ["a 1.0.0"]
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    "name",
    [
        "files",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("symlinks", "whiteouts", "opaques")),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("folders", "implied_folders")),
    ],
)
def test_layers_that_take_too_much_memory_together_are_unread(name: str) -> None:
    """Hundreds of layers, each of which is within the limits of one, would fill the memory."""
    paths = tuple(str(at) for at in range(100_000))
    content: Any = {"files": "\0".join(paths), "symlinks": dict.fromkeys(paths, "a")}.get(name, paths)
    layers = [LayerFacts(str(at), **{name: content}) for at in range(IMAGE_LIMIT // 5_000_000)]
    result = combine_facts(make_image(*[[] for _ in layers]), layers, ECOSYSTEMS)
    reasons = [entry.reason for entry in result.unread if entry.layer]
    assert any("contains too many files and packages" in reason for reason in reasons)
    in_memory = FactsInMemory()
    in_memory.start_image()
    for facts in layers * 2:
        in_memory.add(facts)
    assert any(facts.unread for facts in in_memory.values())
    in_memory.start_image()
    assert not in_memory


def test_unread_entries_are_listed_up_to_a_limit_and_the_others_counted() -> None:
    """30,000 jars in one folder of a long path made a verdict of 330 megabytes."""
    folder = "/".join(["x" * 250] * 15)
    broken_archives = [make_file(f"{folder}/{at}.jar", "no archive") for at in range(1_000)]
    few_unread, all_unread = read_inventory(broken_archives[:100]).unread, read_inventory(broken_archives).unread
    assert len([entry for entry in few_unread if entry.path.startswith(folder)]) == 100
    listed_entries = [entry for entry in all_unread if entry.path.startswith(folder)]
    assert 100 < len(listed_entries) < 1_000
    assert sum(len(entry.path) + len(entry.reason) for entry in all_unread) <= UNREAD_LIMIT + 200
    hidden_count = 1_000 - len(listed_entries)
    assert any(
        entry.path == "/" and f"{hidden_count} more files and parts cannot be read" in entry.reason
        for entry in all_unread
    )


def test_packages_of_no_image_have_no_digest_and_are_encoded_as_before() -> None:
    inventory = Inventory(None, None, None, (), (), ())
    with pytest.raises(ValueError, match="of no image"):
        _ = inventory.image_digest
    assert b'"image":""' in canonical.encode(inventory)
    assert canonical.decode(Inventory, canonical.encode(inventory)) == inventory
