"""Symbolic links to folders: writing below one, or hiding package metadata behind one, makes the image undetermined."""

import io
import itertools

import pytest
from tests.scanner.layers import (
    DEBIAN,
    ECOSYSTEMS,
    list_names,
    make_dist_info,
    make_dpkg_list,
    make_file,
    make_folder,
    make_opaque,
    make_stanza,
    make_status,
    make_symlink,
    make_whiteouts,
    read_inventory,
)

from dockgate.scanner.ports import Entry, Extract

SYSTEM = [
    make_file("usr/lib/os-release", DEBIAN),
    make_symlink("etc/os-release", "../usr/lib/os-release"),
    make_status(make_stanza("bash", "5")),
    make_dpkg_list("bash", "usr", "usr/bin", "usr/bin/bash"),
    make_file("usr/bin/bash"),
]
LODASH = '{"name": "lodash", "version": "4.17.20"}'
METADATA = "Name: flask\nVersion: 1\n"


def list_reasons(*layers: list[Entry]) -> list[str]:
    return [f"{entry.path}: {entry.reason}" for entry in read_inventory(SYSTEM, *layers).unread]


def describe_crossing(folder: str) -> str:
    return f"{folder}: {folder} is not a folder in a lower layer, and this layer writes below it as if it were one."


# --- writing below a link ----------------------------------------------------------------------------------------

THROUGH = [
    ("x", "app/node_modules", make_file("x/lodash/package.json", LODASH)),
    ("x.so", "app/node_modules", make_file("x.so/lodash/package.json", LODASH)),
    ("lib/libx.so.1", "/app/node_modules", make_file("lib/libx.so.1/lodash/package.json", LODASH)),
    ("srv/x", "../app/node_modules", make_file("srv/x/a/package.json", LODASH)),
    ("x", "/app/node_modules/a", make_file("x/package.json", LODASH)),
    ("y", "var/lib", make_file("y/dpkg/status", make_stanza("bash", "9"))),
    ("y", "var/lib", make_file("y/dpkg/info/bash.list", "/.\n")),
    ("e", "etc", make_file("e/os-release", DEBIAN.replace("13", "12"))),
    ("e", "etc", make_symlink("e/os-release", "/x")),
    ("lib", "usr/lib", make_file("lib/nothing/of/note")),
    ("a", "a", make_file("a/x")),
]


@pytest.mark.parametrize(("link", "target", "written_entry"), THROUGH)
def test_a_layer_that_writes_below_a_link_of_a_lower_one_is_unread(
    link: str, target: str, written_entry: Entry
) -> None:
    result = list_reasons([make_symlink(link, target)], [written_entry])
    assert describe_crossing(link) in result


@pytest.mark.parametrize(("link", "target", "written_entry"), THROUGH)
def test_a_layer_that_writes_below_its_own_link_is_unread(link: str, target: str, written_entry: Entry) -> None:
    for layer in ([make_symlink(link, target), written_entry], [written_entry, make_symlink(link, target)]):
        (reason,) = list_reasons(layer)
        assert f"{link} is a folder and something else in the same layer" in reason


def test_a_link_of_a_linked_folder_is_no_way_round() -> None:
    """Found by the layer fuzzer: a link in a folder that a lower layer has as a link."""
    merged_layer = [make_symlink("lib", "usr/lib")]
    upper_layer = [make_symlink("lib/l", "../specifications"), make_file("lib/l/g.gemspec")]
    assert any("lib/l is a folder and something else" in reason for reason in list_reasons(merged_layer, upper_layer))


@pytest.mark.parametrize("lower", [make_file("x"), Entry("x", "hardlink", target="usr/bin/bash")])
def test_a_layer_that_writes_below_a_file_of_a_lower_one_is_unread(lower: Entry) -> None:
    lower_layer = [make_file("usr/bin/bash"), lower]
    assert describe_crossing("x") in list_reasons(lower_layer, [make_file("x/a")])


def test_an_opaque_folder_that_is_a_link_below_is_unread() -> None:
    assert describe_crossing("lib") in list_reasons([make_symlink("lib", "usr/lib")], [make_opaque("lib")])


