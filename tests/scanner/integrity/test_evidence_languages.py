"""Detect Python and npm package metadata that was changed without its files; accept honest use of pip and npm."""

import json

import pytest
from tests.scanner.layers import (
    DEBIAN,
    list_names,
    make_dpkg_list,
    make_file,
    make_folder,
    make_opaque,
    make_stanza,
    make_status,
    make_symlink,
    make_whiteouts,
    read_inventory,
)

from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Entry

SITE = "usr/lib/python3/site-packages"
MODULES = "app/node_modules"


def make_metadata(version: str, folder: str = "") -> Entry:
    return make_file(f"{SITE}/flask-{folder or version}.dist-info/METADATA", f"Name: Flask\nVersion: {version}\n")


def record(version: str, *extra_lines: str) -> Entry:
    metadata_folder = f"flask-{version}.dist-info"
    lines = [
        "flask/__init__.py,sha256=x,1",
        "../../../bin/flask,,",
        f"{metadata_folder}/METADATA,,",
        f"{metadata_folder}/RECORD,,",
        *extra_lines,
    ]
    return make_file(f"{SITE}/{metadata_folder}/RECORD", "\n".join(lines) + "\n")


CODE = [make_file(f"{SITE}/flask/__init__.py"), make_file("usr/bin/flask")]


def make_flask(version: str) -> list[Entry]:
    return [make_metadata(version), record(version), *CODE]


def make_npm_package(folder: str, version: str, *files: str) -> list[Entry]:
    content = json.dumps({"name": folder.rpartition("node_modules/")[2], "version": version})
    return [make_file(f"{folder}/package.json", content), *(make_file(f"{folder}/{name}") for name in files)]


def join_reasons(result: Inventory) -> str:
    return "\n".join(entry.reason for entry in result.unread)


# --- edits -------------------------------------------------------------------------------------------------------


def test_a_record_without_the_file_that_names_its_package_is_noticed() -> None:
    result = read_inventory([record("1.0"), *CODE])
    assert "nothing names the package that it is of" in join_reasons(result)
    assert "nothing names" not in join_reasons(read_inventory([record("1.0")]))
    assert "nothing names" not in join_reasons(read_inventory(make_flask("1.0")))


def test_metadata_removed_while_the_code_stays_is_noticed() -> None:
    result = read_inventory(make_flask("1.0"), make_whiteouts(f"{SITE}/flask-1.0.dist-info/METADATA"))
    assert "no longer lists Flask 1.0, yet files of it are there" in join_reasons(result)
    assert (f"{SITE}/flask-1.0.dist-info/METADATA", "0") in [(entry.path, entry.layer) for entry in result.unread]


def test_a_dist_info_removed_while_the_code_stays_is_noticed() -> None:
    assert "no longer lists Flask" in join_reasons(
        read_inventory(make_flask("1.0"), make_whiteouts(f"{SITE}/flask-1.0.dist-info"))
    )


def test_a_record_removed_before_the_metadata_is_noticed() -> None:
    result = read_inventory(
        make_flask("1.0"),
        make_whiteouts(f"{SITE}/flask-1.0.dist-info/RECORD"),
        make_whiteouts(f"{SITE}/flask-1.0.dist-info"),
    )
    assert "no longer lists Flask" in join_reasons(result)


def test_a_dist_info_renamed_to_another_version_is_noticed() -> None:
    renamed_layer = [make_metadata("9.9"), record("9.9"), *make_whiteouts(f"{SITE}/flask-1.0.dist-info")]
    assert "no longer lists Flask 1.0" in join_reasons(read_inventory(make_flask("1.0"), renamed_layer))


def test_a_version_edited_in_the_metadata_is_noticed() -> None:
    result = read_inventory(make_flask("1.0"), [make_metadata("9.9", folder="1.0")])
    assert "became Flask 9.9, yet there are files of Flask 1.0" in join_reasons(result)


def test_a_version_edited_while_some_code_is_rewritten_is_noticed() -> None:
    assert "became Flask 9.9" in join_reasons(
        read_inventory(make_flask("1.0"), [make_metadata("9.9", folder="1.0"), CODE[0]])
    )


def test_a_name_edited_while_some_code_is_rewritten_is_noticed() -> None:
    renamed_metadata = make_file(f"{SITE}/flask-1.0.dist-info/METADATA", "Name: flaskk\nVersion: 1.0\n")
    assert "became flaskk 1.0" in join_reasons(read_inventory(make_flask("1.0"), [renamed_metadata, CODE[0]]))


