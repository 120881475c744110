"""Detect an apk database or repositories file that was changed without its files; accept honest use of apk."""

import pytest
from tests.scanner.layers import (
    DEBIAN,
    list_names,
    make_file,
    make_opaque,
    make_stanza,
    make_status,
    make_symlink,
    make_whiteouts,
    read_inventory,
)

from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Entry

DATABASE, MERGED = "lib/apk/db/installed", "usr/lib/apk/db/installed"
REPOSITORIES = "etc/apk/repositories"
ALPINE = 'ID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME="Alpine Linux v3.19"\n'
SITE = "usr/lib/python3.11/site-packages"
METADATA = f"{SITE}/six-1.15.0.dist-info/METADATA"
SIX = make_file(METADATA, "Metadata-Version: 2.1\nName: six\nVersion: 1.15.0\n")


def entry(name: str, version: str, *paths: str, more: str = "") -> str:
    lines = [f"P:{name}", f"V:{version}", "A:x86_64", *([more] if more else [])]
    for path in paths:
        folder, _, base = path.rpartition("/")
        lines += [f"F:{folder}", f"R:{base}"]
    return "\n".join(lines) + "\n\n"


def installed(*entries: str, path: str = DATABASE) -> Entry:
    return make_file(path, "".join(entries))


def repositories(*releases: str) -> Entry:
    return make_file(REPOSITORIES, "".join(f"https://alpine.example/alpine/{release}/main\n" for release in releases))


RELEASE = entry("alpine-release", "3.19.1-r0", "usr/lib/os-release")
MUSL = entry("musl", "1.2.4-r2", "lib/ld-musl-x86_64.so.1")
OPENSSL = ("lib/libssl.so.3", "etc/ssl/openssl.cnf")
BASE = [
    make_file("usr/lib/os-release", ALPINE),
    make_symlink("etc/os-release", "../usr/lib/os-release"),
    *map(make_file, ("lib/ld-musl-x86_64.so.1", *OPENSSL)),
    repositories("v3.19"),
    installed(RELEASE, MUSL, entry("libssl3", "3.1.4-r0", *OPENSSL, more="o:openssl")),
]


def reasons(result: Inventory) -> str:
    return "\n".join(entry.reason for entry in result.unread)


def doubts(*layers: list[Entry]) -> str:
    """Of the base with these layers above it."""
    return reasons(read_inventory(BASE, *layers))


def test_an_honest_image_is_accepted() -> None:
    result = read_inventory(BASE)
    assert result.unread == ()
    assert {package.ecosystem for package in result.packages} == {"Alpine:v3.19"}


# --- edits -------------------------------------------------------------------------------------------------------


def test_an_entry_removed_while_its_files_stay_is_noticed() -> None:
    result = read_inventory(BASE, [installed(RELEASE, MUSL)])
    assert (
        reasons(result)
        == "libssl3 3.1.4-r0 is no longer in the package database, yet its file lib/libssl.so.3 is there."
    )
    assert [(entry.path, entry.layer) for entry in result.unread] == [(DATABASE, "0")]


def test_an_entry_removed_in_steps_is_noticed() -> None:
    bare = [installed(RELEASE, MUSL, entry("libssl3", "3.1.4-r0", more="o:openssl"))]
    assert "libssl3 3.1.4-r0 is no longer" in doubts(bare, [installed(RELEASE, MUSL)])
    claim = entry("musl", "1.2.4-r2", "lib/ld-musl-x86_64.so.1", *OPENSSL)
    assert "libssl3 3.1.4-r0 is no longer" in doubts([installed(RELEASE, claim), make_file("lib/libssl.so.3")])


def test_a_version_or_an_origin_changed_while_the_files_stay_is_noticed() -> None:
    raised = entry("libssl3", "3.1.8-r9", *OPENSSL, more="o:openssl")
    assert "libssl3 became 3.1.8-r9" in doubts([installed(RELEASE, MUSL, raised)])
    renamed = entry("libssl3", "3.1.4-r0", *OPENSSL, more="o:nothing")
    assert "libssl3 became 3.1.4-r0 of the source nothing" in doubts([installed(RELEASE, MUSL, renamed)])
    claim = entry("musl", "1.2.4-r2", "lib/ld-musl-x86_64.so.1", *OPENSSL)
    assert "libssl3 became 3.1.8-r9" in doubts([installed(RELEASE, claim, raised)])


