"""Detect an rpm database, of any format and path, that was changed without its files; accept honest use of rpm."""

import gzip
from pathlib import Path

import pytest
from tests.scanner.ecosystems.test_rpm_header import (
    ARCH,
    BASES,
    EPOCH,
    FOLDERS,
    FOLDERS_AT,
    NAME,
    SOURCE,
    VENDOR,
    VERSION,
    Value,
    make_header,
)
from tests.scanner.ecosystems.test_rpm_header import RELEASE as RELEASED
from tests.scanner.ecosystems.test_rpm_image import ROCKY, make_database
from tests.scanner.layers import (
    list_names,
    make_file,
    make_hardlink,
    make_opaque,
    make_symlink,
    make_whiteouts,
    read_inventory,
)

from dockgate.scanner.ecosystems.rpm import ECOSYSTEM
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Entry

VAR, SYSIMAGE, SHARE = (f"{folder}/rpmdb.sqlite" for folder in ("var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"))
FORMS = {"rpmdb.sqlite": "rpmdb.sqlite.gz", "Packages.db": "Packages.db.gz", "Packages": "Packages-little.gz"}
DATA = Path(__file__).parent.parent.parent / "scanner/ecosystems/data/rpm"


def make_package(name: str, version: str, *paths: str, fields: tuple[tuple[int, Value], ...] = ()) -> bytes:
    split_paths = [path.rpartition("/") for path in paths]
    return make_header(
        *((NAME, name), (VERSION, version), (RELEASED, "1"), (ARCH, "x86_64"), (VENDOR, "Rocky"), *fields),
        *(
            (FOLDERS, ["/" + folder + "/" for folder, _, _ in split_paths]),
            (BASES, [base for _, _, base in split_paths]),
        ),
        (FOLDERS_AT, list(range(len(split_paths)))),
    )


RELEASE = make_package("rocky-release", "9.4", "usr/lib/os-release")
BASH = make_package("bash", "5.1.8", "usr/bin/bash")
FILES = [
    make_file("usr/lib/os-release", 'ID="rocky"\nVERSION_ID="9.4"\n'),
    make_file("usr/bin/bash"),
    make_file("usr/bin/curl"),
]


def make_curl(version: str, *fields: tuple[int, Value]) -> bytes:
    return make_package("curl", version, "etc/curlrc", "usr/bin/curl", "usr/share/doc/curl/README", fields=fields)


BASE = [*FILES, make_database(RELEASE, BASH, make_curl("7.1"))]


def join_reasons(result: Inventory) -> str:
    return "\n".join(entry.reason for entry in result.unread)


def read_problems(*layers: list[Entry]) -> str:
    """Of the base with these layers above it."""
    return join_reasons(read_inventory(BASE, *layers))


def test_an_honest_image_is_accepted() -> None:
    assert read_inventory(BASE).unread == ()


# --- edits -------------------------------------------------------------------------------------------------------


def test_an_entry_removed_while_its_files_stay_is_noticed() -> None:
    result = read_inventory(BASE, [make_database(RELEASE, BASH)])
    assert (
        join_reasons(result) == "curl 7.1-1 is no longer in the package database, yet its file usr/bin/curl is there."
    )
    assert [(entry.path, entry.layer) for entry in result.unread] == [(VAR, "0")]


def test_an_entry_removed_after_its_list_was_emptied_is_noticed() -> None:
    bare = make_database(RELEASE, BASH, make_package("curl", "7.1"))
    assert "curl 7.1-1 is no longer" in read_problems([bare], [make_database(RELEASE, BASH)])


def test_an_entry_removed_while_its_files_are_rewritten_is_noticed() -> None:
    assert "curl 7.1-1 is no longer" in read_problems([make_database(RELEASE, BASH), make_file("usr/bin/curl")])


