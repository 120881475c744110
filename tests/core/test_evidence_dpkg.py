"""Promise 7 for dpkg: each way of editing the database is noticed, and no honest use of apt is taken for one."""

import pytest
from tests.core.layers import (
    DEBIAN,
    dpkg_list,
    file,
    folder,
    hardlink,
    inventory,
    names,
    opaque,
    stanza,
    status,
    symlink,
    whiteout,
)

from dockgate.core.model import Inventory
from dockgate.core.ports import Entry

CURL = "usr/bin/curl"
LIST = "var/lib/dpkg/info/curl.list"
BASH = [stanza("bash", "5"), stanza("base-files", "13")]
RELEASE = [file("usr/lib/os-release", DEBIAN), symlink("etc/os-release", "../usr/lib/os-release")]
FILES = [file("usr/bin/bash"), dpkg_list("bash", "usr/bin/bash"), dpkg_list("base-files", "usr/lib/os-release")]
OWNED = ("etc/curlrc", "usr/bin/curl", "usr/share/doc/curl/copyright")


def base(*stanzas: str) -> list[Entry]:
    return [*RELEASE, *FILES, status(*BASH, *stanzas)]


def with_curl(version: str = "7.1") -> list[Entry]:
    return [*base(stanza("curl", version)), *map(file, OWNED), dpkg_list("curl", *OWNED)]


def reasons(found: Inventory) -> str:
    return "\n".join(entry.reason for entry in found.unread)


def test_an_honest_image_is_believed() -> None:
    found = inventory(with_curl())
    assert found.unread == ()
    assert names(found) == ["base-files 13", "bash 5", "curl 7.1"]
    assert found.distribution
    assert found.distribution.version == "13"


# --- edits -------------------------------------------------------------------------------------------------------


def test_an_entry_removed_while_its_files_stay_is_noticed() -> None:
    found = inventory(with_curl(), [status(*BASH)])
    assert "curl 7.1 is no longer in the package database" in reasons(found)
    assert [(entry.path, entry.layer) for entry in found.unread] == [("var/lib/dpkg/status", "0")]


def test_an_entry_removed_with_its_list_is_noticed() -> None:
    assert "curl 7.1 is no longer" in reasons(inventory(with_curl(), [status(*BASH), *whiteout(LIST)]))


def test_an_entry_removed_after_its_list_was_emptied_is_noticed() -> None:
    assert "curl 7.1 is no longer" in reasons(inventory(with_curl(), [dpkg_list("curl")], [status(*BASH)]))


def test_an_entry_removed_in_three_steps_is_noticed() -> None:
    again = [status(*BASH, stanza("curl", "7.9"))]
    assert "curl became 7.9" in reasons(inventory(with_curl(), [status(*BASH)], again))


def test_an_entry_called_removed_while_its_files_stay_is_noticed() -> None:
    forged = status(*BASH, stanza("curl", "7.1", "deinstall ok config-files"))
    assert "curl 7.1 is no longer" in reasons(inventory(with_curl(), [forged]))


def test_files_claimed_for_another_package_afterwards_are_noticed() -> None:
    claim = dpkg_list("bash", "usr/bin/bash", *OWNED)
    assert "curl 7.1 is no longer" in reasons(inventory(with_curl(), [status(*BASH), claim, *whiteout(LIST)]))


def test_a_version_changed_while_the_files_stay_is_noticed() -> None:
    found = inventory(with_curl(), [status(*BASH, stanza("curl", "8.0"))])
    assert "curl became 8.0 in the package database, yet all its files are those of 7.1" in reasons(found)
    assert "curl 8.0" in names(found)


def test_a_version_changed_back_and_forth_is_noticed() -> None:
    layers = [[status(*BASH, stanza("curl", version))] for version in ("8.0", "7.1", "8.0")]
    assert "curl became 8.0" in reasons(inventory(with_curl(), *layers))