def test_an_entry_called_virtual_is_still_a_package_while_it_has_files() -> None:
    """Virtual packages are passed over: `apk add --virtual` makes them, and they hold nothing."""
    hidden = entry("libssl3", "3.1.4-r0", *OPENSSL, more="T:virtual meta package")
    assert "libssl3 3.1.4-r0" in list_names(read_inventory(BASE, [installed(RELEASE, MUSL, hidden)]))
    emptied = entry("libssl3", "3.1.4-r0", more="T:virtual meta package")
    assert "libssl3 3.1.4-r0 is no longer" in doubts([installed(RELEASE, MUSL, emptied)])


@pytest.mark.parametrize(
    "removal",
    [
        make_whiteouts(DATABASE),
        make_whiteouts("lib/apk"),
        [make_opaque("lib/apk/db")],
        [make_opaque("lib")],
        [make_symlink("lib/apk", "/elsewhere")],
        [make_symlink(DATABASE, "/dev/null")],
        [make_file("lib/apk", "")],
        [make_file(DATABASE, "")],
    ],
    ids=["file", "folder", "opaque", "opaque above", "link above", "link", "file in a folder's place", "emptied"],
)
def test_a_database_removed_by_a_later_layer_is_noticed(removal: list[Entry]) -> None:
    result = read_inventory(BASE, removal)
    assert DATABASE in {entry.path for entry in result.unread}
    assert result.packages == ()


def test_a_database_moved_and_edited_is_noticed() -> None:
    moved = [*make_whiteouts("lib/apk"), installed(RELEASE, MUSL, path=MERGED)]
    assert "libssl3 3.1.4-r0 is no longer" in doubts(moved)
    assert "libssl3 3.1.4-r0 is no longer" in doubts([make_symlink("lib/apk", "/usr/lib/apk"), moved[-1]])


def test_two_databases_that_contradict_each_other_are_noticed() -> None:
    result = read_inventory(BASE, [installed(RELEASE, MUSL, path=MERGED)])
    assert f"{MERGED} and {DATABASE} contradict each other: only {DATABASE} lists libssl3 3.1.4-r0" in reasons(result)
    assert "libssl3 3.1.4-r0" in list_names(result)


def test_repositories_of_another_release_are_noticed() -> None:
    """They decide by which release's advisories packages are judged."""
    for release in ("v3.20", "v3.1"):
        result = read_inventory(BASE, [repositories(release)])
        assert [(entry.path, entry.layer) for entry in result.unread] == [(REPOSITORIES, "1")]
        assert f"{REPOSITORIES} serves {release}, where os-release says 3.19.1" in reasons(result)
    assert "serves v3.20" in doubts([repositories("v3.19", "v3.20")])
    assert "is a link to opt/repositories, which was not read" in doubts(
        [make_symlink(REPOSITORIES, "/opt/repositories")]
    )


def test_repositories_of_edge_lead_to_a_release_that_no_feed_covers() -> None:
    """Many add some of edge to a release, so it is not an edit; nor does it make anything clean."""
    result = read_inventory(BASE, [repositories("v3.19", "edge")])
    assert result.unread == ()
    assert {package.ecosystem for package in result.packages} == {"Alpine:edge"}


def test_repositories_and_os_release_of_another_release_are_noticed() -> None:
    renamed = [make_file("usr/lib/os-release", ALPINE.replace("3.19", "3.20")), repositories("v3.20")]
    reason = "says alpine 3.20.1 where a layer below says alpine 3.19.1"
    assert reason in doubts(renamed)
    less = entry("less", "643-r1", "usr/bin/less")
    more = installed(RELEASE, MUSL, entry("libssl3", "3.1.4-r0", *OPENSSL, more="o:openssl"), less)
    assert reason in doubts([*renamed, more, make_file("usr/bin/less")])


@pytest.mark.parametrize("release", ["ID=wolfi\nVERSION_ID=20230201\n", DEBIAN, "ID=arch\n"])
def test_a_distribution_renamed_is_noticed(release: str) -> None:
    assert "usr/lib/os-release" in {
        entry.path for entry in read_inventory(BASE, [make_file("usr/lib/os-release", release)]).unread
    }


def test_an_image_turned_into_one_of_another_distribution_is_noticed() -> None:
    """Both databases are there, and each distribution would look into its own."""
    debian = [
        make_file("etc/os-release", DEBIAN),
        make_status(make_stanza("bash", "5"), make_stanza("openssl", "3.0")),
        make_file("usr/bin/bash"),
    ]
    alpine = [*make_whiteouts("etc/os-release"), make_file("usr/lib/os-release", ALPINE), installed(RELEASE, MUSL)]
    for layers in ([debian, alpine], [[*debian, *alpine[1:]]]):
        result = read_inventory(*layers)
        assert "of another distribution" in reasons(result)
        assert "openssl 3.0" in list_names(result)