def test_a_dist_info_without_record_removed_while_the_code_stays_is_noticed() -> None:
    second = [make_file(f"{SITE}/x-1.dist-info/RECORD", "x.py,,\n"), make_file(f"{SITE}/x.py")]
    lower = [make_metadata("1.0"), *second]
    assert "no longer lists Flask" in join_reasons(
        read_inventory([*lower, *CODE], make_whiteouts(f"{SITE}/flask-1.0.dist-info"))
    )
    assert "Flask" not in join_reasons(read_inventory(lower, make_whiteouts(f"{SITE}/flask-1.0.dist-info")))


def test_metadata_led_elsewhere_by_a_link_is_noticed() -> None:
    link = make_symlink(f"{SITE}/flask-1.0.dist-info/METADATA", "../../elsewhere")
    assert "is a link to usr/lib/python3/elsewhere" in join_reasons(read_inventory(make_flask("1.0"), [link]))


def test_a_package_json_removed_while_the_code_stays_is_noticed() -> None:
    result = read_inventory(
        make_npm_package(f"{MODULES}/a", "1.0.0", "index.js"), make_whiteouts(f"{MODULES}/a/package.json")
    )
    assert "no longer lists a 1.0.0" in join_reasons(result)


def test_a_package_json_that_no_longer_names_a_version_is_noticed() -> None:
    result = read_inventory(
        make_npm_package(f"{MODULES}/a", "1.0.0", "index.js"), [make_file(f"{MODULES}/a/package.json", '{"name": "a"}')]
    )
    assert "it has no version" in join_reasons(result)


def test_a_version_edited_in_the_package_json_is_noticed() -> None:
    result = read_inventory(
        make_npm_package(f"{MODULES}/a", "1.0.0", "index.js"), make_npm_package(f"{MODULES}/a", "2.0.0")
    )
    assert "became a 2.0.0, yet there are files of a 1.0.0" in join_reasons(result)


def test_a_name_edited_in_the_package_json_is_noticed() -> None:
    edited_layer = [make_file(f"{MODULES}/a/package.json", '{"name": "b", "version": "1.0.0"}')]
    assert "became b 1.0.0" in join_reasons(
        read_inventory(make_npm_package(f"{MODULES}/a", "1.0.0", "index.js"), edited_layer)
    )


def test_code_of_a_nested_package_does_not_renew_the_outer_one() -> None:
    later = [
        *make_npm_package(f"{MODULES}/a", "2.0.0"),
        *make_npm_package(f"{MODULES}/a/node_modules/b", "1.0.0", "index.js"),
    ]
    assert "became a 2.0.0" in join_reasons(
        read_inventory(make_npm_package(f"{MODULES}/a", "1.0.0", "index.js"), later)
    )


@pytest.mark.parametrize(
    ("link", "target"),
    [
        (MODULES, "/opt/nm"),
        (MODULES, "/x/node_modules/b"),
        (MODULES, "/x/node_modules/none"),
        (f"{MODULES}/@s", "/opt/s"),
        (f"{MODULES}/a", "../packages/a"),
        (f"{MODULES}/@s/a", "/opt/a"),
        (f"{MODULES}/a/package.json", "/x/node_modules/b"),
    ],
)
def test_a_link_that_hides_packages_is_noticed(link: str, target: str) -> None:
    result = read_inventory(
        [
            make_symlink(link, target),
            *make_npm_package("x/node_modules/b", "1.0.0"),
            *make_npm_package("x/node_modules/b/y", "1.0.0"),
        ]
    )
    assert [entry.path for entry in result.unread] == [link]
    assert "which was not read" in join_reasons(result)


# --- honest use --------------------------------------------------------------------------------------------------


def test_pip_install_upgrade_is_accepted() -> None:
    result = read_inventory(make_flask("1.0"), [*make_flask("2.0"), *make_whiteouts(f"{SITE}/flask-1.0.dist-info")])
    assert result.unread == ()
    assert list_names(result) == ["Flask 2.0"]


def test_pip_uninstall_is_accepted() -> None:
    removal = make_whiteouts(f"{SITE}/flask-1.0.dist-info", f"{SITE}/flask", "usr/bin/flask")
    result = read_inventory(make_flask("1.0"), removal, [make_file("app")])
    assert "Flask" not in join_reasons(result)
    assert result.packages == ()


def test_removal_of_compiled_files_alone_is_accepted() -> None:
    lower = [
        make_metadata("1.0"),
        record("1.0", "flask/__pycache__/a.pyc,,"),
        *CODE,
        make_file(f"{SITE}/flask/__pycache__/a.pyc"),
    ]
    assert read_inventory(lower, make_whiteouts(f"{SITE}/flask/__pycache__")).unread == ()


def test_reinstalling_the_same_version_is_accepted() -> None:
    assert read_inventory(make_flask("1.0"), make_flask("1.0")).unread == ()


