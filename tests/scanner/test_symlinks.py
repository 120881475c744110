"""Symbolic links to folders: writing below one, or hiding package metadata behind one, makes the image undetermined."""

import io
import itertools

import pytest
from tests.scanner.layers import (
    DEBIAN,
    ECOSYSTEMS,
    dist_info,
    dpkg_list,
    file,
    folder,
    inventory,
    names,
    opaque,
    stanza,
    status,
    symlink,
    whiteout,
)

from dockgate.scanner.ports import Entry, Extract

SYSTEM = [
    file("usr/lib/os-release", DEBIAN),
    symlink("etc/os-release", "../usr/lib/os-release"),
    status(stanza("bash", "5")),
    dpkg_list("bash", "usr", "usr/bin", "usr/bin/bash"),
    file("usr/bin/bash"),
]
LODASH = '{"name": "lodash", "version": "4.17.20"}'
METADATA = "Name: flask\nVersion: 1\n"


def reasons(*layers: list[Entry]) -> list[str]:
    return [f"{entry.path}: {entry.reason}" for entry in inventory(SYSTEM, *layers).unread]


def crossed(folder: str) -> str:
    return f"{folder}: {folder} is not a folder in a lower layer, and this layer writes below it as if it were one."


# --- writing below a link ----------------------------------------------------------------------------------------

THROUGH = [
    ("x", "app/node_modules", file("x/lodash/package.json", LODASH)),
    ("x.so", "app/node_modules", file("x.so/lodash/package.json", LODASH)),
    ("lib/libx.so.1", "/app/node_modules", file("lib/libx.so.1/lodash/package.json", LODASH)),
    ("srv/x", "../app/node_modules", file("srv/x/a/package.json", LODASH)),
    ("x", "/app/node_modules/a", file("x/package.json", LODASH)),
    ("y", "var/lib", file("y/dpkg/status", stanza("bash", "9"))),
    ("y", "var/lib", file("y/dpkg/info/bash.list", "/.\n")),
    ("e", "etc", file("e/os-release", DEBIAN.replace("13", "12"))),
    ("e", "etc", symlink("e/os-release", "/x")),
    ("lib", "usr/lib", file("lib/nothing/of/note")),
    ("a", "a", file("a/x")),
]


@pytest.mark.parametrize(("link", "target", "written"), THROUGH)
def test_a_layer_that_writes_below_a_link_of_a_lower_one_is_unread(link: str, target: str, written: Entry) -> None:
    result = reasons([symlink(link, target)], [written])
    assert crossed(link) in result


@pytest.mark.parametrize(("link", "target", "written"), THROUGH)
def test_a_layer_that_writes_below_its_own_link_is_unread(link: str, target: str, written: Entry) -> None:
    for layer in ([symlink(link, target), written], [written, symlink(link, target)]):
        (reason,) = reasons(layer)
        assert f"{link} is a folder and something else in the same layer" in reason


def test_a_link_of_a_linked_folder_is_no_way_round() -> None:
    """Found by the layer fuzzer: a link in a folder that a lower layer has as a link."""
    merged = [symlink("lib", "usr/lib")]
    above = [symlink("lib/l", "../specifications"), file("lib/l/g.gemspec")]
    assert any("lib/l is a folder and something else" in reason for reason in reasons(merged, above))


@pytest.mark.parametrize("lower", [file("x"), Entry("x", "hardlink", target="usr/bin/bash")])
def test_a_layer_that_writes_below_a_file_of_a_lower_one_is_unread(lower: Entry) -> None:
    below = [file("usr/bin/bash"), lower]
    assert crossed("x") in reasons(below, [file("x/a")])


def test_an_opaque_folder_that_is_a_link_below_is_unread() -> None:
    assert crossed("lib") in reasons([symlink("lib", "usr/lib")], [opaque("lib")])


def test_a_folder_takes_a_links_place() -> None:
    written = [folder("x"), folder("x/lodash"), file("x/lodash/package.json", LODASH)]
    assert reasons([symlink("x", "srv")], written) == []


@pytest.mark.parametrize("removal", [whiteout("s/x"), whiteout("s"), [folder("s"), opaque("s")], [file("s")]])
def test_a_link_that_a_layer_between_removed_is_none(removal: list[Entry]) -> None:
    above = [folder("s"), file("s/x/a")]
    assert reasons([symlink("s/x", "srv")], removal, above) == []


# --- evidence behind a link --------------------------------------------------------------------------------------

HIDDEN = [
    ("var", "data", file("data/lib/dpkg/status.d/curl", stanza("curl", "1"))),
    ("var/lib", "../data", file("data/dpkg/status.d/curl", stanza("curl", "1"))),
    ("var/lib/dpkg", "/data", file("data/status", stanza("curl", "1"))),
    ("lib", "data", file("data/apk/db/installed", "P:a\nV:1\n\n")),
    ("usr/lib/sysimage", "/data", file("data/rpm/rpmdb.sqlite", "x")),
    ("var/db", "/data.so", file("data.so/pkg/local.sqlite", "x")),
    ("opt/bitnami", "../data", file("data/curl/.spdx-curl.spdx", "{}")),
    ("opt", "data", file("data/docker/sbom/curl/.spdx.curl.json", "{}")),
    ("usr/share", "/data", file("data/nodejs/lodash/package.json", LODASH)),
    ("app/flask-1.dist-info", "../data", file("data/METADATA", METADATA)),
    ("app/packages", "../data", file("data/Flux/abc/Project.toml", 'name = "Flux"\nversion = "1"\n')),
    ("app/node_modules", "../data", file("data/lodash/package.json", LODASH)),
]