# --- ownership ---------------------------------------------------------------------------------------------------


def owner(*layers: list[Entry]) -> str:
    return next(package.owner or "" for package in read_inventory(*layers).packages if package.name == "six")


def test_a_language_package_is_owned_by_what_came_with_it_alone() -> None:
    six = entry("py3-six", "1.15.0-r0", METADATA)
    database = installed(RELEASE, MUSL, entry("libssl3", "3.1.4-r0", *OPENSSL, more="o:openssl"), six)
    assert owner(BASE, [SIX, database]) == "py3-six"
    assert owner(BASE, [SIX], [database]) == ""
    assert owner(BASE, [database], [SIX]) == ""
    assert owner(BASE, [SIX, database], [SIX]) == ""
    claim = entry("musl", "1.2.4-r2", "lib/ld-musl-x86_64.so.1", METADATA)
    assert owner(BASE, [SIX, installed(RELEASE, claim)]) == ""


def test_a_claim_on_an_image_of_another_distribution_is_noticed() -> None:
    debian = [make_file("etc/os-release", DEBIAN), make_status(make_stanza("bash", "5"))]
    claim = [SIX, installed(entry("made-up", "1-r0", METADATA))]
    assert f"yet {DATABASE} lists packages of another distribution" in reasons(read_inventory(debian, claim))
    assert f"yet {DATABASE} lists packages of another distribution" in reasons(read_inventory([*debian, *claim]))


# --- honest use --------------------------------------------------------------------------------------------------


def test_apk_add_upgrade_and_del_are_accepted() -> None:
    less = entry("less", "643-r1", "usr/bin/less")
    ssl, newer = (entry("libssl3", f"3.1.{patch}-r0", *OPENSSL, more="o:openssl") for patch in (4, 8))
    add = [installed(RELEASE, MUSL, ssl, less), make_file("usr/bin/less")]
    upgrade = [installed(RELEASE, MUSL, newer, less), make_file("lib/libssl.so.3")]
    delete = [installed(RELEASE, MUSL, newer), *make_whiteouts("usr/bin/less")]
    last = [installed(RELEASE, MUSL), *make_whiteouts(*OPENSSL)]
    for upto in range(1, 5):
        assert doubts(*(add, upgrade, delete, last)[:upto]) == ""


def test_a_virtual_package_that_comes_and_goes_is_accepted() -> None:
    ssl = entry("libssl3", "3.1.4-r0", *OPENSSL, more="o:openssl")
    virtual, gcc = entry(".build", "20240101.0", more="T:virtual meta package"), entry("gcc", "13-r0", "usr/bin/gcc")
    build = [installed(RELEASE, MUSL, ssl, gcc, virtual), make_file("usr/bin/gcc")]
    assert doubts(build, [installed(RELEASE, MUSL, ssl), *make_whiteouts("usr/bin/gcc")]) == ""


def test_a_database_moved_with_all_its_packages_is_accepted() -> None:
    """As where /lib was merged into /usr."""
    content = (RELEASE, MUSL, entry("libssl3", "3.1.4-r0", *OPENSSL, more="o:openssl"))
    assert doubts([*make_whiteouts("lib/apk"), installed(*content, path=MERGED)]) == ""
    assert doubts([make_symlink("lib/apk", "/usr/lib/apk"), installed(*content, path=MERGED)]) == ""


def test_an_upgrade_of_the_distribution_is_accepted() -> None:
    upgrade = [
        make_file("usr/lib/os-release", ALPINE.replace("3.19", "3.20")),
        repositories("v3.20"),
        installed(entry("alpine-release", "3.20.1-r0", "usr/lib/os-release"), entry("musl", "1.2.5-r0", "lib/ld")),
        *map(make_file, ("lib/ld",)),
        *make_whiteouts("lib/ld-musl-x86_64.so.1", *OPENSSL),
    ]
    result = read_inventory(BASE, upgrade)
    assert result.unread == ()
    assert {package.ecosystem for package in result.packages} == {"Alpine:v3.20"}


def test_repositories_of_ones_own_are_accepted() -> None:
    assert doubts([repositories()]) == ""
    assert doubts([make_file(REPOSITORIES, "https://packages.example/alpine-3.19/main\n/srv/v3.19/community\n")]) == ""
    assert doubts(make_whiteouts(REPOSITORIES)) == ""