def test_removal_of_a_whole_environment_is_accepted() -> None:
    assert "Flask" not in join_reasons(
        read_inventory(make_flask("1.0"), make_whiteouts("usr/lib/python3", "usr/bin/flask"))
    )


def test_npm_update_is_accepted() -> None:
    result = read_inventory(
        make_npm_package(f"{MODULES}/a", "1.0.0", "index.js"), make_npm_package(f"{MODULES}/a", "2.0.0", "index.js")
    )
    assert result.unread == ()
    assert list_names(result) == ["a 2.0.0"]


def test_npm_update_that_replaces_the_folder_is_accepted() -> None:
    lower = make_npm_package(f"{MODULES}/a", "1.0.0", "index.js", "old.js")
    assert (
        read_inventory(
            lower, [make_opaque(f"{MODULES}/a"), *make_npm_package(f"{MODULES}/a", "2.0.0", "new.js")]
        ).unread
        == ()
    )


def test_npm_uninstall_is_accepted() -> None:
    lower = [
        *make_npm_package(f"{MODULES}/a", "1.0.0", "index.js"),
        *make_npm_package(f"{MODULES}/b", "1.0.0", "index.js"),
    ]
    result = read_inventory(lower, make_whiteouts(f"{MODULES}/a"))
    assert result.unread == ()
    assert list_names(result) == ["b 1.0.0"]


def test_a_nested_package_lifted_up_is_accepted() -> None:
    lower = [
        *make_npm_package(f"{MODULES}/a", "1.0.0", "index.js"),
        *make_npm_package(f"{MODULES}/a/node_modules/b", "1.0.0", "index.js"),
    ]
    lifted_layer = [
        *make_whiteouts(f"{MODULES}/a/node_modules"),
        *make_npm_package(f"{MODULES}/b", "1.0.0", "index.js"),
    ]
    assert read_inventory(lower, lifted_layer).unread == ()


def test_links_to_what_is_read_at_its_own_path_are_accepted() -> None:
    store = f"{MODULES}/.pnpm/a@1.0.0/node_modules"
    result = read_inventory(
        [
            *make_npm_package(f"{store}/a", "1.0.0", "index.js"),
            *make_npm_package(f"{store}/@s/b", "1.0.0"),
            make_symlink(f"{MODULES}/a", ".pnpm/a@1.0.0/node_modules/a"),
            make_symlink(f"{MODULES}/@s", ".pnpm/a@1.0.0/node_modules/@s"),
            make_symlink(f"{MODULES}/c", ".pnpm/a@1.0.0/node_modules/@s/b"),
            make_symlink("x/node_modules", f"/{store}"),
            make_symlink(f"{MODULES}/.bin/a", "../a/index.js"),
        ]
    )
    assert result.unread == ()
    assert list_names(result) == ["@s/b 1.0.0", "a 1.0.0"]


def make_workspace(content: str, *entries: Entry) -> list[Entry]:
    return [make_file("app/packages/ui/package.json", content), make_file("app/packages/ui/index.js"), *entries]


UI = make_symlink(f"{MODULES}/@s/ui", "../../packages/ui")


@pytest.mark.parametrize("is_split", [False, True])
def test_a_package_that_only_a_link_leads_to_is_read_there(is_split: bool) -> None:
    """npm's workspaces, and whatever else is linked: `npm link`, `file:`."""
    content = make_workspace('{"name": "@s/ui", "version": "1.0.0"}')
    result = read_inventory(content, [UI]) if is_split else read_inventory([UI, *content])
    assert result.unread == ()
    assert [(package.name, package.path) for package in result.packages] == [("@s/ui", "app/packages/ui/package.json")]


def test_a_linked_package_that_is_private_is_the_projects_own() -> None:
    result = read_inventory(
        [UI, *make_workspace('{"name": "@s/ui", "private": true}'), *make_npm_package(f"{MODULES}/b", "1.0.0")]
    )
    assert (result.unread, list_names(result)) == ((), ["b 1.0.0"])


@pytest.mark.parametrize("content", ["{", '{"name": "@s/ui"}', '{"name": 1, "version": "1"}'])
def test_a_linked_package_that_cannot_be_read_is_reported(content: str) -> None:
    assert "app/packages/ui/package.json!/package" in join_reasons(read_inventory([UI, *make_workspace(content)]))


@pytest.mark.parametrize("content", ["{", '{"name": "@s/ui", "version": "1.0.0"}'])
def test_what_no_link_leads_to_is_no_package(content: str) -> None:
    plain = [
        *make_workspace(content),
        make_symlink("app/package.json", "other.json"),
        *make_npm_package(f"{MODULES}/b", "1.0.0"),
    ]
    result = read_inventory(plain)
    assert (result.unread, list_names(result)) == ((), ["b 1.0.0"])
    unlinked_inventory = read_inventory([UI, *plain], make_whiteouts(f"{MODULES}/@s"))
    assert (unlinked_inventory.unread, list_names(unlinked_inventory)) == ((), ["b 1.0.0"])