def test_an_architecture_changed_while_the_files_stay_is_noticed() -> None:
    forged = stanza("curl", "7.1").replace("amd64", "riscv64")
    assert "curl 7.1 is no longer" in reasons(inventory(with_curl(), [status(*BASH, forged)]))


@pytest.mark.parametrize(
    "removal",
    [
        whiteout("var/lib/dpkg/status"),
        whiteout("var/lib/dpkg"),
        [opaque("var/lib/dpkg")],
        [symlink("var/lib/dpkg", "/elsewhere")],
        [folder("var/lib/dpkg/status")],
    ],
    ids=["file", "folder", "opaque", "symlink above", "folder in its place"],
)
def test_a_database_removed_by_a_later_layer_is_noticed(removal: list[Entry]) -> None:
    found = inventory(with_curl(), removal)
    assert "was removed by a layer above" in reasons(found)
    assert found.packages == ()


def test_a_database_removed_along_with_os_release_is_noticed() -> None:
    removal = whiteout("var/lib/dpkg", "etc/os-release", "usr/lib/os-release")
    assert "was removed by a layer above" in reasons(inventory(with_curl(), removal))


def test_a_database_emptied_is_noticed() -> None:
    assert "holds no package" in reasons(inventory(with_curl(), [file("var/lib/dpkg/status", "")]))


def test_a_database_led_elsewhere_by_a_link_is_noticed() -> None:
    assert "is a link to tmp/status" in reasons(inventory(with_curl(), [symlink("var/lib/dpkg/status", "/tmp/status")]))


def test_a_hard_link_to_nothing_is_noticed() -> None:
    found = inventory(with_curl(), [hardlink("var/lib/dpkg/status", "tmp/status")])
    assert "hard link to tmp/status" in reasons(found)


def test_lists_without_an_entry_in_the_same_layer_are_noticed() -> None:
    found = inventory([*base(), file(CURL), dpkg_list("curl", CURL)])
    assert "curl is in no package database" in reasons(found)


def test_lists_without_any_database_are_noticed() -> None:
    found = inventory(
        [file(CURL), dpkg_list("curl", CURL), file("x/node_modules/a/package.json", '{"name":"a","version":"1.0.0"}')]
    )
    assert "there is no package database" in reasons(found)


def test_a_distribution_without_its_database_is_noticed() -> None:
    assert "holds no package database of it" in reasons(inventory(RELEASE))


def test_a_distribution_of_no_known_kind_is_noticed() -> None:
    found = inventory([file("etc/os-release", 'ID=alpine\nVERSION_ID=3.22\nNAME="Alpine Linux"\n')])
    assert "Packages of Alpine Linux are not read" in reasons(found)


def test_a_database_without_a_distribution_is_noticed() -> None:
    found = inventory([status(*BASH), *FILES])
    assert "no os-release names the distribution" in reasons(found)
    assert {package.ecosystem for package in found.packages} == {""}


def test_an_image_of_nothing_known_is_noticed() -> None:
    assert "names no operating system" in reasons(inventory([file("app")]))
    assert "names no operating system" in reasons(inventory())


def test_a_c_library_of_unknown_origin_is_noticed() -> None:
    packages = [file("app/node_modules/a/package.json", '{"name":"a","version":"1.0.0"}')]
    assert inventory(packages).unread == ()
    assert "holds a C library" in reasons(inventory([*packages, file("usr/lib/x86_64-linux-gnu/libc.so.6")]))


def test_a_distribution_renamed_is_noticed() -> None:
    renamed = DEBIAN.replace("13", "14")
    assert "says debian 14 where a layer below says debian 13" in reasons(
        inventory(with_curl(), [file("usr/lib/os-release", renamed)])
    )
    assert "says debian 14" in reasons(inventory(with_curl(), [file("etc/os-release", renamed)]))


