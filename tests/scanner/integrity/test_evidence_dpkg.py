"""Detect a dpkg database that was changed without its files."""

import pytest
from tests.scanner.layers import (
    DEBIAN,
    list_names,
    make_dpkg_list,
    make_file,
    make_folder,
    make_hardlink,
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


def test_an_honest_image_is_accepted() -> None:
    result = read_inventory(with_curl())
    assert result.unread == ()
    assert list_names(result) == ["base-files 13", "bash 5", "curl 7.1"]
    assert result.distribution
    assert result.distribution.version == "13"


# --- edits -------------------------------------------------------------------------------------------------------


def test_an_entry_removed_while_its_files_stay_is_noticed() -> None:
    result = read_inventory(with_curl(), [make_status(*BASH)])
    assert "curl 7.1 is no longer in the package database" in join_reasons(result)
    assert [(entry.path, entry.layer) for entry in result.unread] == [("var/lib/dpkg/status", "0")]


def test_an_entry_removed_with_its_list_is_noticed() -> None:
    assert "curl 7.1 is no longer" in join_reasons(
        read_inventory(with_curl(), [make_status(*BASH), *make_whiteouts(LIST)])
    )


def test_an_entry_removed_after_its_list_was_emptied_is_noticed() -> None:
    assert "curl 7.1 is no longer" in join_reasons(
        read_inventory(with_curl(), [make_dpkg_list("curl")], [make_status(*BASH)])
    )


def test_an_entry_removed_in_three_steps_is_noticed() -> None:
    later_layer = [make_status(*BASH, make_stanza("curl", "7.9"))]
    assert "curl became 7.9" in join_reasons(read_inventory(with_curl(), [make_status(*BASH)], later_layer))


def test_an_entry_called_removed_while_its_files_stay_is_noticed() -> None:
    forged_status = make_status(*BASH, make_stanza("curl", "7.1", "deinstall ok config-files"))
    assert "curl 7.1 is no longer" in join_reasons(read_inventory(with_curl(), [forged_status]))


def test_files_claimed_for_another_package_afterwards_are_noticed() -> None:
    claim = make_dpkg_list("bash", "usr/bin/bash", *OWNED)
    assert "curl 7.1 is no longer" in join_reasons(
        read_inventory(with_curl(), [make_status(*BASH), claim, *make_whiteouts(LIST)])
    )


def test_a_version_changed_while_the_files_stay_is_noticed() -> None:
    result = read_inventory(with_curl(), [make_status(*BASH, make_stanza("curl", "8.0"))])
    assert "curl became 8.0 in the package database, yet its files are those of 7.1" in join_reasons(result)
    assert "curl 8.0" in list_names(result)


def test_a_version_changed_back_and_forth_is_noticed() -> None:
    layers = [[make_status(*BASH, make_stanza("curl", version))] for version in ("8.0", "7.1", "8.0")]
    assert "curl became 8.0" in join_reasons(read_inventory(with_curl(), *layers))


@pytest.mark.parametrize("source", ["Source: nothing\n", "Source: curl (99)\n"])
def test_a_source_changed_while_the_files_stay_is_noticed(source: str) -> None:
    result = read_inventory(with_curl(), [make_status(*BASH, make_stanza("curl", "7.1", fields=source))])
    assert "curl became 7.1 of the source" in join_reasons(result)


@pytest.mark.parametrize("maker", ["Maintainer: Docker <support@docker.com>\n", "Origin: Example\n"])
def test_a_maker_changed_while_the_files_stay_is_noticed(maker: str) -> None:
    """No feed covers a vendor's packages, and a policy may accept those."""
    result = read_inventory(with_curl(), [make_status(*BASH, make_stanza("curl", "7.1", fields=maker))])
    assert f"curl became 7.1 by {maker.partition(': ')[2].strip()}" in join_reasons(result)
    assert "yet its files are those of 7.1 by an unknown maker" in join_reasons(result)


@pytest.mark.parametrize("rewritten_path", ["usr/share/doc/curl/copyright", "usr/bin/a", "etc/curlrc"])
def test_a_version_changed_while_a_few_files_are_rewritten_is_noticed(rewritten_path: str) -> None:
    owned_paths = (*OWNED, "usr/bin/a", "usr/lib/libcurl.so")
    lower = [*make_base(make_stanza("curl", "7.1")), *map(make_file, owned_paths), make_dpkg_list("curl", *owned_paths)]
    forged_layer = [
        make_status(*BASH, make_stanza("curl", "8.0")),
        make_file(rewritten_path),
        make_dpkg_list("curl", *owned_paths),
    ]
    assert "curl became 8.0" in join_reasons(read_inventory(lower, forged_layer))


def test_a_version_changed_of_a_package_without_a_file_list_is_noticed() -> None:
    lower = [*make_base(make_stanza("curl", "7.1")), make_file(CURL)]
    assert "no file list shows whether its files changed" in join_reasons(
        read_inventory(lower, [make_status(*BASH, make_stanza("curl", "8.0")), make_file(CURL)])
    )


def test_an_entry_removed_of_a_package_without_a_file_list_is_noticed() -> None:
    lower = [*make_base(make_stanza("curl", "7.1")), make_file(CURL)]
    assert "no file list shows whether its files are there" in join_reasons(read_inventory(lower, [make_status(*BASH)]))


@pytest.mark.parametrize("between", [[], [[make_file(CURL)]]], ids=["with it", "before it"])
def test_an_entry_removed_while_its_files_are_rewritten_is_noticed(between: list[list[Entry]]) -> None:
    forged_layer = [make_status(*BASH), *map(make_file, OWNED[0 if not between else 2 :]), *make_whiteouts(LIST)]
    assert "curl 7.1 is no longer" in join_reasons(read_inventory(with_curl(), *between, forged_layer))


def test_files_rewritten_and_claimed_for_a_package_that_was_there_are_noticed() -> None:
    claim = make_dpkg_list("bash", "usr/bin/bash", *OWNED)
    forged_layer = [make_status(*BASH), *map(make_file, OWNED), claim, *make_whiteouts(LIST)]
    assert "curl 7.1 is no longer" in join_reasons(read_inventory(with_curl(), forged_layer))


def test_a_distroless_entry_removed_while_its_files_are_rewritten_is_noticed() -> None:
    image = [
        *RELEASE,
        *make_distroless_files("openssl", "usr/lib/libssl.so"),
        *make_distroless_files("tzdata", "usr/share/zoneinfo/UTC"),
    ]
    removal = make_whiteouts("var/lib/dpkg/status.d/openssl", "var/lib/dpkg/status.d/openssl.md5sums")
    assert "openssl 1 is no longer" in join_reasons(read_inventory(image, [*removal, make_file("usr/lib/libssl.so")]))


def test_an_architecture_changed_while_the_files_stay_is_noticed() -> None:
    forged_stanza = make_stanza("curl", "7.1").replace("amd64", "riscv64")
    assert "curl 7.1 is no longer" in join_reasons(read_inventory(with_curl(), [make_status(*BASH, forged_stanza)]))


@pytest.mark.parametrize(
    "removal",
    [
        make_whiteouts("var/lib/dpkg/status"),
        make_whiteouts("var/lib/dpkg"),
        [make_opaque("var/lib/dpkg")],
        [make_symlink("var/lib/dpkg", "/elsewhere")],
        [make_folder("var/lib/dpkg/status")],
    ],
    ids=["file", "folder", "opaque", "symlink above", "folder in its place"],
)
def test_a_database_removed_by_a_later_layer_is_noticed(removal: list[Entry]) -> None:
    result = read_inventory(with_curl(), removal)
    assert "was removed by a layer above" in join_reasons(result)
    assert result.packages == ()


def test_a_database_removed_along_with_os_release_is_noticed() -> None:
    removal = make_whiteouts("var/lib/dpkg", "etc/os-release", "usr/lib/os-release")
    assert "was removed by a layer above" in join_reasons(read_inventory(with_curl(), removal))


def test_a_database_emptied_is_noticed() -> None:
    assert "contains no package" in join_reasons(read_inventory(with_curl(), [make_file("var/lib/dpkg/status", "")]))


def test_a_database_led_elsewhere_by_a_link_is_noticed() -> None:
    assert "is a link to tmp/status" in join_reasons(
        read_inventory(with_curl(), [make_symlink("var/lib/dpkg/status", "/tmp/status")])
    )


def test_a_hard_link_to_nothing_is_noticed() -> None:
    result = read_inventory(with_curl(), [make_hardlink("var/lib/dpkg/status", "tmp/status")])
    assert "hard link to tmp/status" in join_reasons(result)


def test_lists_without_an_entry_in_the_same_layer_are_noticed() -> None:
    result = read_inventory([*make_base(), make_file(CURL), make_dpkg_list("curl", CURL)])
    assert "curl is in no package database" in join_reasons(result)


def test_lists_without_any_database_are_noticed() -> None:
    result = read_inventory(
        [
            make_file(CURL),
            make_dpkg_list("curl", CURL),
            make_file("x/node_modules/a/package.json", '{"name":"a","version":"1.0.0"}'),
        ]
    )
    assert "there is no package database" in join_reasons(result)


def test_a_distribution_without_its_database_is_noticed() -> None:
    assert "contains no package database of it" in join_reasons(read_inventory(RELEASE))


def test_a_distribution_of_no_known_kind_is_noticed() -> None:
    result = read_inventory([make_file("etc/os-release", 'ID=void\nNAME="Void Linux"\n')])
    assert "Packages of Void Linux are not read" in join_reasons(result)


def test_a_database_without_a_distribution_is_noticed() -> None:
    result = read_inventory([make_status(*BASH), *FILES])
    assert "no os-release names the distribution" in join_reasons(result)
    assert {package.ecosystem for package in result.packages} == {""}


def test_an_image_of_nothing_known_is_noticed() -> None:
    assert "names no operating system" in join_reasons(read_inventory([make_file("app")]))
    assert "names no operating system" in join_reasons(read_inventory())


def test_a_c_library_of_unknown_origin_is_noticed() -> None:
    packages = [make_file("app/node_modules/a/package.json", '{"name":"a","version":"1.0.0"}')]
    assert read_inventory(packages).unread == ()
    for library in ("usr/lib/x86_64-linux-gnu/libc.so.6", "Files/Windows/System32/ntdll.dll"):
        assert "contains a C library" in join_reasons(read_inventory([*packages, make_file(library)]))


def test_a_distribution_renamed_is_noticed() -> None:
    renamed_release = DEBIAN.replace("13", "14")
    assert "says debian 14 where a layer below says debian 13" in join_reasons(
        read_inventory(with_curl(), [make_file("usr/lib/os-release", renamed_release)])
    )
    assert "says debian 14" in join_reasons(read_inventory(with_curl(), [make_file("etc/os-release", renamed_release)]))


def test_a_distribution_renamed_while_something_else_is_installed_is_noticed() -> None:
    second = [
        *make_base(make_stanza("curl", "7.1"), make_stanza("less", "1")),
        make_file("usr/bin/less"),
        make_dpkg_list("less", "usr/bin/less"),
    ]
    later = [entry for entry in second if entry.path != "usr/lib/os-release"]
    later.append(make_file("usr/lib/os-release", DEBIAN.replace("13", "14")))
    assert "says debian 14" in join_reasons(read_inventory(with_curl(), later))


def test_a_distribution_renamed_by_uncovering_another_name_is_noticed() -> None:
    older = [make_file("etc/os-release", DEBIAN.replace("13", "12"))]
    result = read_inventory(with_curl(), older, make_whiteouts("etc/os-release"))
    assert "says debian 13 where a layer below says debian 12" in join_reasons(result)


def test_a_broken_database_is_unread_and_not_called_edited() -> None:
    result = read_inventory(with_curl(), [make_file("var/lib/dpkg/status", "Package: curl\nSta")])
    assert [entry.path for entry in result.unread] == ["var/lib/dpkg/status"]
    assert "line 2" in join_reasons(result)


# --- distroless --------------------------------------------------------------------------------------------------


def make_distroless_files(name: str, *paths: str) -> list[Entry]:
    sums = "".join(f"{'0' * 32}  {path}\n" for path in paths)
    statement = make_stanza(name, "1").replace("Status: install ok installed\n", "")
    return [
        make_file(f"var/lib/dpkg/status.d/{name}", statement),
        make_file(f"var/lib/dpkg/status.d/{name}.md5sums", sums),
        *map(make_file, paths),
    ]


def test_distroless_packages_are_read() -> None:
    result = read_inventory(
        RELEASE, make_distroless_files("tzdata", "usr/share/zoneinfo/UTC"), make_distroless_files("ca", "etc/ssl/ca")
    )
    assert result.unread == ()
    assert [(package.name, package.layer, package.ecosystem) for package in result.packages] == [
        ("ca", "2", "Debian:13"),
        ("tzdata", "1", "Debian:13"),
    ]


def test_a_distroless_entry_removed_while_its_files_stay_is_noticed() -> None:
    image = [
        *RELEASE,
        *make_distroless_files("openssl", "usr/lib/libssl.so"),
        *make_distroless_files("tzdata", "usr/share/zoneinfo/UTC"),
    ]
    removal = make_whiteouts("var/lib/dpkg/status.d/openssl", "var/lib/dpkg/status.d/openssl.md5sums")
    assert "openssl 1 is no longer" in join_reasons(read_inventory(image, removal))


def test_a_distroless_entry_removed_of_whose_files_nothing_is_known_is_noticed() -> None:
    image = [
        *RELEASE,
        *make_distroless_files("openssl")[:1],
        *make_distroless_files("tzdata", "usr/share/zoneinfo/UTC"),
    ]
    assert "no file list shows" in join_reasons(read_inventory(image, make_whiteouts("var/lib/dpkg/status.d/openssl")))


def test_a_distroless_package_removed_with_its_files_is_accepted() -> None:
    image = [
        *RELEASE,
        *make_distroless_files("openssl", "usr/lib/libssl.so"),
        *make_distroless_files("tzdata", "usr/share/zoneinfo/UTC"),
    ]
    removal = make_whiteouts(
        "var/lib/dpkg/status.d/openssl", "var/lib/dpkg/status.d/openssl.md5sums", "usr/lib/libssl.so"
    )
    assert read_inventory(image, removal).unread == ()
