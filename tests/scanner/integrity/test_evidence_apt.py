"""Accept every honest use of apt: none is reported as an edit of the dpkg database."""

from tests.scanner.layers import DEBIAN, dpkg_list, file, inventory, names, opaque, stanza, status, symlink, whiteout

from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Entry

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


def reasons(result: Inventory) -> str:
    return "\n".join(entry.reason for entry in result.unread)


def test_apt_get_install_is_accepted() -> None:
    assert inventory(base(), with_curl()[len(RELEASE) + len(FILES) :]).unread == ()


def test_apt_get_upgrade_is_accepted() -> None:
    upgrade = [status(*BASH, stanza("curl", "8.0")), *map(file, OWNED[1:]), dpkg_list("curl", *OWNED)]
    result = inventory(with_curl(), upgrade)
    assert result.unread == ()
    assert "curl 8.0" in names(result)


def test_an_upgrade_that_leaves_copied_files_as_they_were_is_accepted() -> None:
    """A builder leaves out what has the same content and time; apache2's a2enmod is such a file."""
    owned = (*OWNED, "usr/bin/a", "usr/bin/copied", "usr/share/curl/copied")
    lower = [*base(stanza("curl", "7.1")), *map(file, owned), dpkg_list("curl", *owned)]
    upgrade = [status(*BASH, stanza("curl", "8.0")), *map(file, (CURL, "usr/bin/a")), dpkg_list("curl", *owned)]
    assert inventory(lower, upgrade).unread == ()


def test_an_upgrade_of_documentation_and_data_is_accepted() -> None:
    owned = ("usr/share/doc/tz/changelog", "usr/share/doc/tz/copyright", "usr/share/tz/UTC")
    lower = [*base(stanza("tz", "1")), *map(file, owned), dpkg_list("tz", *owned)]
    for written in (owned[2:], owned):
        upgrade = [status(*BASH, stanza("tz", "2")), *map(file, written), dpkg_list("tz", *owned)]
        assert inventory(lower, upgrade).unread == ()


def test_an_upgrade_beside_a_diverted_file_is_accepted() -> None:
    lower = [
        *base(stanza("curl", "7.1"), stanza("wrap", "1")),
        *map(file, (CURL, "usr/bin/curl.distrib", "usr/bin/a")),
        dpkg_list("curl", CURL, "usr/bin/a"),
        dpkg_list("wrap", CURL),
    ]
    upgrade = [
        status(*BASH, stanza("curl", "8.0"), stanza("wrap", "1")),
        *map(file, ("usr/bin/curl.distrib", "usr/bin/a")),
        dpkg_list("curl", CURL, "usr/bin/a"),
    ]
    assert inventory(lower, upgrade).unread == ()
    purged = [
        status(*BASH, stanza("curl", "7.1")),
        file(CURL),
        *whiteout("usr/bin/curl.distrib", "var/lib/dpkg/info/wrap.list"),
    ]
    assert inventory(lower, purged).unread == ()


def test_an_upgrade_to_another_architecture_is_accepted() -> None:
    every = stanza("curl", "8.0").replace("amd64", "all")
    upgrade = [status(*BASH, every), *map(file, OWNED[1:]), dpkg_list("curl", *OWNED)]
    assert inventory(with_curl(), upgrade).unread == ()


def test_an_upgrade_and_later_work_with_apt_are_accepted() -> None:
    upgrade = [status(*BASH, stanza("curl", "8.0")), *map(file, OWNED[1:]), dpkg_list("curl", *OWNED)]
    less = [
        status(*BASH, stanza("curl", "8.0"), stanza("less", "1")),
        file("usr/bin/less"),
        dpkg_list("less", "usr/bin/less"),
    ]
    gone = [status(*BASH, stanza("curl", "8.0")), *whiteout("usr/bin/less", "var/lib/dpkg/info/less.list")]
    purged = [status(*BASH), *whiteout(*OWNED, LIST)]
    assert inventory(with_curl(), upgrade, less, gone, purged).unread == ()


def test_an_upgrade_after_lists_were_deleted_is_accepted() -> None:
    upgrade = [status(*BASH, stanza("curl", "8.0")), *map(file, OWNED[1:]), dpkg_list("curl", *OWNED)]
    assert inventory(with_curl(), whiteout("var/lib/dpkg/info"), upgrade).unread == ()