def test_a_folder_takes_a_links_place() -> None:
    new_folder = [make_folder("x"), make_folder("x/lodash"), make_file("x/lodash/package.json", LODASH)]
    assert list_reasons([make_symlink("x", "srv")], new_folder) == []


@pytest.mark.parametrize(
    "removal", [make_whiteouts("s/x"), make_whiteouts("s"), [make_folder("s"), make_opaque("s")], [make_file("s")]]
)
def test_a_link_that_a_layer_between_removed_is_none(removal: list[Entry]) -> None:
    upper_layer = [make_folder("s"), make_file("s/x/a")]
    assert list_reasons([make_symlink("s/x", "srv")], removal, upper_layer) == []


# --- evidence behind a link --------------------------------------------------------------------------------------

HIDDEN = [
    ("var", "data", make_file("data/lib/dpkg/status.d/curl", make_stanza("curl", "1"))),
    ("var/lib", "../data", make_file("data/dpkg/status.d/curl", make_stanza("curl", "1"))),
    ("var/lib/dpkg", "/data", make_file("data/status", make_stanza("curl", "1"))),
    ("lib", "data", make_file("data/apk/db/installed", "P:a\nV:1\n\n")),
    ("usr/lib/sysimage", "/data", make_file("data/rpm/rpmdb.sqlite", "x")),
    ("var/db", "/data.so", make_file("data.so/pkg/local.sqlite", "x")),
    ("opt/bitnami", "../data", make_file("data/curl/.spdx-curl.spdx", "{}")),
    ("opt", "data", make_file("data/docker/sbom/curl/.spdx.curl.json", "{}")),
    ("usr/share", "/data", make_file("data/nodejs/lodash/package.json", LODASH)),
    ("app/flask-1.dist-info", "../data", make_file("data/METADATA", METADATA)),
    ("app/packages", "../data", make_file("data/Flux/abc/Project.toml", 'name = "Flux"\nversion = "1"\n')),
    ("app/node_modules", "../data", make_file("data/lodash/package.json", LODASH)),
]


@pytest.mark.parametrize(("link", "target", "hidden_entries"), HIDDEN)
def test_evidence_that_only_a_link_leads_to_is_noticed(link: str, target: str, hidden_entries: Entry) -> None:
    base = [make_folder("app"), make_file("app/node_modules_/x")]
    result = read_inventory(base, [make_symlink(link, target), hidden_entries]).unread
    assert result, "nothing is unread"
    assert any(entry.path.startswith(link) for entry in result), [entry.path for entry in result]


def test_evidence_behind_a_link_in_a_linked_folder_is_noticed() -> None:
    links = [
        make_symlink("var", "data"),
        make_symlink("data/lib", "/other"),
        make_file("other/dpkg/status.d/a", make_stanza("a", "1")),
    ]
    assert any(entry.path == "var/lib/dpkg/status.d/a" for entry in read_inventory(links).unread)


def test_chains_of_links_are_followed() -> None:
    links = [
        make_symlink("var/lib", "/a"),
        make_symlink("a", "b/c"),
        make_symlink("b/c", "/d"),
        make_file("d/dpkg/status.d/a", "x"),
    ]
    assert any(entry.path == "var/lib/dpkg/status.d/a" for entry in read_inventory(links).unread)


def test_a_link_and_what_it_leads_to_may_be_of_different_layers() -> None:
    data = [make_file("data/dpkg/status.d/curl", make_stanza("curl", "1"))]
    link = [make_symlink("var/lib", "/data")]
    for layers in ((data, link), (link, data)):
        assert any(entry.path == "var/lib/dpkg/status.d/curl" for entry in read_inventory(*layers).unread)


def test_a_link_that_was_removed_hides_nothing() -> None:
    data = [make_folder("opt"), make_file("data/curl/.spdx-curl.spdx", "{}"), make_symlink("opt/bitnami", "../data")]
    assert list_reasons(data) != []
    assert list_reasons(data, make_whiteouts("opt/bitnami")) == []
    assert list_reasons(data, make_whiteouts("data/curl")) != []  # the link itself is one to evidence


