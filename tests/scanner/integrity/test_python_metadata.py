"""Folders of Python packages that do not say which package they are of, say two things, or list no files."""

import pytest
from tests.scanner.layers import (
    DEBIAN,
    make_dist_info,
    make_dpkg_list,
    make_file,
    make_folder,
    make_stanza,
    make_status,
    make_whiteouts,
    read_inventory,
)

from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Entry

SITE = "usr/local/lib/python3.12/site-packages"
DEBIANS = "usr/lib/python3/dist-packages"
FLASK = f"{SITE}/flask-1.0.dist-info"
SECOND = make_dist_info(f"{SITE}/other-2.dist-info", "other", "2")
METADATA, RECORD = make_dist_info(FLASK, "Flask", "1.0")
WHEEL = make_file(f"{FLASK}/WHEEL", "Wheel-Version: 1.0\n")
CODE = [make_file(f"{SITE}/flask/__init__.py")]


def list_unread(*layers: list[Entry]) -> list[tuple[str, str]]:
    return [(entry.path, entry.reason) for entry in read_inventory(SECOND, *layers).unread]


def join_reasons(image: Inventory) -> str:
    return "\n".join(entry.reason for entry in image.unread)


# --- without a name ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "naming"),
    [
        (f"{FLASK}/WHEEL", "METADATA"),
        (f"{FLASK}/licenses/LICENSE", "METADATA"),
        (f"{FLASK}/RECORD", "METADATA"),
        (f"{SITE}/flask-1.0.egg-info/top_level.txt", "PKG-INFO"),
        (f"{SITE}/flask.egg-info/SOURCES.txt", "PKG-INFO"),
        (f"{SITE}/flask-1.0-py3.12.egg/EGG-INFO/top_level.txt", "PKG-INFO"),
        ("flask-1.0.dist-info/INSTALLER", "METADATA"),
        (f"{SITE}/flask-1.0.DIST-INFO/WHEEL", "METADATA"),
        (f"{SITE}/flask-1.0.Egg-Info/top_level.txt", "PKG-INFO"),
    ],
)
def test_a_folder_without_the_file_that_names_its_package_is_unread(path: str, naming: str) -> None:
    (entry,) = list_unread([make_file(path, "")])[:1]
    assert path.startswith(f"{entry[0]}/")
    assert f"contains no {naming}, so nothing names the package that it is of." in entry[1]


def test_a_name_removed_above_is_noticed_beside_a_list_that_was_emptied() -> None:
    emptied_list = make_file(f"{FLASK}/RECORD", "")
    assert f"{FLASK} contains no METADATA" in str(
        list_unread([METADATA, RECORD, *CODE], [emptied_list, *make_whiteouts(f"{FLASK}/METADATA")])
    )
    assert f"{FLASK} contains no METADATA" in str(list_unread([WHEEL, *CODE]))


def test_a_package_that_was_removed_leaves_nothing() -> None:
    assert list_unread([METADATA, RECORD, WHEEL, *CODE], make_whiteouts(FLASK, f"{SITE}/flask")) == []
    whiteouts = make_whiteouts(f"{FLASK}/METADATA", f"{FLASK}/RECORD", f"{FLASK}/WHEEL", f"{SITE}/flask")
    assert list_unread([METADATA, RECORD, WHEEL, *CODE], whiteouts) == []
    assert list_unread([make_folder(FLASK)]) == []


def test_a_name_in_a_lower_layer_is_seen() -> None:
    assert list_unread([METADATA, RECORD], [WHEEL]) == []
    assert list_unread([WHEEL], [METADATA, RECORD]) == []