@pytest.mark.parametrize(("link", "target", "hidden"), HIDDEN)
def test_evidence_that_only_a_link_leads_to_is_noticed(link: str, target: str, hidden: Entry) -> None:
    base = [folder("app"), file("app/node_modules_/x")]
    result = inventory(base, [symlink(link, target), hidden]).unread
    assert result, "nothing is unread"
    assert any(entry.path.startswith(link) for entry in result), [entry.path for entry in result]


def test_evidence_behind_a_link_in_a_linked_folder_is_noticed() -> None:
    links = [symlink("var", "data"), symlink("data/lib", "/other"), file("other/dpkg/status.d/a", stanza("a", "1"))]
    assert any(entry.path == "var/lib/dpkg/status.d/a" for entry in inventory(links).unread)


def test_links_are_followed_from_one_to_the_next() -> None:
    links = [symlink("var/lib", "/a"), symlink("a", "b/c"), symlink("b/c", "/d"), file("d/dpkg/status.d/a", "x")]
    assert any(entry.path == "var/lib/dpkg/status.d/a" for entry in inventory(links).unread)


def test_a_link_and_what_it_leads_to_may_be_of_different_layers() -> None:
    data = [file("data/dpkg/status.d/curl", stanza("curl", "1"))]
    link = [symlink("var/lib", "/data")]
    for layers in ((data, link), (link, data)):
        assert any(entry.path == "var/lib/dpkg/status.d/curl" for entry in inventory(*layers).unread)


def test_a_link_that_was_removed_hides_nothing() -> None:
    data = [folder("opt"), file("data/curl/.spdx-curl.spdx", "{}"), symlink("opt/bitnami", "../data")]
    assert reasons(data) != []
    assert reasons(data, whiteout("opt/bitnami")) == []
    assert reasons(data, whiteout("data/curl")) != []  # the link itself is one to evidence


# --- honest use --------------------------------------------------------------------------------------------------


def test_a_merged_usr_is_accepted() -> None:
    flask = dist_info("usr/lib/python3/dist-packages/flask-1.dist-info", "flask", "1")
    merged = [symlink(name, f"usr/{name}") for name in ("bin", "lib", "lib64", "sbin")]
    assert reasons(merged, [*flask, file("usr/lib/x.conf")]) == []
    assert names(inventory(SYSTEM, merged, flask)) == ["bash 5", "flask 1"]
    apk = "usr/lib/apk/db/installed"
    assert (
        inventory(merged, [file("etc/os-release", "ID=alpine\nVERSION_ID=3.22\n"), file(apk, "P:a\nV:1\n\n")]).unread
        == ()
    )


def test_a_link_that_a_package_brings_is_that_packages_affair() -> None:
    """Unless it leads to evidence of a distribution, or the list that claims it is of another layer."""
    more = [symlink("usr/share/nodejs", "/data"), file("data/lodash/package.json", LODASH)]
    owned = [dpkg_list("node", "usr/share/nodejs"), status(stanza("bash", "5"), stanza("node", "1"))]
    base = [*SYSTEM[:2], *SYSTEM[3:]]
    assert inventory([*base, *owned, *more]).unread == ()
    assert inventory([*base, *owned], more).unread != ()
    owned = [dpkg_list("node", "var/lib"), status(stanza("bash", "5"), stanza("node", "1"))]
    hidden = [symlink("lib", "/data"), file("data/apk/db/installed", "P:a\nV:1\n\n")]
    assert inventory([*base, *owned, *hidden]).unread != ()


def test_workspaces_and_doubled_folders_are_accepted() -> None:
    workspace = [
        folder("app"),
        file("app/packages/lodash/package.json", LODASH),
        symlink("app/node_modules/lodash", "../packages/lodash"),
        symlink("usr/share/doc/a", "b"),
        file("usr/share/doc/b/copyright"),
        symlink("usr/bin/X11", "."),
        symlink("app/root", "/"),
    ]
    assert reasons(workspace) == []


@pytest.mark.parametrize("links", [[symlink("a", "a")], [symlink("a", "b"), symlink("b", "a/c")]])
def test_links_in_a_circle_lead_nowhere(links: list[Entry]) -> None:
    assert reasons(links) == []


def test_what_is_wanted_for_a_part_of_its_path_has_a_name_or_suffix_of_evidence() -> None:
    """Of most files in a linked folder no ecosystem is asked: by its own path it would have been no evidence either."""
    folders = ("", "a/", "@a/b/", "a/b/", "a/b/c/", "x@1/node_modules/a/")
    parts = {part.strip("/") for kind in ECOSYSTEMS for part in kind.triggers.parts}
    for kind in ECOSYSTEMS:
        triggers = kind.triggers
        expected_names = {name for ecosystem in ECOSYSTEMS for name in ecosystem.triggers.names}
        suffixes = {suffix for ecosystem in ECOSYSTEMS for suffix in ecosystem.triggers.suffixes}
        for part, below in itertools.product(parts if triggers.parts else (), folders):
            for name in ("package.yaml", "data", "cache.bin", "index.js", "meta"):
                assert name not in expected_names
                assert name[name.rfind(".") :] not in suffixes
                path = f"x/{part}/{below}{name}"
                file_of_package = kind.should_read(path, 1, 0o644, b"x" * 64) and kind.read(path, io.BytesIO(b"x" * 64))
                assert not file_of_package or file_of_package == Extract(), path