def test_an_entry_removed_while_another_package_claims_its_files_is_noticed() -> None:
    claim = make_package("bash", "5.1.8", "usr/bin/bash", "usr/bin/curl")
    assert "curl 7.1-1 is no longer" in read_problems([make_database(RELEASE, claim)])
    assert "curl 7.1-1 is no longer" in read_problems([make_database(RELEASE, claim), make_file("usr/bin/curl")])
    assert "curl 7.1-1 is no longer" in read_problems(
        [make_database(RELEASE, BASH, make_package("tool", "1", "usr/bin/curl"))]
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_version_changed_while_the_files_stay_is_noticed_in_every_form(form: str) -> None:
    content = gzip.decompress((DATA / FORMS[form]).read_bytes())
    path = f"var/lib/rpm/{form}"
    owned_paths = {
        name for entry in [make_file(path, content)] if entry.open for name in _list_owned_paths(path, entry)
    }
    lower = [ROCKY, *map(make_file, sorted(owned_paths)), make_file(path, content)]
    assert read_inventory(lower).unread == ()
    edited_file = make_file(path, content.replace(b"5.1.8\0", b"5.9.8\0"))
    assert "bash became 5.9.8-9.el9 in the package database, yet its files are those of 5.1.8" in join_reasons(
        read_inventory(lower, [edited_file])
    )


def _list_owned_paths(path: str, entry: Entry) -> set[str]:
    assert entry.open
    return {name for paths in ECOSYSTEM.read(path, entry.open()).owns.values() for name in paths}


def test_a_version_changed_while_another_package_claims_the_files_is_noticed() -> None:
    claim = make_package("bash", "5.1.8", "usr/bin/bash", "usr/bin/curl")
    assert "curl became 8.0-1" in read_problems([make_database(RELEASE, claim, make_curl("8.0"))])
    assert "curl became 8.0-1" in read_problems(
        [make_database(RELEASE, BASH, make_curl("8.0"), make_package("x", "1", "usr/bin/curl"))]
    )


def test_an_epoch_or_a_source_changed_while_the_files_stay_is_noticed() -> None:
    """Advisories of some distributions name the source package."""
    assert "curl became 1:7.1-1" in read_problems([make_database(RELEASE, BASH, make_curl("7.1", (EPOCH, [1])))])
    source = make_curl("7.1", (SOURCE, "nothing-9-1.src.rpm"))
    assert "curl became 7.1-1 of the source nothing 9-1" in read_problems([make_database(RELEASE, BASH, source)])


@pytest.mark.parametrize(
    "removal",
    [
        make_whiteouts(VAR),
        make_whiteouts("var/lib/rpm"),
        make_whiteouts("var"),
        [make_opaque("var/lib/rpm")],
        [make_opaque("var")],
        [make_symlink("var/lib/rpm", "/elsewhere")],
        [make_symlink("var", "/elsewhere")],
        [make_symlink(VAR, "/dev/null")],
        [make_hardlink(VAR, "tmp/rpmdb.sqlite")],
        [make_file("var/lib/rpm", "")],
        [make_file(VAR, "")],
        [make_database()],
    ],
    ids=[
        "file",
        "folder",
        "folder above",
        "opaque",
        "opaque above",
        "link in the folder's path",
        "link above",
        "link in the file's path",
        "hard link without a target",
        "file in the folder's path",
        "no database",
        "no packages",
    ],
)
def test_a_database_removed_by_a_later_layer_is_noticed(removal: list[Entry]) -> None:
    result = read_inventory(BASE, removal)
    assert {"var", "var/lib/rpm", VAR}.intersection(entry.path for entry in result.unread)
    assert result.packages == ()


def test_a_database_removed_and_rewritten_is_compared_with_the_former() -> None:
    assert "curl 7.1-1 is no longer" in read_problems(make_whiteouts("var/lib/rpm"), [make_database(RELEASE, BASH)])
    assert read_problems(make_whiteouts("var/lib/rpm"), [make_database(RELEASE, BASH, make_curl("7.1"))]) == ""


@pytest.mark.parametrize("path", [SYSIMAGE, SHARE])
@pytest.mark.parametrize("link", [None, "../../usr/lib/sysimage/rpm", "../../usr/share/rpm"])
def test_a_database_moved_and_edited_is_noticed(path: str, link: str | None) -> None:
    old_database_removal = [make_symlink("var/lib/rpm", link)] if link else make_whiteouts("var/lib/rpm")
    assert "curl 7.1-1 is no longer" in read_problems([*old_database_removal, make_database(RELEASE, BASH, path=path)])
    assert "curl became 8.0-1" in read_problems(
        [*old_database_removal, make_database(RELEASE, BASH, make_curl("8.0"), path=path)]
    )


def test_a_database_led_to_a_clean_one_elsewhere_is_noticed() -> None:
    clean = [make_symlink("var/lib/rpm", "/opt/clean"), make_database(RELEASE, BASH, path="opt/clean/rpmdb.sqlite")]
    assert "var/lib/rpm is a link to opt/clean, which was not read" in read_problems(clean)
    assert "var/lib/rpm is a link to opt/clean" in join_reasons(read_inventory([*FILES, *clean]))


@pytest.mark.parametrize("path", [SYSIMAGE, SHARE])
def test_two_databases_that_contradict_each_other_are_noticed(path: str) -> None:
    """Which of them rpm would look into depends on its configuration."""
    for second in (make_database(RELEASE, BASH, path=path), make_database(RELEASE, BASH, make_curl("8.0"), path=path)):
        assert "contradict each other: only" in read_problems([second])
        assert "contradict each other: only" in join_reasons(read_inventory([*BASE, second]))
    assert "curl 7.1-1" in list_names(read_inventory(BASE, [second]))


@pytest.mark.parametrize("form", ["Packages.db", "Packages"])
def test_a_database_of_another_form_put_beside_is_noticed(form: str) -> None:
    content = gzip.decompress((DATA / FORMS[form]).read_bytes())
    result = read_inventory(BASE, [make_file(f"var/lib/rpm/{form}", content)])
    assert "contradict each other" in join_reasons(result)
    assert "curl 7.1-1" in list_names(result)


def test_a_log_put_beside_the_database_is_noticed() -> None:
    """The changes in it count to rpm, and are not read here."""
    log = b"\x37\x7f\x06\x82" + bytes(12) + b"saltsalt" + bytes(8) + bytes(8) + b"saltsalt" + bytes(4096)
    assert f"{VAR}-wal cannot be read: it contains changes" in read_problems([make_file(f"{VAR}-wal", log)])
    assert f"{VAR}-wal is a link" in read_problems([make_symlink(f"{VAR}-wal", "/opt/log")])


def test_one_of_several_versions_dropped_while_its_files_stay_is_noticed() -> None:
    old, new = make_package("kernel-devel", "1", "usr/src/1"), make_package("kernel-devel", "2", "usr/src/2")
    lower = [*FILES, make_file("usr/src/1"), make_file("usr/src/2"), make_database(RELEASE, BASH, old, new)]
    remaining = "kernel-devel 1-1 is no longer in the package database, yet its file usr/src/1 is there"
    assert remaining in join_reasons(read_inventory(lower, [make_database(RELEASE, BASH, new)]))
    claiming_package = make_package("kernel-devel", "2", "usr/src/1", "usr/src/2")
    assert "no file list shows whether its files are there" in join_reasons(
        read_inventory(lower, [make_database(RELEASE, BASH, claiming_package)])
    )
    assert remaining in join_reasons(read_inventory(lower, [make_database(RELEASE, BASH)]))
    replaced_package = make_package("kernel-devel", "3", "usr/src/3")
    assert remaining in join_reasons(
        read_inventory(lower, [make_file("usr/src/3"), make_database(RELEASE, BASH, new, replaced_package)])
    )


def test_a_version_put_beside_the_true_one_and_kept_alone_is_noticed() -> None:
    both = [make_database(RELEASE, BASH, make_curl("7.1"), make_curl("8.0"))]
    assert "curl 7.1-1" in list_names(read_inventory(BASE, both))
    assert "curl 7.1-1 is no longer" in read_problems(both, [make_database(RELEASE, BASH, make_curl("8.0"))])


def test_a_database_of_another_distribution_put_beside_is_noticed() -> None:
    status = make_file("var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nVersion: 1\n\n")
    reason = "yet var/lib/dpkg/status lists packages of another distribution"
    assert reason in read_problems([status])
    assert reason in join_reasons(read_inventory([*BASE, status]))


@pytest.mark.parametrize(
    ("release", "reason"),
    [
        ('ID="almalinux"\nVERSION_ID="9.4"\n', "says almalinux 9.4 where a layer below says rocky 9.4"),
        ('ID="rocky"\nVERSION_ID="10.0"\n', "says rocky 10.0 where a layer below says rocky 9.4"),
        ("ID=debian\nVERSION_ID=13\n", "contains no package database of it"),
        ("ID=void\n", "Packages of void are not read"),
        ("ID=void\nID_LIKE=rhel\n", "says void  where a layer below says rocky 9.4"),
    ],
)
@pytest.mark.parametrize("path", ["etc/os-release", "usr/lib/os-release"])
def test_a_distribution_renamed_is_noticed(path: str, release: str, reason: str) -> None:
    assert reason in read_problems([make_file(path, release)])
    renamed_layer = [
        make_file(path, release),
        make_database(RELEASE, BASH, make_curl("7.1"), make_package("less", "1", "usr/bin/less")),
    ]
    assert reason in read_problems([*renamed_layer, make_file("usr/bin/less")])


# --- ownership ---------------------------------------------------------------------------------------------------


# --- honest use --------------------------------------------------------------------------------------------------

CURL = [make_file("usr/bin/curl"), make_file("usr/share/doc/curl/README")]


def test_dnf_install_upgrade_and_remove_are_accepted() -> None:
    less = make_package("less", "1", "usr/bin/less")
    install = [make_database(RELEASE, BASH, make_curl("7.1"), less), make_file("usr/bin/less")]
    upgrade = [make_database(RELEASE, BASH, make_curl("8.0"), less), *CURL]
    remove = [make_database(RELEASE, BASH, make_curl("8.0")), *make_whiteouts("usr/bin/less")]
    last = [make_database(RELEASE, BASH), *make_whiteouts("usr/bin/curl", "usr/share/doc/curl")]
    for upto in range(1, 5):
        assert read_problems(*(install, upgrade, remove, last)[:upto]) == ""
    assert list_names(read_inventory(BASE, install, upgrade, remove)) == [
        "bash 5.1.8-1",
        "curl 8.0-1",
        "rocky-release 9.4-1",
    ]


def test_an_upgrade_without_documentation_is_accepted() -> None:
    """Container images are installed with `tsflags=nodocs`."""
    assert read_problems([make_database(RELEASE, BASH, make_curl("8.0")), make_file("usr/bin/curl")]) == ""


def test_an_upgrade_that_hands_a_file_to_a_new_package_is_accepted() -> None:
    split = [
        make_database(
            RELEASE, BASH, make_package("curl", "8.0", "usr/bin/curl-config"), make_package("curl-cli", "8.0", CLI)
        )
    ]
    assert read_problems([*split, make_file(CLI), make_file("usr/bin/curl-config")]) == ""


CLI = "usr/bin/curl"


def test_a_package_replaced_by_another_name_is_accepted() -> None:
    assert read_problems([make_database(RELEASE, BASH, make_package("curl-minimal", "8.0", CLI)), make_file(CLI)]) == ""


def test_several_versions_that_come_and_go_are_accepted() -> None:
    def make_layer(*versions: str) -> list[Entry]:
        devel = [make_package("kernel-devel", version, f"usr/src/{version}") for version in versions]
        return [make_database(RELEASE, BASH, make_curl("7.1"), *devel), make_file(f"usr/src/{versions[-1]}")]

    lower = [*FILES, *make_layer("1")]
    assert read_inventory(lower, make_layer("1", "2")).unread == ()
    assert (
        read_inventory(lower, make_layer("1", "2"), [*make_layer("2", "3"), *make_whiteouts("usr/src/1")]).unread == ()
    )
    assert read_inventory(lower, make_layer("1", "2"), [*make_layer("2"), *make_whiteouts("usr/src/1")]).unread == ()
    assert read_inventory(lower, make_layer("1", "2"), [BASE[-1], *make_whiteouts("usr/src")]).unread == ()


def test_a_database_moved_or_converted_with_all_its_packages_is_accepted() -> None:
    """Fedora and SUSE moved it, RHEL 9 and Fedora 33 converted it; older tools find it by a link."""
    moved_database = make_database(RELEASE, BASH, make_curl("7.1"), path=SYSIMAGE)
    assert read_problems([*make_whiteouts("var/lib/rpm"), moved_database]) == ""
    assert read_problems([make_symlink("var/lib/rpm", "../../usr/lib/sysimage/rpm"), moved_database]) == ""
    old, new = (gzip.decompress((DATA / FORMS[form]).read_bytes()) for form in ("Packages", "rpmdb.sqlite"))
    owned_paths = sorted(_list_owned_paths(VAR, make_file(VAR, new)))
    lower = [ROCKY, *map(make_file, owned_paths), make_file("var/lib/rpm/Packages", old)]
    result = read_inventory(lower, [*make_whiteouts("var/lib/rpm/Packages"), make_file(VAR, new)])
    assert result.unread == ()
    assert len(result.packages) == 6


def test_two_paths_that_hold_the_same_are_accepted() -> None:
    same_database = make_database(RELEASE, BASH, make_curl("7.1"), path=SYSIMAGE)
    assert read_problems([same_database]) == ""
    assert join_reasons(read_inventory([*BASE, make_hardlink(SYSIMAGE, VAR)])) == ""


def test_an_upgrade_of_the_distribution_is_accepted() -> None:
    newer = make_package("rocky-release", "9.5", "usr/lib/os-release")
    release = make_file("usr/lib/os-release", 'ID="rocky"\nVERSION_ID="9.5"\n')
    assert read_problems([release, make_database(newer, BASH, make_curl("7.1"))]) == ""


def test_an_empty_database_of_another_distribution_is_accepted() -> None:
    """Alpine's dpkg brings an empty status along, and Debian's rpm makes a database when it is first run."""
    assert read_problems([make_file("var/lib/dpkg/status", "")]) == ""
