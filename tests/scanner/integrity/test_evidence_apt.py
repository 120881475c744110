"""Accept every honest use of apt: none is reported as an edit of the dpkg database."""

from tests.scanner.layers import (
    DEBIAN,
    list_names,
    make_dpkg_list,
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

CURL = "usr/bin/curl"
LIST = "var/lib/dpkg/info/curl.list"
BASH = [make_stanza("bash", "5"), make_stanza("base-files", "13")]
RELEASE = [make_file("usr/lib/os-release", DEBIAN), make_symlink("etc/os-release", "../usr/lib/os-release")]
FILES = [
    make_file("usr/bin/bash"),
    make_dpkg_list("bash", "usr/bin/bash"),
    make_dpkg_list("base-files", "usr/lib/os-release"),
]
OWNED = ("etc/curlrc", "usr/bin/curl", "usr/share/doc/curl/copyright")


def make_base(*stanzas: str) -> list[Entry]:
    return [*RELEASE, *FILES, make_status(*BASH, *stanzas)]


def with_curl(version: str = "7.1") -> list[Entry]:
    return [*make_base(make_stanza("curl", version)), *map(make_file, OWNED), make_dpkg_list("curl", *OWNED)]


def join_reasons(result: Inventory) -> str:
    return "\n".join(entry.reason for entry in result.unread)


def test_apt_get_install_is_accepted() -> None:
    assert read_inventory(make_base(), with_curl()[len(RELEASE) + len(FILES) :]).unread == ()


def test_apt_get_upgrade_is_accepted() -> None:
    upgrade = [
        make_status(*BASH, make_stanza("curl", "8.0")),
        *map(make_file, OWNED[1:]),
        make_dpkg_list("curl", *OWNED),
    ]
    result = read_inventory(with_curl(), upgrade)
    assert result.unread == ()
    assert "curl 8.0" in list_names(result)


def test_an_upgrade_that_leaves_copied_files_as_they_were_is_accepted() -> None:
    """A builder leaves out what has the same content and time; apache2's a2enmod is such a file."""
    owned_paths = (*OWNED, "usr/bin/a", "usr/bin/copied", "usr/share/curl/copied")
    lower = [*make_base(make_stanza("curl", "7.1")), *map(make_file, owned_paths), make_dpkg_list("curl", *owned_paths)]
    upgrade = [
        make_status(*BASH, make_stanza("curl", "8.0")),
        *map(make_file, (CURL, "usr/bin/a")),
        make_dpkg_list("curl", *owned_paths),
    ]
    assert read_inventory(lower, upgrade).unread == ()


def test_an_upgrade_of_documentation_and_data_is_accepted() -> None:
    owned_paths = ("usr/share/doc/tz/changelog", "usr/share/doc/tz/copyright", "usr/share/tz/UTC")
    lower = [*make_base(make_stanza("tz", "1")), *map(make_file, owned_paths), make_dpkg_list("tz", *owned_paths)]
    for written_paths in (owned_paths[2:], owned_paths):
        upgrade = [
            make_status(*BASH, make_stanza("tz", "2")),
            *map(make_file, written_paths),
            make_dpkg_list("tz", *owned_paths),
        ]
        assert read_inventory(lower, upgrade).unread == ()


def test_an_upgrade_beside_a_diverted_file_is_accepted() -> None:
    lower = [
        *make_base(make_stanza("curl", "7.1"), make_stanza("wrap", "1")),
        *map(make_file, (CURL, "usr/bin/curl.distrib", "usr/bin/a")),
        make_dpkg_list("curl", CURL, "usr/bin/a"),
        make_dpkg_list("wrap", CURL),
    ]
    upgrade = [
        make_status(*BASH, make_stanza("curl", "8.0"), make_stanza("wrap", "1")),
        *map(make_file, ("usr/bin/curl.distrib", "usr/bin/a")),
        make_dpkg_list("curl", CURL, "usr/bin/a"),
    ]
    assert read_inventory(lower, upgrade).unread == ()
    purge_layer = [
        make_status(*BASH, make_stanza("curl", "7.1")),
        make_file(CURL),
        *make_whiteouts("usr/bin/curl.distrib", "var/lib/dpkg/info/wrap.list"),
    ]
    assert read_inventory(lower, purge_layer).unread == ()


def test_an_upgrade_to_another_architecture_is_accepted() -> None:
    every = make_stanza("curl", "8.0").replace("amd64", "all")
    upgrade = [make_status(*BASH, every), *map(make_file, OWNED[1:]), make_dpkg_list("curl", *OWNED)]
    assert read_inventory(with_curl(), upgrade).unread == ()


def test_an_upgrade_and_later_work_with_apt_are_accepted() -> None:
    upgrade = [
        make_status(*BASH, make_stanza("curl", "8.0")),
        *map(make_file, OWNED[1:]),
        make_dpkg_list("curl", *OWNED),
    ]
    less = [
        make_status(*BASH, make_stanza("curl", "8.0"), make_stanza("less", "1")),
        make_file("usr/bin/less"),
        make_dpkg_list("less", "usr/bin/less"),
    ]
    removal_layer = [
        make_status(*BASH, make_stanza("curl", "8.0")),
        *make_whiteouts("usr/bin/less", "var/lib/dpkg/info/less.list"),
    ]
    purge_layer = [make_status(*BASH), *make_whiteouts(*OWNED, LIST)]
    assert read_inventory(with_curl(), upgrade, less, removal_layer, purge_layer).unread == ()


def test_an_upgrade_after_lists_were_deleted_is_accepted() -> None:
    upgrade = [
        make_status(*BASH, make_stanza("curl", "8.0")),
        *map(make_file, OWNED[1:]),
        make_dpkg_list("curl", *OWNED),
    ]
    assert read_inventory(with_curl(), make_whiteouts("var/lib/dpkg/info"), upgrade).unread == ()


def test_an_upgrade_whose_documentation_is_left_out_is_accepted() -> None:
    lower = [entry for entry in with_curl() if "doc" not in entry.path]
    upgrade = [make_status(*BASH, make_stanza("curl", "8.0")), make_file(CURL), make_dpkg_list("curl", *OWNED)]
    assert read_inventory(lower, upgrade).unread == ()


def test_an_upgrade_of_a_package_without_files_is_accepted() -> None:
    lower = [*make_base(make_stanza("meta", "1")), make_dpkg_list("meta", "usr/share/doc/meta/copyright")]
    assert read_inventory(lower, [make_status(*BASH, make_stanza("meta", "2"))]).unread == ()


def test_apt_get_remove_is_accepted() -> None:
    removal = [
        make_status(*BASH, make_stanza("curl", "7.1", "deinstall ok config-files")),
        make_dpkg_list("curl", "etc/curlrc"),
        *make_whiteouts(*OWNED[1:]),
    ]
    result = read_inventory(with_curl(), removal)
    assert result.unread == ()
    assert "curl 7.1" not in list_names(result)


def test_apt_get_purge_is_accepted() -> None:
    assert read_inventory(with_curl(), [make_status(*BASH), *make_whiteouts(*OWNED, LIST)]).unread == ()


def test_removal_of_a_whole_folder_is_accepted() -> None:
    whiteouts = make_whiteouts("etc/curlrc", CURL, "usr/share/doc/curl", LIST)
    assert read_inventory(with_curl(), [make_status(*BASH), *whiteouts]).unread == ()
    assert (
        read_inventory(
            with_curl(), [make_status(*BASH), *whiteouts[:2], make_opaque("usr/share/doc/curl"), *whiteouts[3:]]
        ).unread
        == ()
    )


def test_a_file_that_comes_back_by_other_means_is_accepted() -> None:
    removal_layer = [make_status(*BASH), *make_whiteouts(*OWNED, LIST)]
    assert read_inventory(with_curl(), removal_layer, [make_file(CURL)]).unread == ()


def test_a_package_replaced_by_another_name_is_accepted() -> None:
    renamed_layer = [
        make_status(*BASH, make_stanza("curl-t64", "7.2")),
        *map(make_file, OWNED[1:]),
        make_dpkg_list("curl-t64", *OWNED),
        *make_whiteouts(LIST),
    ]
    assert read_inventory(with_curl(), renamed_layer).unread == ()


def test_a_file_shared_with_another_architecture_is_accepted() -> None:
    shared_path = "usr/share/doc/curl/copyright"
    second = make_stanza("curl", "7.1").replace("amd64", "i386")
    lower = [
        *make_base(make_stanza("curl", "7.1"), second),
        *map(make_file, (shared_path, "usr/lib/amd64/c", "usr/lib/i386/c")),
        make_dpkg_list("curl:amd64", shared_path, "usr/lib/amd64/c"),
        make_dpkg_list("curl:i386", shared_path, "usr/lib/i386/c"),
    ]
    removal = [
        make_status(*BASH, make_stanza("curl", "7.1")),
        *make_whiteouts("usr/lib/i386/c", "var/lib/dpkg/info/curl:i386.list"),
    ]
    assert read_inventory(lower, removal).unread == ()


def test_removal_where_lists_have_the_unmerged_names_is_accepted_and_an_edit_noticed() -> None:
    lower = [
        *make_base(make_stanza("curl", "7.1")),
        make_symlink("lib", "usr/lib"),
        make_file("usr/lib/curl.so"),
        make_dpkg_list("curl", "lib/curl.so"),
    ]
    assert read_inventory(lower, [make_status(*BASH), *make_whiteouts("usr/lib/curl.so", LIST)]).unread == ()
    assert "curl 7.1 is no longer" in join_reasons(read_inventory(lower, [make_status(*BASH)]))


def test_an_upgrade_of_the_distribution_is_accepted() -> None:
    upgrade = [
        make_file("usr/lib/os-release", DEBIAN.replace("13", "14")),
        make_file("usr/bin/bash"),
        make_dpkg_list("base-files", "usr/lib/os-release"),
        make_status(make_stanza("bash", "6"), make_stanza("base-files", "14")),
    ]
    result = read_inventory(make_base(), upgrade)
    assert result.unread == ()
    assert {package.ecosystem for package in result.packages} == {"Debian:14"}


def test_a_pretty_name_of_ones_own_is_accepted() -> None:
    assert (
        read_inventory(make_base(), [make_file("etc/os-release", DEBIAN + "HOME_URL=https://example.org\n")]).unread
        == ()
    )


def test_lists_deleted_to_save_space_are_accepted() -> None:
    assert read_inventory(with_curl(), make_whiteouts("var/lib/dpkg/info")).unread == ()


def test_files_deleted_to_save_space_are_accepted() -> None:
    assert read_inventory(with_curl(), make_whiteouts("usr/share/doc", CURL)).unread == ()