@pytest.mark.parametrize(
    "path",
    [
        "flask-1.0.DIST-INFO/METADATA",
        "flask-1.0.Dist-Info/METADATA",
        "flask-1.0.EGG-INFO/PKG-INFO",
        "flask-1.0.EGG-INFO",
        "flask-1.0.Egg/egg-info/PKG-INFO",
    ],
)
def test_a_folder_of_metadata_is_found_in_any_case(path: str) -> None:
    """As importlib.metadata and pip find it, on any system."""
    result = read_inventory([make_file(f"{SITE}/{path}", "Name: Flask\nVersion: 1.0\n"), *CODE])
    assert [package.purl for package in result.packages] == ["pkg:pypi/flask@1.0"]
    assert ("has no RECORD beside it" in join_reasons(result)) is path.endswith("METADATA")


def test_removed_metadata_is_noticed_in_any_case() -> None:
    folder = f"{SITE}/flask-1.0.DIST-INFO"
    assert folder in str(
        list_unread([*make_dist_info(folder, "Flask", "1.0"), *CODE], make_whiteouts(f"{folder}/METADATA"))
    )


# --- without a list of files -------------------------------------------------------------------------------------


def test_a_package_without_a_list_of_files_is_unread() -> None:
    image = read_inventory([METADATA, WHEEL, *CODE])
    assert [package.purl for package in image.packages] == ["pkg:pypi/flask@1.0"]
    assert join_reasons(image) == (
        f"{FLASK}/METADATA has no RECORD beside it, so no file list shows which files belong to the package."
    )


def test_a_list_removed_above_is_noticed() -> None:
    assert "has no RECORD beside it" in str(list_unread([METADATA, RECORD, *CODE], make_whiteouts(f"{FLASK}/RECORD")))


def test_a_list_that_leaves_the_metadata_out_is_unread() -> None:
    for content in ("", "flask/__init__.py,,\n", "other-2.dist-info/METADATA,,\n"):
        assert "it does not list the METADATA next to it" in str(
            list_unread([METADATA, make_file(f"{FLASK}/RECORD", content), *CODE])
        )


@pytest.mark.parametrize("kind", ["egg-info", "dist-info"])
def test_a_distributions_package_needs_no_list(kind: str) -> None:
    """Debian removes RECORD, and Fedora does: their databases list the files."""
    path = f"{DEBIANS}/flask-1.0.{kind}/{'METADATA' if kind == 'dist-info' else 'PKG-INFO'}"
    system = [make_file("etc/os-release", DEBIAN), make_status(make_stanza("python3-flask", "1.0-1"))]
    metadata = make_file(path, "Name: Flask\nVersion: 1.0\n")
    assert join_reasons(read_inventory([*system, make_dpkg_list("python3-flask", path), metadata])) == ""
    unlisted_reasons = join_reasons(read_inventory([*system, make_dpkg_list("python3-flask"), metadata]))
    assert ("has no RECORD beside it" in unlisted_reasons) is (kind == "dist-info")


def test_a_distributions_folder_without_a_name_is_its_affair() -> None:
    system = [make_file("etc/os-release", DEBIAN), make_status(make_stanza("python3-flask", "1.0-1"))]
    path = f"{DEBIANS}/flask-1.0.dist-info/WHEEL"
    assert join_reasons(read_inventory([*system, make_dpkg_list("python3-flask", path), make_file(path)])) == ""
    assert "contains no METADATA" in join_reasons(
        read_inventory([*system, make_dpkg_list("python3-flask"), make_file(path)])
    )


def test_condas_record_lists_the_files_too() -> None:
    metadata_path = "lib/python3.12/site-packages/flask-1.0.dist-info/METADATA"
    record = f'{{"name": "flask", "version": "1.0", "build": "0", "channel": "c", "files": ["{metadata_path}"]}}'
    image = [
        make_file("opt/conda/conda-meta/flask-1.0-0.json", record),
        make_file(f"opt/conda/{metadata_path}", "Name: Flask\nVersion: 1.0\n"),
    ]
    assert join_reasons(read_inventory(image)) == ""


# --- two names ---------------------------------------------------------------------------------------------------


def describe_contradiction(path: str, name: str, version: str) -> str:
    content = f"Name: {name}\nVersion: {version}\n"
    entries = (
        make_dist_info(path.removesuffix("/METADATA"), name, version)
        if path.endswith("METADATA")
        else [make_file(path, content)]
    )
    return join_reasons(read_inventory(entries))