def test_an_upgrade_whose_documentation_is_left_out_is_accepted() -> None:
    lower = [entry for entry in with_curl() if "doc" not in entry.path]
    upgrade = [status(*BASH, stanza("curl", "8.0")), file(CURL), dpkg_list("curl", *OWNED)]
    assert inventory(lower, upgrade).unread == ()


def test_an_upgrade_of_a_package_without_files_is_accepted() -> None:
    lower = [*base(stanza("meta", "1")), dpkg_list("meta", "usr/share/doc/meta/copyright")]
    assert inventory(lower, [status(*BASH, stanza("meta", "2"))]).unread == ()


def test_apt_get_remove_is_accepted() -> None:
    removal = [
        status(*BASH, stanza("curl", "7.1", "deinstall ok config-files")),
        dpkg_list("curl", "etc/curlrc"),
        *whiteout(*OWNED[1:]),
    ]
    result = inventory(with_curl(), removal)
    assert result.unread == ()
    assert "curl 7.1" not in names(result)


def test_apt_get_purge_is_accepted() -> None:
    assert inventory(with_curl(), [status(*BASH), *whiteout(*OWNED, LIST)]).unread == ()


def test_removal_of_a_whole_folder_is_accepted() -> None:
    gone = whiteout("etc/curlrc", CURL, "usr/share/doc/curl", LIST)
    assert inventory(with_curl(), [status(*BASH), *gone]).unread == ()
    assert inventory(with_curl(), [status(*BASH), *gone[:2], opaque("usr/share/doc/curl"), *gone[3:]]).unread == ()


def test_a_file_that_comes_back_by_other_means_is_accepted() -> None:
    removed = [status(*BASH), *whiteout(*OWNED, LIST)]
    assert inventory(with_curl(), removed, [file(CURL)]).unread == ()


def test_a_package_replaced_by_another_name_is_accepted() -> None:
    renamed = [
        status(*BASH, stanza("curl-t64", "7.2")),
        *map(file, OWNED[1:]),
        dpkg_list("curl-t64", *OWNED),
        *whiteout(LIST),
    ]
    assert inventory(with_curl(), renamed).unread == ()


def test_a_file_shared_with_another_architecture_is_accepted() -> None:
    shared = "usr/share/doc/curl/copyright"
    second = stanza("curl", "7.1").replace("amd64", "i386")
    lower = [
        *base(stanza("curl", "7.1"), second),
        *map(file, (shared, "usr/lib/amd64/c", "usr/lib/i386/c")),
        dpkg_list("curl:amd64", shared, "usr/lib/amd64/c"),
        dpkg_list("curl:i386", shared, "usr/lib/i386/c"),
    ]
    removal = [status(*BASH, stanza("curl", "7.1")), *whiteout("usr/lib/i386/c", "var/lib/dpkg/info/curl:i386.list")]
    assert inventory(lower, removal).unread == ()


def test_removal_where_lists_have_the_unmerged_names_is_accepted_and_an_edit_noticed() -> None:
    lower = [
        *base(stanza("curl", "7.1")),
        symlink("lib", "usr/lib"),
        file("usr/lib/curl.so"),
        dpkg_list("curl", "lib/curl.so"),
    ]
    assert inventory(lower, [status(*BASH), *whiteout("usr/lib/curl.so", LIST)]).unread == ()
    assert "curl 7.1 is no longer" in reasons(inventory(lower, [status(*BASH)]))


def test_an_upgrade_of_the_distribution_is_accepted() -> None:
    upgrade = [
        file("usr/lib/os-release", DEBIAN.replace("13", "14")),
        file("usr/bin/bash"),
        dpkg_list("base-files", "usr/lib/os-release"),
        status(stanza("bash", "6"), stanza("base-files", "14")),
    ]
    result = inventory(base(), upgrade)
    assert result.unread == ()
    assert {package.ecosystem for package in result.packages} == {"Debian:14"}


def test_a_pretty_name_of_ones_own_is_accepted() -> None:
    assert inventory(base(), [file("etc/os-release", DEBIAN + "HOME_URL=https://example.org\n")]).unread == ()


def test_lists_deleted_to_save_space_are_accepted() -> None:
    assert inventory(with_curl(), whiteout("var/lib/dpkg/info")).unread == ()


def test_files_deleted_to_save_space_are_accepted() -> None:
    assert inventory(with_curl(), whiteout("usr/share/doc", CURL)).unread == ()
