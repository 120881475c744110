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


def make_entry(name: str, version: str, *paths: str, extra_line: str = "") -> str:
    lines = [f"P:{name}", f"V:{version}", "A:x86_64", *([extra_line] if extra_line else [])]
    for path in paths:
        folder, _, base = path.rpartition("/")
        lines += [f"F:{folder}", f"R:{base}"]
    return "\n".join(lines) + "\n\n"


def make_database(*entries: str, path: str = DATABASE) -> Entry:
    return make_file(path, "".join(entries))


def make_repositories(*releases: str) -> Entry:
    return make_file(REPOSITORIES, "".join(f"https://alpine.example/alpine/{release}/main\n" for release in releases))


RELEASE = make_entry("alpine-release", "3.19.1-r0", "usr/lib/os-release")
MUSL = make_entry("musl", "1.2.4-r2", "lib/ld-musl-x86_64.so.1")
OPENSSL = ("lib/libssl.so.3", "etc/ssl/openssl.cnf")
BASE = [
    make_file("usr/lib/os-release", ALPINE),
    make_symlink("etc/os-release", "../usr/lib/os-release"),
    *map(make_file, ("lib/ld-musl-x86_64.so.1", *OPENSSL)),
    make_repositories("v3.19"),
    make_database(RELEASE, MUSL, make_entry("libssl3", "3.1.4-r0", *OPENSSL, extra_line="o:openssl")),
]


def join_reasons(result: Inventory) -> str:
    return "\n".join(entry.reason for entry in result.unread)


def read_problems(*layers: list[Entry]) -> str:
    """Of the base with these layers above it."""
    return join_reasons(read_inventory(BASE, *layers))


def test_an_honest_image_is_accepted() -> None:
    result = read_inventory(BASE)
    assert result.unread == ()
    assert {package.ecosystem for package in result.packages} == {"Alpine:v3.19"}


# --- edits -------------------------------------------------------------------------------------------------------


def test_an_entry_removed_while_its_files_stay_is_noticed() -> None:
    result = read_inventory(BASE, [make_database(RELEASE, MUSL)])
    assert (
        join_reasons(result)
        == "libssl3 3.1.4-r0 is no longer in the package database, yet its file lib/libssl.so.3 is there."
    )
    assert [(entry.path, entry.layer) for entry in result.unread] == [(DATABASE, "0")]


def test_an_entry_removed_in_steps_is_noticed() -> None:
    bare = [make_database(RELEASE, MUSL, make_entry("libssl3", "3.1.4-r0", extra_line="o:openssl"))]
    assert "libssl3 3.1.4-r0 is no longer" in read_problems(bare, [make_database(RELEASE, MUSL)])
    claim = make_entry("musl", "1.2.4-r2", "lib/ld-musl-x86_64.so.1", *OPENSSL)
    assert "libssl3 3.1.4-r0 is no longer" in read_problems(
        [make_database(RELEASE, claim), make_file("lib/libssl.so.3")]
    )


def test_a_version_or_an_origin_changed_while_the_files_stay_is_noticed() -> None:
    newer_entry = make_entry("libssl3", "3.1.8-r9", *OPENSSL, extra_line="o:openssl")
    assert "libssl3 became 3.1.8-r9" in read_problems([make_database(RELEASE, MUSL, newer_entry)])
    renamed_entry = make_entry("libssl3", "3.1.4-r0", *OPENSSL, extra_line="o:nothing")
    assert "libssl3 became 3.1.4-r0 of the source nothing" in read_problems(
        [make_database(RELEASE, MUSL, renamed_entry)]
    )
    claim = make_entry("musl", "1.2.4-r2", "lib/ld-musl-x86_64.so.1", *OPENSSL)
    assert "libssl3 became 3.1.8-r9" in read_problems([make_database(RELEASE, claim, newer_entry)])