def test_a_distribution_renamed_while_something_else_is_installed_is_noticed() -> None:
    other = [*base(stanza("curl", "7.1"), stanza("less", "1")), file("usr/bin/less"), dpkg_list("less", "usr/bin/less")]
    later = [entry for entry in other if entry.path != "usr/lib/os-release"]
    later.append(file("usr/lib/os-release", DEBIAN.replace("13", "14")))
    assert "says debian 14" in reasons(inventory(with_curl(), later))


def test_a_distribution_renamed_by_uncovering_another_name_is_noticed() -> None:
    lower = [*with_curl(), file("etc/os-release", DEBIAN.replace("13", "12"))]
    assert "says debian 13 where a layer below says debian 12" in reasons(inventory(lower, whiteout("etc/os-release")))


def test_a_broken_database_is_unread_and_not_called_edited() -> None:
    found = inventory(with_curl(), [file("var/lib/dpkg/status", "Package: curl\nSta")])
    assert [entry.path for entry in found.unread] == ["var/lib/dpkg/status"]
    assert "line 2" in reasons(found)


# --- distroless --------------------------------------------------------------------------------------------------


def distroless(name: str, *paths: str) -> list[Entry]:
    sums = "".join(f"{'0' * 32}  {path}\n" for path in paths)
    told = stanza(name, "1").replace("Status: install ok installed\n", "")
    return [
        file(f"var/lib/dpkg/status.d/{name}", told),
        file(f"var/lib/dpkg/status.d/{name}.md5sums", sums),
        *map(file, paths),
    ]


def test_distroless_packages_are_read() -> None:
    found = inventory(RELEASE, distroless("tzdata", "usr/share/zoneinfo/UTC"), distroless("ca", "etc/ssl/ca"))
    assert found.unread == ()
    assert [(package.name, package.layer, package.ecosystem) for package in found.packages] == [
        ("ca", "2", "Debian:13"),
        ("tzdata", "1", "Debian:13"),
    ]


def test_a_distroless_entry_removed_while_its_files_stay_is_noticed() -> None:
    image = [*RELEASE, *distroless("openssl", "usr/lib/libssl.so"), *distroless("tzdata", "usr/share/zoneinfo/UTC")]
    removal = whiteout("var/lib/dpkg/status.d/openssl", "var/lib/dpkg/status.d/openssl.md5sums")
    assert "openssl 1 is no longer" in reasons(inventory(image, removal))


def test_a_distroless_entry_removed_of_whose_files_nothing_is_known_is_noticed() -> None:
    image = [*RELEASE, *distroless("openssl")[:1], *distroless("tzdata", "usr/share/zoneinfo/UTC")]
    assert "no list tells" in reasons(inventory(image, whiteout("var/lib/dpkg/status.d/openssl")))


def test_a_distroless_package_removed_with_its_files_is_believed() -> None:
    image = [*RELEASE, *distroless("openssl", "usr/lib/libssl.so"), *distroless("tzdata", "usr/share/zoneinfo/UTC")]
    removal = whiteout("var/lib/dpkg/status.d/openssl", "var/lib/dpkg/status.d/openssl.md5sums", "usr/lib/libssl.so")
    assert inventory(image, removal).unread == ()


# --- honest use --------------------------------------------------------------------------------------------------


def test_apt_get_install_is_believed() -> None:
    assert inventory(base(), with_curl()[len(RELEASE) + len(FILES) :]).unread == ()


def test_apt_get_upgrade_is_believed() -> None:
    upgrade = [status(*BASH, stanza("curl", "8.0")), *map(file, OWNED[1:]), dpkg_list("curl", *OWNED)]
    found = inventory(with_curl(), upgrade)
    assert found.unread == ()
    assert "curl 8.0" in names(found)


def test_an_upgrade_whose_documentation_is_left_out_is_believed() -> None:
    lower = [entry for entry in with_curl() if "doc" not in entry.path]
    upgrade = [status(*BASH, stanza("curl", "8.0")), file(CURL), dpkg_list("curl", *OWNED)]
    assert inventory(lower, upgrade).unread == ()


