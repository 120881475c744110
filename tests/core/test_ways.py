"""Files written through symbolic links lie where the links lead, and are looked for there."""

import pytest
from dockgate.core.ways import LINKS_LIMIT
from tests.core.layers import (
    DEBIAN,
    dist_info,
    dpkg_list,
    file,
    folder,
    inventory,
    names,
    stanza,
    status,
    symlink,
    whiteout,
)

from dockgate.core.ports import Entry

SYSTEM = [
    file("usr/lib/os-release", DEBIAN),
    symlink("etc/os-release", "../usr/lib/os-release"),
    status(stanza("bash", "5")),
    dpkg_list("bash", "usr", "usr/bin", "usr/bin/bash"),
    file("usr/bin/bash"),
]
LODASH = '{"name": "lodash", "version": "4.17.20"}'


def reasons(*layers: list[Entry]) -> list[str]:
    return [f"{entry.path}: {entry.reason}" for entry in inventory(SYSTEM, *layers).unread]


@pytest.mark.parametrize("parted", [False, True])
@pytest.mark.parametrize(
    ("link", "written", "place"),
    [
        (
            symlink("x", "app/node_modules"),
            file("x/lodash/package.json", LODASH),
            "app/node_modules/lodash/package.json",
        ),
        (
            symlink("srv/x", "../app/node_modules"),
            file("srv/x/a/package.json", LODASH),
            "app/node_modules/a/package.json",
        ),
        (symlink("x", "/app/node_modules/a"), file("x/package.json", LODASH), "app/node_modules/a/package.json"),
        (symlink("y", "var/lib"), file("y/dpkg/status", stanza("bash", "9")), "var/lib/dpkg/status"),
        (symlink("y", "var/lib"), file("y/dpkg/info/bash.list", "/.\n"), "var/lib/dpkg/info/bash.list"),
        (symlink("e", "etc"), file("e/os-release", DEBIAN.replace("13", "12")), "etc/os-release"),
        (symlink("e", "etc"), symlink("e/os-release", "/x"), "etc/os-release"),
    ],
)
def test_evidence_written_through_a_link_is_noticed(link: Entry, written: Entry, place: str, parted: bool) -> None:
    layers = [[link], [written]] if parted else [[link, written]]
    assert reasons(*layers) == [
        f"{written.path}: {written.path} goes through a link to {place}, as which it was not read."
    ]


def test_links_are_followed_from_one_to_the_next() -> None:
    links = [symlink("a", "b/c"), symlink("b/c", "/d"), symlink("d", "app/node_modules")]
    found = reasons(links, [file("a/lodash/package.json", LODASH)])
    assert "goes through a link to app/node_modules/lodash/package.json" in found[0]


def test_a_folder_told_of_below_a_link_is_no_way_round() -> None:
    found = reasons([symlink("x", "app/node_modules"), folder("x/lodash"), file("x/lodash/package.json", LODASH)])
    assert "goes through a link to app/node_modules/lodash/package.json" in found[0]


@pytest.mark.parametrize("removal", [whiteout("x"), [file("x")], [symlink("x", "etc")]])
@pytest.mark.parametrize(
    ("link", "written", "place"),
    [
        ("app/node_modules", file("x/lodash/package.json", LODASH), "app/node_modules/lodash/package.json"),
        ("srv", file("x/flask-1.dist-info/METADATA", "Name: flask\nVersion: 1\n"), "srv/flask-1.dist-info/METADATA"),
    ],
)
def test_who_removes_the_link_leaves_what_was_written_through_it(
    link: str, written: Entry, place: str, removal: list[Entry]
) -> None:
    assert reasons([symlink("x", link)], [written], removal) == [
        f"{written.path}: {written.path} goes through a link to {place}, as which it was not read."
    ]


# --- honest use --------------------------------------------------------------------------------------------------


def test_a_merged_usr_is_believed() -> None:
    flask = dist_info("lib/python3/dist-packages/flask-1.dist-info", "flask", "1")
    assert reasons([symlink("lib", "usr/lib")], [*flask, file("lib/x.conf")]) == []
    assert names(inventory(SYSTEM, [symlink("lib", "usr/lib")], flask)) == ["bash 5", "flask 1"]


def test_a_folder_takes_a_links_place() -> None:
    written = [folder("x"), file("x/lodash/package.json", LODASH)]
    assert reasons([symlink("x", "app/node_modules")], written) == []
    assert reasons([symlink("x", "app/node_modules"), *written]) == []


def test_a_link_that_was_removed_leads_nowhere() -> None:
    written = [*whiteout("x"), file("x/lodash/package.json", LODASH)]
    assert reasons([symlink("x", "app/node_modules")], written) == []


def test_what_is_no_evidence_may_lie_anywhere() -> None:
    assert reasons([symlink("x", "srv")], [file("x/a"), file("x/project/package.json", LODASH)]) == []


def test_what_was_removed_again_does_not_matter() -> None:
    written = [symlink("x", "app/node_modules"), file("x/lodash/package.json", LODASH)]
    assert reasons(written, [*whiteout("x"), *whiteout("app/node_modules")]) == []


@pytest.mark.parametrize("links", [[symlink("a", "a")], [symlink("a", "b"), symlink("b", "a/c")]])
def test_links_in_a_circle_lead_nowhere(links: list[Entry]) -> None:
    assert reasons(links, [file("a/node_modules/lodash/package.json", LODASH)]) == []


def test_more_links_than_any_image_has_are_refused() -> None:
    found = inventory(SYSTEM, [symlink(f"x/{at}", "y") for at in range(LINKS_LIMIT + 1)])
    assert [entry.path for entry in found.unread] == ["/"]
    assert "symbolic links" in found.unread[0].reason