def test_an_entry_called_virtual_is_still_a_package_while_it_has_files() -> None:
    """Virtual packages are passed over: `apk add --virtual` makes them, and they hold nothing."""
    virtual_entry = make_entry("libssl3", "3.1.4-r0", *OPENSSL, extra_line="T:virtual meta package")
    assert "libssl3 3.1.4-r0" in list_names(read_inventory(BASE, [make_database(RELEASE, MUSL, virtual_entry)]))
    emptied_entry = make_entry("libssl3", "3.1.4-r0", extra_line="T:virtual meta package")
    assert "libssl3 3.1.4-r0 is no longer" in read_problems([make_database(RELEASE, MUSL, emptied_entry)])


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
    moved_database = [*make_whiteouts("lib/apk"), make_database(RELEASE, MUSL, path=MERGED)]
    assert "libssl3 3.1.4-r0 is no longer" in read_problems(moved_database)
    assert "libssl3 3.1.4-r0 is no longer" in read_problems(
        [make_symlink("lib/apk", "/usr/lib/apk"), moved_database[-1]]
    )


def test_two_databases_that_contradict_each_other_are_noticed() -> None:
    result = read_inventory(BASE, [make_database(RELEASE, MUSL, path=MERGED)])
    assert f"{MERGED} and {DATABASE} contradict each other: only {DATABASE} lists libssl3 3.1.4-r0" in join_reasons(
        result
    )
    assert "libssl3 3.1.4-r0" in list_names(result)


def test_repositories_of_another_release_are_noticed() -> None:
    """They decide by which release's advisories packages are judged."""
    for release in ("v3.20", "v3.1"):
        result = read_inventory(BASE, [make_repositories(release)])
        assert [(entry.path, entry.layer) for entry in result.unread] == [(REPOSITORIES, "1")]
        assert f"{REPOSITORIES} serves {release}, where os-release says 3.19.1" in join_reasons(result)
    assert "serves v3.20" in read_problems([make_repositories("v3.19", "v3.20")])
    assert "is a link to opt/repositories, which was not read" in read_problems(
        [make_symlink(REPOSITORIES, "/opt/repositories")]
    )


def test_repositories_of_edge_lead_to_a_release_that_no_feed_covers() -> None:
    """Many add some of edge to a release, so it is not an edit; nor does it make anything clean."""
    result = read_inventory(BASE, [make_repositories("v3.19", "edge")])
    assert result.unread == ()
    assert {package.ecosystem for package in result.packages} == {"Alpine:edge"}


def test_repositories_and_os_release_of_another_release_are_noticed() -> None:
    new_release = [make_file("usr/lib/os-release", ALPINE.replace("3.19", "3.20")), make_repositories("v3.20")]
    reason = "says alpine 3.20.1 where a layer below says alpine 3.19.1"
    assert reason in read_problems(new_release)
    less = make_entry("less", "643-r1", "usr/bin/less")
    full_database = make_database(
        RELEASE, MUSL, make_entry("libssl3", "3.1.4-r0", *OPENSSL, extra_line="o:openssl"), less
    )
    assert reason in read_problems([*new_release, full_database, make_file("usr/bin/less")])


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
    alpine = [*make_whiteouts("etc/os-release"), make_file("usr/lib/os-release", ALPINE), make_database(RELEASE, MUSL)]
    for layers in ([debian, alpine], [[*debian, *alpine[1:]]]):
        result = read_inventory(*layers)
        assert "of another distribution" in join_reasons(result)
        assert "openssl 3.0" in list_names(result)


# --- ownership ---------------------------------------------------------------------------------------------------


def find_owner(*layers: list[Entry]) -> str:
    return next(package.owner or "" for package in read_inventory(*layers).packages if package.name == "six")


def test_a_language_package_is_owned_by_what_came_with_it_alone() -> None:
    six = make_entry("py3-six", "1.15.0-r0", METADATA)
    database = make_database(RELEASE, MUSL, make_entry("libssl3", "3.1.4-r0", *OPENSSL, extra_line="o:openssl"), six)
    assert find_owner(BASE, [SIX, database]) == "py3-six"
    assert find_owner(BASE, [SIX], [database]) == ""
    assert find_owner(BASE, [database], [SIX]) == ""
    assert find_owner(BASE, [SIX, database], [SIX]) == ""
    claim = make_entry("musl", "1.2.4-r2", "lib/ld-musl-x86_64.so.1", METADATA)
    assert find_owner(BASE, [SIX, make_database(RELEASE, claim)]) == ""