def test_a_linked_package_whose_version_alone_was_changed_is_noticed() -> None:
    lower = [UI, *make_workspace('{"name": "@s/ui", "version": "1.0.0"}')]
    edited_layer = [make_file("app/packages/ui/package.json", '{"name": "@s/ui", "version": "9.0.0"}')]
    assert "yet there are files of @s/ui 1.0.0" in join_reasons(read_inventory(lower, edited_layer))


def test_a_link_replaced_by_a_folder_is_no_longer_doubted() -> None:
    result = read_inventory(
        [make_symlink(MODULES, "/opt/nm")], [make_folder(MODULES), *make_npm_package(f"{MODULES}/b", "1.0.0")]
    )
    assert result.unread == ()


def test_a_link_of_a_distribution_package_is_that_packages_affair() -> None:
    """Debian's nodejs has usr/share/node_modules, which leads to usr/share/nodejs."""
    link, dpkg_list = (
        make_symlink("usr/share/node_modules", "nodejs"),
        make_dpkg_list("nodejs", "usr/share/node_modules"),
    )
    statement = make_status(make_stanza("bash", "5"), make_stanza("nodejs", "20"))
    assert read_inventory([*DATABASE[:1], statement, link, dpkg_list]).unread == ()
    assert "which was not read" in join_reasons(read_inventory([*DATABASE[:1], statement], [link, dpkg_list]))
    assert "which was not read" in join_reasons(
        read_inventory([*DATABASE[:1], statement], [statement, link, dpkg_list])
    )


def test_a_distribution_upgrade_of_a_package_without_record_is_accepted() -> None:
    def make_layer(version: str) -> list[Entry]:
        owned_paths = (f"{SITE}/flask-{version}.dist-info/METADATA", f"{SITE}/flask/__init__.py", "usr/bin/flask")
        statement = make_status(make_stanza("bash", "5"), make_stanza("python3-flask", version))
        return [statement, make_metadata(version), *CODE, make_dpkg_list("python3-flask", *owned_paths)]

    lower = [*DATABASE[:1], *make_layer("1.0"), make_file(f"{SITE}/other.py")]
    result = read_inventory(lower, [*make_layer("2.0"), *make_whiteouts(f"{SITE}/flask-1.0.dist-info")])
    assert result.unread == ()
    assert list_names(result) == ["Flask 2.0", "bash 5", "python3-flask 2.0"]


# --- ownership ---------------------------------------------------------------------------------------------------

OWNED = f"{SITE}/flask-1.0.dist-info/METADATA"
DATABASE = [
    make_file("etc/os-release", DEBIAN),
    make_status(make_stanza("bash", "5"), make_stanza("python3-flask", "1.0-1")),
]


def find_owner(result: Inventory) -> str:
    return next(package.owner or "" for package in result.packages if package.name == "Flask")


def test_a_package_in_the_list_of_its_own_layer_is_owned() -> None:
    assert (
        find_owner(read_inventory([*DATABASE, *make_flask("1.0"), make_dpkg_list("python3-flask", OWNED)]))
        == "python3-flask"
    )


def test_a_list_of_another_layer_gives_no_owner() -> None:
    claim = [make_dpkg_list("python3-flask", OWNED)]
    assert find_owner(read_inventory(DATABASE, make_flask("1.0"), claim)) == ""
    assert find_owner(read_inventory([*DATABASE, *claim], make_flask("1.0"))) == ""


def test_a_list_and_a_database_written_in_the_layer_of_the_package_give_no_owner_that_was_there() -> None:
    claim = [*make_flask("1.0"), make_dpkg_list("python3-flask", OWNED)]
    assert find_owner(read_inventory(DATABASE, claim)) == ""
    assert find_owner(read_inventory(DATABASE, [*claim, DATABASE[1]])) == ""
    upgraded_status = make_status(make_stanza("bash", "5"), make_stanza("python3-flask", "1.0-2"))
    assert find_owner(read_inventory(DATABASE, [*claim, upgraded_status])) == "python3-flask"


def test_a_file_rewritten_above_its_owners_list_loses_its_owner() -> None:
    lower = [*DATABASE, *make_flask("1.0"), make_dpkg_list("python3-flask", OWNED)]
    assert find_owner(read_inventory(lower, make_flask("1.0"))) == ""


def test_a_list_of_a_package_that_is_not_installed_gives_no_owner() -> None:
    assert find_owner(read_inventory([*DATABASE, *make_flask("1.0"), make_dpkg_list("python3-none", OWNED)])) == ""