# --- honest use --------------------------------------------------------------------------------------------------


def test_a_merged_usr_is_accepted() -> None:
    flask = make_dist_info("usr/lib/python3/dist-packages/flask-1.dist-info", "flask", "1")
    merged_layer = [make_symlink(name, f"usr/{name}") for name in ("bin", "lib", "lib64", "sbin")]
    assert list_reasons(merged_layer, [*flask, make_file("usr/lib/x.conf")]) == []
    assert list_names(read_inventory(SYSTEM, merged_layer, flask)) == ["bash 5", "flask 1"]
    apk = "usr/lib/apk/db/installed"
    assert (
        read_inventory(
            merged_layer, [make_file("etc/os-release", "ID=alpine\nVERSION_ID=3.22\n"), make_file(apk, "P:a\nV:1\n\n")]
        ).unread
        == ()
    )


def test_a_link_that_a_package_brings_is_that_packages_affair() -> None:
    """Unless it leads to evidence of a distribution, or the list that claims it is of another layer."""
    extra_entries = [make_symlink("usr/share/nodejs", "/data"), make_file("data/lodash/package.json", LODASH)]
    owned_entries = [
        make_dpkg_list("node", "usr/share/nodejs"),
        make_status(make_stanza("bash", "5"), make_stanza("node", "1")),
    ]
    base = [*SYSTEM[:2], *SYSTEM[3:]]
    assert read_inventory([*base, *owned_entries, *extra_entries]).unread == ()
    assert read_inventory([*base, *owned_entries], extra_entries).unread != ()
    owned_entries = [make_dpkg_list("node", "var/lib"), make_status(make_stanza("bash", "5"), make_stanza("node", "1"))]
    hidden_entries = [make_symlink("lib", "/data"), make_file("data/apk/db/installed", "P:a\nV:1\n\n")]
    assert read_inventory([*base, *owned_entries, *hidden_entries]).unread != ()


def test_workspaces_and_doubled_folders_are_accepted() -> None:
    workspace = [
        make_folder("app"),
        make_file("app/packages/lodash/package.json", LODASH),
        make_symlink("app/node_modules/lodash", "../packages/lodash"),
        make_symlink("usr/share/doc/a", "b"),
        make_file("usr/share/doc/b/copyright"),
        make_symlink("usr/bin/X11", "."),
        make_symlink("app/root", "/"),
    ]
    assert list_reasons(workspace) == []


@pytest.mark.parametrize("links", [[make_symlink("a", "a")], [make_symlink("a", "b"), make_symlink("b", "a/c")]])
def test_links_in_a_circle_lead_nowhere(links: list[Entry]) -> None:
    assert list_reasons(links) == []


def test_what_is_wanted_for_a_part_of_its_path_has_a_name_or_suffix_of_evidence() -> None:
    """Of most files in a linked folder no ecosystem is asked: by its own path it would have been no evidence either."""
    folders = ("", "a/", "@a/b/", "a/b/", "a/b/c/", "x@1/node_modules/a/")
    parts = {part.strip("/") for kind in ECOSYSTEMS for part in kind.triggers.parts}
    for kind in ECOSYSTEMS:
        triggers = kind.triggers
        expected_names = {name for ecosystem in ECOSYSTEMS for name in ecosystem.triggers.names}
        suffixes = {suffix for ecosystem in ECOSYSTEMS for suffix in ecosystem.triggers.suffixes}
        for part, subfolder in itertools.product(parts if triggers.parts else (), folders):
            for name in ("package.yaml", "data", "cache.bin", "index.js", "meta"):
                assert name not in expected_names
                assert name[name.rfind(".") :] not in suffixes
                path = f"x/{part}/{subfolder}{name}"
                file_of_package = kind.should_read(path, 1, 0o644, b"x" * 64) and kind.read(path, io.BytesIO(b"x" * 64))
                assert not file_of_package or file_of_package == Extract(), path