def test_an_upgrade_of_a_package_without_files_is_believed() -> None:
    lower = [*base(stanza("meta", "1")), dpkg_list("meta", "usr/share/doc/meta/copyright")]
    assert inventory(lower, [status(*BASH, stanza("meta", "2"))]).unread == ()


def test_apt_get_remove_is_believed() -> None:
    removal = [
        status(*BASH, stanza("curl", "7.1", "deinstall ok config-files")),
        dpkg_list("curl", "etc/curlrc"),
        *whiteout(*OWNED[1:]),
    ]
    found = inventory(with_curl(), removal)
    assert found.unread == ()
    assert "curl 7.1" not in names(found)


def test_apt_get_purge_is_believed() -> None:
    assert inventory(with_curl(), [status(*BASH), *whiteout(*OWNED, LIST)]).unread == ()


def test_removal_of_a_whole_folder_is_believed() -> None:
    gone = whiteout("etc/curlrc", CURL, "usr/share/doc/curl", LIST)
    assert inventory(with_curl(), [status(*BASH), *gone]).unread == ()
    assert inventory(with_curl(), [status(*BASH), *gone[:2], opaque("usr/share/doc/curl"), *gone[3:]]).unread == ()


def test_a_file_that_comes_back_by_other_means_is_believed() -> None:
    removed = [status(*BASH), *whiteout(*OWNED, LIST)]
    assert inventory(with_curl(), removed, [file(CURL)]).unread == ()


def test_a_package_replaced_by_another_name_is_believed() -> None:
    renamed = [
        status(*BASH, stanza("curl-t64", "7.2")),
        *map(file, OWNED[1:]),
        dpkg_list("curl-t64", *OWNED),
        *whiteout(LIST),
    ]
    assert inventory(with_curl(), renamed).unread == ()


def test_a_file_shared_with_another_architecture_is_believed() -> None:
    shared = "usr/share/doc/curl/copyright"
    other = stanza("curl", "7.1").replace("amd64", "i386")
    lower = [
        *base(stanza("curl", "7.1"), other),
        *map(file, (shared, "usr/lib/amd64/c", "usr/lib/i386/c")),
        dpkg_list("curl:amd64", shared, "usr/lib/amd64/c"),
        dpkg_list("curl:i386", shared, "usr/lib/i386/c"),
    ]
    removal = [status(*BASH, stanza("curl", "7.1")), *whiteout("usr/lib/i386/c", "var/lib/dpkg/info/curl:i386.list")]
    assert inventory(lower, removal).unread == ()


def test_removal_where_lists_speak_of_the_unmerged_names_is_believed_and_an_edit_noticed() -> None:
    lower = [
        *base(stanza("curl", "7.1")),
        symlink("lib", "usr/lib"),
        file("usr/lib/curl.so"),
        dpkg_list("curl", "lib/curl.so"),
    ]
    assert inventory(lower, [status(*BASH), *whiteout("usr/lib/curl.so", LIST)]).unread == ()
    assert "curl 7.1 is no longer" in reasons(inventory(lower, [status(*BASH)]))


def test_an_upgrade_of_the_distribution_is_believed() -> None:
    upgrade = [
        file("usr/lib/os-release", DEBIAN.replace("13", "14")),
        file("usr/bin/bash"),
        dpkg_list("base-files", "usr/lib/os-release"),
        status(stanza("bash", "6"), stanza("base-files", "14")),
    ]
    found = inventory(base(), upgrade)
    assert found.unread == ()
    assert {package.ecosystem for package in found.packages} == {"Debian:14"}


def test_a_pretty_name_of_ones_own_is_believed() -> None:
    assert inventory(base(), [file("etc/os-release", DEBIAN + "HOME_URL=https://example.org\n")]).unread == ()


def test_lists_deleted_to_save_space_are_believed() -> None:
    assert inventory(with_curl(), whiteout("var/lib/dpkg/info")).unread == ()


def test_files_deleted_to_save_space_are_believed() -> None:
    assert inventory(with_curl(), whiteout("usr/share/doc", CURL)).unread == ()