def test_a_claim_on_an_image_of_another_distribution_is_noticed() -> None:
    debian = [make_file("etc/os-release", DEBIAN), make_status(make_stanza("bash", "5"))]
    claim = [SIX, make_database(make_entry("made-up", "1-r0", METADATA))]
    assert f"yet {DATABASE} lists packages of another distribution" in join_reasons(read_inventory(debian, claim))
    assert f"yet {DATABASE} lists packages of another distribution" in join_reasons(read_inventory([*debian, *claim]))


# --- honest use --------------------------------------------------------------------------------------------------


def test_apk_add_upgrade_and_del_are_accepted() -> None:
    less = make_entry("less", "643-r1", "usr/bin/less")
    ssl, newer = (make_entry("libssl3", f"3.1.{patch}-r0", *OPENSSL, extra_line="o:openssl") for patch in (4, 8))
    add = [make_database(RELEASE, MUSL, ssl, less), make_file("usr/bin/less")]
    upgrade = [make_database(RELEASE, MUSL, newer, less), make_file("lib/libssl.so.3")]
    delete = [make_database(RELEASE, MUSL, newer), *make_whiteouts("usr/bin/less")]
    last = [make_database(RELEASE, MUSL), *make_whiteouts(*OPENSSL)]
    for upto in range(1, 5):
        assert read_problems(*(add, upgrade, delete, last)[:upto]) == ""


def test_a_virtual_package_that_comes_and_goes_is_accepted() -> None:
    ssl = make_entry("libssl3", "3.1.4-r0", *OPENSSL, extra_line="o:openssl")
    virtual, gcc = (
        make_entry(".build", "20240101.0", extra_line="T:virtual meta package"),
        make_entry("gcc", "13-r0", "usr/bin/gcc"),
    )
    build = [make_database(RELEASE, MUSL, ssl, gcc, virtual), make_file("usr/bin/gcc")]
    assert read_problems(build, [make_database(RELEASE, MUSL, ssl), *make_whiteouts("usr/bin/gcc")]) == ""


def test_a_database_moved_with_all_its_packages_is_accepted() -> None:
    """As where /lib was merged into /usr."""
    content = (RELEASE, MUSL, make_entry("libssl3", "3.1.4-r0", *OPENSSL, extra_line="o:openssl"))
    assert read_problems([*make_whiteouts("lib/apk"), make_database(*content, path=MERGED)]) == ""
    assert read_problems([make_symlink("lib/apk", "/usr/lib/apk"), make_database(*content, path=MERGED)]) == ""


def test_an_upgrade_of_the_distribution_is_accepted() -> None:
    upgrade = [
        make_file("usr/lib/os-release", ALPINE.replace("3.19", "3.20")),
        make_repositories("v3.20"),
        make_database(
            make_entry("alpine-release", "3.20.1-r0", "usr/lib/os-release"), make_entry("musl", "1.2.5-r0", "lib/ld")
        ),
        *map(make_file, ("lib/ld",)),
        *make_whiteouts("lib/ld-musl-x86_64.so.1", *OPENSSL),
    ]
    result = read_inventory(BASE, upgrade)
    assert result.unread == ()
    assert {package.ecosystem for package in result.packages} == {"Alpine:v3.20"}


def test_repositories_of_ones_own_are_accepted() -> None:
    assert read_problems([make_repositories()]) == ""
    assert (
        read_problems([make_file(REPOSITORIES, "https://packages.example/alpine-3.19/main\n/srv/v3.19/community\n")])
        == ""
    )
    assert read_problems(make_whiteouts(REPOSITORIES)) == ""
