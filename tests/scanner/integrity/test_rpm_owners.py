"""Which rpm package owns a language package that lies among its files."""

from tests.scanner.ecosystems.test_rpm_image import METADATA, SIX, make_database
from tests.scanner.integrity.test_evidence_rpm import BASE, BASH, RELEASE, SHARE, join_reasons, make_curl, make_package
from tests.scanner.layers import (
    list_names,
    make_file,
    read_inventory,
)

from dockgate.scanner.ports import Entry

SIX_RPM = make_package("python3-six", "1.15.0", METADATA)


def find_owner(*layers: list[Entry]) -> str:
    return next(package.owner or "" for package in read_inventory(*layers).packages if package.name == "six")


def test_a_language_package_of_the_layer_of_its_owner_is_owned() -> None:
    assert find_owner(BASE, [SIX, make_database(RELEASE, BASH, make_curl("7.1"), SIX_RPM)]) == "python3-six"


def test_a_list_of_another_layer_gives_no_owner() -> None:
    later = make_database(RELEASE, BASH, make_curl("7.1"), SIX_RPM)
    assert find_owner(BASE, [SIX], [later]) == ""
    assert find_owner(BASE, [later], [SIX]) == ""


def test_a_list_of_a_package_that_was_there_gives_no_owner() -> None:
    """Every layer that installs anything repeats all lists, the forged ones too."""
    claim = make_package("bash", "5.1.8", "usr/bin/bash", METADATA)
    assert find_owner(BASE, [SIX, make_database(RELEASE, claim, make_curl("7.1"))]) == ""
    owned_layer = [*BASE[:-1], SIX, make_database(RELEASE, BASH, SIX_RPM)]
    less = make_package("less", "1", "usr/bin/less")
    assert find_owner(owned_layer) == "python3-six"
    assert find_owner(owned_layer, [SIX, make_file("usr/bin/less"), make_database(RELEASE, BASH, SIX_RPM, less)]) == ""


def test_an_owner_made_up_in_the_layer_of_its_language_package_is_accepted() -> None:
    """Cannot be detected: the author of a whole layer can build and install a package of that name, which looks the
    same. The package is listed, under a name that no advisory knows."""
    result = read_inventory(
        BASE, [SIX, make_database(RELEASE, BASH, make_curl("7.1"), make_package("made-up", "1", METADATA))]
    )
    assert [package.owner for package in result.packages if package.name == "six"] == ["made-up"]
    assert "made-up 1-1" in list_names(result)


def test_an_owner_in_a_second_database_is_noticed() -> None:
    for made_up in (
        make_database(make_package("made-up", "1", METADATA), path=SHARE),
        _make_apk_database(f"P:made-up\nV:1\n{_list_metadata_file()}\n\n"),
    ):
        assert join_reasons(read_inventory(BASE, [SIX, made_up]))


def _make_apk_database(content: str) -> Entry:
    return make_file("lib/apk/db/installed", content)


def _list_metadata_file() -> str:
    folder, _, name = METADATA.rpartition("/")
    return f"F:{folder}\nR:{name}"