@pytest.mark.parametrize(
    ("path", "name", "version"),
    [
        ("Flask_Login-0.6.3.dist-info/METADATA", "flask-login", "0.6.3"),
        ("ruamel.yaml-0.18.6.dist-info/METADATA", "ruamel.yaml", "0.18.6"),
        ("certifi-2023.7.22.dist-info/METADATA", "certifi", "2023.07.22"),
        ("torch-2.1.0+cu118.dist-info/METADATA", "torch", "2.1.0+cu118"),
        ("torch-2.1.0_cu118.dist-info/METADATA", "torch", "2.1.0-cu118"),
        ("a-1.0.post1.dist-info/METADATA", "a", "1.0-1"),
        ("python-dateutil-2.8.2.dist-info/METADATA", "python-dateutil", "2.8.2"),
        ("a.dist-info/METADATA", "a", "1.0"),
        ("a-2020.1.dev3.egg-info/PKG-INFO", "a", "2020.1.dev3"),
        ("PyYAML-6.0-py3.12-linux-x86_64.egg-info/PKG-INFO", "PyYAML", "6.0"),
        ("PyYAML-6.0-py3.12.egg/EGG-INFO/PKG-INFO", "PyYAML", "6.0"),
        ("a-1.0-py3.9.egg-info", "a", "1.0"),
        ("src/a.egg-info/PKG-INFO", "a", "7"),
        ("EGG-INFO/PKG-INFO", "a", "7"),
        ("Flask-1.0.DIST-INFO/METADATA", "flask", "1.0"),
        ("a-1.0-py3.9.EGG-INFO", "a", "1.0"),
        ("a-1.0.Egg-Info/PKG-INFO", "a", "1.0"),
        ("a-1.0-py3.12.EGG/egg-info/PKG-INFO", "a", "1.0"),
    ],
)
def test_metadata_that_agrees_with_its_folder_is_accepted(path: str, name: str, version: str) -> None:
    assert describe_contradiction(f"{SITE}/{path}", name, version) == ""
    assert describe_contradiction(f"app/{path}", name, version) == ""


@pytest.mark.parametrize(
    ("path", "name", "version", "reason"),
    [
        ("flask-1.0.dist-info/METADATA", "flask", "9.9", "its version 9.9 contradicts its folder, flask-1.0"),
        ("flask-1.0.dist-info/METADATA", "flaks", "1.0", "its name flaks contradicts its folder, flask-1.0"),
        ("flask-1.0.dist-info/METADATA", "flask-1", "0", "its name flask-1 contradicts its folder, flask-1.0"),
        ("flask-1.0.dist-info/METADATA", "flask", "1.0.1+x y", "its version 1.0.1+x y contradicts its folder"),
        ("flask-1.0-py3.12.egg-info/PKG-INFO", "flask", "1.0.1", "its version 1.0.1 contradicts its folder"),
        ("flask-1.0.egg/EGG-INFO/PKG-INFO", "flask", "2.0", "its version 2.0 contradicts its folder, flask-1.0"),
        ("flask.egg-info/PKG-INFO", "other", "2.0", "its name other contradicts its folder, flask"),
        ("flask-1.0.egg-info", "flask", "2.0", "its version 2.0 contradicts its folder, flask-1.0"),
        ("flask-1.0.DIST-INFO/METADATA", "flask", "2.0", "its version 2.0 contradicts its folder, flask-1.0"),
        ("flask-1.0.EGG-INFO", "flask", "2.0", "its version 2.0 contradicts its folder, flask-1.0"),
        ("flask-1.0.EGG/Egg-Info/PKG-INFO", "flask", "2.0", "its version 2.0 contradicts its folder, flask-1.0"),
    ],
)
def test_metadata_that_contradicts_its_folder_is_unread(path: str, name: str, version: str, reason: str) -> None:
    assert reason in describe_contradiction(f"{SITE}/{path}", name, version)
