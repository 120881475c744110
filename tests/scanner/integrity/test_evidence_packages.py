"""Detect Ruby, PHP, .NET, Java, Go and Rust metadata, and lockfiles, that were changed without their files.

Honest use is accepted. What no reader can detect is tested, too: such a test says why it is out of reach.
"""

import gzip
import json
import lzma
from pathlib import Path

import pytest
from tests.scanner.layers import (
    list_names,
    make_file,
    make_hardlink,
    make_opaque,
    make_symlink,
    make_whiteouts,
    read_inventory,
)

from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Entry

DATA = Path(__file__).parent.parent.parent / "scanner/ecosystems/data"
JAR = (DATA / "java/jul-to-slf4j-2.0.17.jar").read_bytes()
GO = gzip.decompress((DATA / "go/linux-amd64.gz").read_bytes())
PACKED = gzip.decompress((DATA / "go/packed.gz").read_bytes())
RUST = lzma.decompress((DATA / "rust/linux.xz").read_bytes())
# A package that is there whatever else goes, so that the image is not empty.
ANCHOR = make_file("srv/node_modules/anchor/package.json", '{"name": "anchor", "version": "1.0.0"}')


def join_reasons(result: Inventory) -> str:
    return "\n".join(entry.reason for entry in result.unread)


def read_problems(*layers: list[Entry]) -> str:
    return join_reasons(read_inventory([ANCHOR], *layers))


def list_packages(*layers: list[Entry]) -> list[str]:
    """ "name version" of what is read, the anchor aside."""
    return [name for name in list_names(read_inventory([ANCHOR], *layers)) if name != "anchor 1.0.0"]


# --- Ruby --------------------------------------------------------------------------------------------------------

GEMS = "usr/local/bundle"
SPECIFICATION = f"{GEMS}/specifications/rack-2.0.gemspec"


def make_specification(version: str, path: str = "", name: str = "rack") -> Entry:
    lines = ["# -*- encoding: utf-8 -*-", f"# stub: {name} {version} ruby lib", "", "Gem::Specification.new do |s|"]
    lines += [f'  s.name = "{name}".freeze', f'  s.version = "{version}".freeze', "end", ""]
    return make_file(path or f"{GEMS}/specifications/{name}-{version}.gemspec", "\n".join(lines))


def make_gem(version: str) -> list[Entry]:
    return [make_specification(version), make_file(f"{GEMS}/gems/rack-{version}/lib/rack.rb")]


@pytest.mark.parametrize(
    "edit",
    [
        make_whiteouts(SPECIFICATION),
        make_whiteouts(f"{GEMS}/specifications"),
        [make_opaque(f"{GEMS}/specifications")],
        [*make_whiteouts(SPECIFICATION), make_specification("3.0")],
        [make_specification("3.0", SPECIFICATION)],
        [make_specification("2.0", SPECIFICATION, name="rake")],
        [make_symlink(f"{GEMS}/specifications", "/opt/clean")],
        [make_symlink(SPECIFICATION, "/dev/null")],
    ],
    ids=["removed", "folder", "opaque", "renamed", "version", "name", "link above", "link"],
)
def test_a_gems_specification_edited_while_its_folder_stays_is_noticed(edit: list[Entry]) -> None:
    assert "rack 2.0" in read_problems(make_gem("2.0"), edit)


def test_a_gems_specification_and_stub_that_disagree_are_noticed() -> None:
    content = (
        '# -*-\n# stub: rack 3.0 ruby lib\nGem::Specification.new do |s|\n  s.name = "rack"\n  s.version = "2.0"\n'
    )
    assert "its stub names rack 3.0" in read_problems(make_gem("2.0"), [make_file(SPECIFICATION, content)])


def test_the_specification_of_a_gem_from_git_removed_while_its_checkout_stays_is_noticed() -> None:
    checkout = f"{GEMS}/bundler/gems/rack-6301be8ac546"
    git = [make_specification("2.0", f"{checkout}/rack.gemspec"), make_file(f"{checkout}/lib/rack.rb")]
    assert list_packages(git) == ["rack 2.0"]
    assert "rack 2.0" in read_problems(git, make_whiteouts(f"{checkout}/rack.gemspec"))
    assert read_problems(git, make_whiteouts(checkout)) == ""


def test_gem_install_update_and_uninstall_are_accepted() -> None:
    assert read_problems(make_gem("2.0"), make_gem("3.0")) == ""
    assert list_packages(make_gem("2.0"), make_gem("3.0")) == ["rack 2.0", "rack 3.0"]
    assert (
        read_problems(make_gem("2.0"), [*make_gem("3.0"), *make_whiteouts(SPECIFICATION, f"{GEMS}/gems/rack-2.0")])
        == ""
    )
    assert read_problems(make_gem("2.0"), make_whiteouts(GEMS)) == ""


# --- PHP ---------------------------------------------------------------------------------------------------------

VENDOR = "app/vendor"
INSTALLED = f"{VENDOR}/composer/installed.json"


def make_installed(path: str = INSTALLED, /, **versions: str) -> Entry:
    packages = [{"name": f"acme/{name}", "version": version} for name, version in versions.items()]
    placed_packages = [{**package, "install-path": f"../{package['name']}"} for package in packages]
    return make_file(path, json.dumps({"packages": placed_packages}))


def make_folder_files(name: str) -> list[Entry]:
    return [make_file(f"{VENDOR}/acme/{name}/{item}.php") for item in ("a", "b")]


COMPOSER = [
    make_installed(log="1.0", mail="1.0"),
    *make_folder_files("log"),
    *make_folder_files("mail"),
    make_file(f"{VENDOR}/composer/autoload.php"),
]


@pytest.mark.parametrize(
    "edit",
    [
        [make_installed(mail="1.0")],
        [make_installed(log="2.0", mail="1.0")],
        [make_installed(log="2.0", mail="1.0"), make_file(f"{VENDOR}/acme/log/a.php")],
        make_whiteouts(INSTALLED),
        [make_opaque(f"{VENDOR}/composer")],
        [make_symlink(f"{VENDOR}/composer", "/opt/clean"), make_installed("opt/clean/installed.json", mail="1.0")],
        [make_symlink(INSTALLED, "/opt/clean.json")],
        [*make_whiteouts(INSTALLED), make_installed(f"{VENDOR}/composer/installed.json.bak", log="1.0", mail="1.0")],
    ],
    ids=["removed", "version", "some code", "whole", "opaque", "link above", "link", "renamed"],
)
def test_an_installed_json_edited_while_a_package_stays_is_noticed(edit: list[Entry]) -> None:
    assert "acme/log 1.0" in read_problems(COMPOSER, edit)


def test_a_package_whose_metadata_names_another_folder_is_noticed() -> None:
    moved_package = {"name": "acme/log", "version": "2.0", "install-path": "../acme/mail"}
    mail = {"name": "acme/mail", "version": "1.0", "install-path": "../acme/mail"}
    assert "acme/log 1.0" in read_problems(
        COMPOSER, [make_file(INSTALLED, json.dumps({"packages": [moved_package, mail]}))]
    )


def test_composer_update_and_remove_are_accepted() -> None:
    update = [make_installed(log="2.0", mail="1.0"), make_opaque(f"{VENDOR}/acme/log"), *make_folder_files("log")]
    assert read_problems(COMPOSER, update) == ""
    assert list_packages(COMPOSER, update) == ["acme/log 2.0", "acme/mail 1.0"]
    assert read_problems(COMPOSER, [make_installed(mail="1.0"), *make_whiteouts(f"{VENDOR}/acme/log")]) == ""
    assert read_problems(COMPOSER, [make_installed(log="1.0", mail="1.0", new="1.0"), *make_folder_files("new")]) == ""
    assert read_problems(COMPOSER, make_whiteouts(VENDOR)) == ""


# --- .NET --------------------------------------------------------------------------------------------------------

TARGET = ".NETCoreApp,Version=v8.0"
DEPS = "app/web.deps.json"


def make_deps(kind: str = "package", assets: bool = True, /, **versions: str) -> Entry:
    libraries = [f"{name}/{version}" for name, version in versions.items()]
    targets: dict[str, object] = {
        library: {"runtime": {f"lib/net8.0/{library.partition('/')[0]}.dll": {}} if assets else {}}
        for library in libraries
    }
    document = {
        "runtimeTarget": {"name": TARGET},
        "targets": {TARGET: targets},
        "libraries": {library: {"type": kind} for library in libraries},
    }
    return make_file(DEPS, json.dumps(document))


DOTNET = [make_deps(Json="12.0.1", Log="1.0.0"), *map(make_file, ("app/Json.dll", "app/Log.dll", "app/web.dll"))]


@pytest.mark.parametrize(
    "edit",
    [
        [make_deps(Log="1.0.0")],
        [make_deps(Json="13.0.1", Log="1.0.0")],
        [make_deps("project", Json="12.0.1", Log="1.0.0")],
        [make_deps("package", False, Json="12.0.1", Log="1.0.0")],
        make_whiteouts(DEPS),
        [make_symlink(DEPS, "/opt/clean.json")],
        [*make_whiteouts(DEPS), make_file("app/web.deps", "{}")],
    ],
    ids=["removed", "version", "called a project", "without files", "whole", "link", "renamed"],
)
def test_a_deps_json_edited_while_the_libraries_stay_is_noticed(edit: list[Entry]) -> None:
    assert "Json 12.0.1" in read_problems(DOTNET, edit)


def test_publishing_again_is_accepted() -> None:
    second_publish = [make_deps(Json="13.0.1", Log="1.0.0"), *map(make_file, ("app/Json.dll", "app/web.dll"))]
    assert read_problems(DOTNET, second_publish) == ""
    assert list_packages(DOTNET, second_publish) == ["Json 13.0.1", "Log 1.0.0"]
    assert read_problems(DOTNET, [make_deps(Log="1.0.0"), *make_whiteouts("app/Json.dll")]) == ""
    assert read_problems(DOTNET, make_whiteouts("app")) == ""


# --- what lies in the file itself --------------------------------------------------------------------------------

SLF4J = "org.slf4j:jul-to-slf4j 2.0.17"


def test_a_jar_is_its_own_evidence() -> None:
    assert list_packages([make_file("app/a.jar", JAR)], make_whiteouts("app/a.jar")) == []
    assert list_packages([make_file("app/a.jar", JAR)], [make_opaque("app")], [make_file("app/b.jar", JAR)]) == [SLF4J]
    assert read_problems([make_file("app/a.jar", JAR)], [make_file("app/a.jar", JAR)]) == ""


def test_a_jar_behind_a_link_is_read_or_noticed() -> None:
    assert "app/a.jar is a link to opt/a.bin, which was not read" in read_problems(
        [make_file("opt/a.bin", JAR), make_symlink("app/a.jar", "../opt/a.bin")]
    )
    assert list_packages(
        [make_file("opt/a.bin", JAR), make_hardlink("app/a.jar", "opt/a.bin")], make_whiteouts("opt/a.bin")
    ) == [SLF4J]
    hardlink_layer = [make_hardlink("app/a.jar", "opt/a.bin"), *make_whiteouts("opt/a.bin")]
    assert "hard link to opt/a.bin, which is not an earlier file of its layer" in read_problems(
        [make_file("opt/a.bin", JAR)], hardlink_layer
    )
    assert (
        read_problems(
            [make_file("app/jul-to-slf4j-2.0.17.jar", JAR), make_symlink("app/a.jar", "jul-to-slf4j-2.0.17.jar")]
        )
        == ""
    )


def test_a_program_behind_a_hard_link_is_seen_at_both_paths() -> None:
    """Programs are known by their first bytes, which a hard link's entry does not have."""
    linked_layer = [make_file("tmp/x", GO), make_hardlink("usr/bin/app", "tmp/x")]
    assert list_packages(linked_layer, make_whiteouts("tmp/x")) == list_packages([make_file("usr/bin/app", GO)])
    assert read_problems([make_file("tmp/x", b"x"), make_hardlink("usr/bin/app", "tmp/x")]) == ""
    hardlink_layer = [make_hardlink("usr/bin/app", "tmp/x"), *make_whiteouts("tmp/x")]
    assert "hard link to tmp/x, which is not an earlier file of its layer" in read_problems(
        [make_file("tmp/x", GO)], hardlink_layer
    )


def test_a_jar_under_another_name_is_not_looked_for() -> None:
    """Out of reach: Java takes a library by any name, from any archive, whatever it is compressed with. The name is
    what tells a library from the thousands of other archives in an image."""
    assert list_packages([make_file("app/a.txt", JAR), make_file("app/b.jar.bak", JAR)]) == []


def test_a_jar_made_again_with_another_version_in_it_is_accepted() -> None:
    """Out of reach: nothing but the code, which is not compared with any known one, contradicts it."""
    second = JAR.replace(b"version=2.0.17", b"version=9.9.99")
    assert read_problems([make_file("app/a.jar", JAR)], [make_file("app/a.jar", second)]) == ""


def test_a_go_program_cannot_hide_its_modules_alone() -> None:
    assert "example.com/dep v1.2.3" in list_packages([make_file("usr/bin/app", GO)])
    without = GO.replace(b"\xff Go buildinf:", b"\xff No buildinf:")
    assert "usr/bin/app cannot be read: it is a Go program without build information" in read_problems(
        [make_file("usr/bin/app", without)]
    )
    assert "usr/bin/app cannot be read: it is packed with UPX" in read_problems([make_file("usr/bin/app", PACKED)])
    renamed_layer = [make_file("usr/share/doc/readme.txt", GO)]
    assert "example.com/dep v1.2.3" in list_packages(renamed_layer)


def test_a_go_program_without_its_table_of_sections_is_read() -> None:
    """As `sstrip` leaves it."""
    stripped_program = GO[:0x28] + bytes(8) + GO[0x30:0x3A] + bytes(6) + GO[0x40:]
    assert "example.com/dep v1.2.3" in list_packages([make_file("usr/bin/app", stripped_program)])


def test_a_program_freed_of_all_that_tells_its_language_is_not_seen() -> None:
    """Out of reach: it is then like any program in C, of whose libraries nothing tells either."""
    stripped_program = GO[:0x28] + bytes(8) + GO[0x30:0x3A] + bytes(6) + GO[0x40:]
    for mark in (b"\xff Go buildinf:", b"\x04\0\0\0Go\0\0", b"\xff Go build ID"):
        stripped_program = stripped_program.replace(mark, bytes(len(mark)))
    assert list_packages([make_file("usr/bin/app", stripped_program)]) == []
    assert list_packages([make_file("usr/bin/app", RUST.replace(b".dep-v0", b".no-dep"))]) == []


def test_a_program_built_again_is_accepted() -> None:
    assert read_problems([make_file("usr/bin/app", GO)], [make_file("usr/bin/app", GO)]) == ""
    assert (
        read_problems(
            [make_file("usr/bin/app", GO)], [make_file("usr/bin/app", "#!/bin/sh\n"), make_file("usr/bin/app.real", GO)]
        )
        == ""
    )


# --- lockfiles and rules by which something is passed over ---------------------------------------------------------


def make_package_json(path: str, name: str, version: str) -> Entry:
    return make_file(f"{path}/package.json", json.dumps({"name": name, "version": version}))


def lock(path: str, **versions: str) -> Entry:
    packages = {f"node_modules/{name}": {"version": version} for name, version in versions.items()}
    return make_file(f"{path}/package-lock.json", json.dumps({"lockfileVersion": 3, "packages": packages}))


def test_a_lockfile_hides_nothing_that_is_installed() -> None:
    installed_package = make_package_json("app/node_modules/left", "left", "1.0.0")
    assert list_packages([installed_package, lock("app", left="9.9.9")]) == ["left 1.0.0", "left 9.9.9"]
    assert list_packages([installed_package, lock("app", left="1.0.0", other="2.0.0")]) == ["left 1.0.0"]
    assert list_packages([installed_package], [lock("app/node_modules", left="1.0.0")]) == ["left 1.0.0"]


def test_a_lockfile_counts_in_any_folder_but_that_of_a_package() -> None:
    for path in ("app/my-packages/requirements.txt", "site-packages-old/requirements.txt", "requirements.txt"):
        assert list_packages([make_file(path, "flask==1.0\n")]) == ["flask 1.0"]
    assert list_packages([make_file("usr/lib/python3/site-packages/x/requirements.txt", "flask==1.0\n")]) == []
    assert list_packages([make_file("usr/lib/python3/dist-packages/x/requirements.txt", "flask==1.0\n")]) == []


def test_a_package_folder_that_distributions_use_hides_nothing() -> None:
    """Debian's Node.js looks into usr/share/nodejs as into any node_modules."""
    assert list_packages([make_package_json("usr/share/nodejs/left", "left", "1.0.0")]) == ["left 1.0.0"]
    assert list_packages([make_package_json("usr/share/nodejs/@scope/left", "@scope/left", "1.0.0")]) == [
        "@scope/left 1.0.0"
    ]


def test_a_package_in_a_folder_of_another_name_is_not_looked_for() -> None:
    """Out of reach: any folder may be put on NODE_PATH, yet a package.json outside of node_modules is a project's own
    far more often, and then no package has its name."""
    assert list_packages([make_package_json("app/modules/left", "left", "1.0.0")]) == []
    assert list_packages([make_package_json("app/node_modules/left/vendored", "right", "1.0.0")]) == []


def test_vendored_distributions_are_read() -> None:
    metadata = make_file("app/_vendor/flask-1.0.dist-info/METADATA", "Name: flask\nVersion: 1.0\n")
    assert list_packages([metadata]) == ["flask 1.0"]
    gemspec = make_specification("2.0", "app/vendor/bundle/ruby/3.3.0/specifications/rack-2.0.gemspec")
    assert list_packages([gemspec]) == ["rack 2.0"]


def test_a_package_whose_every_file_is_rewritten_is_accepted() -> None:
    """Out of reach, for all languages: files are distinguished by the layer that they come from, and an honest
    update writes them all, too."""
    copied_layer = [make_installed(log="2.0", mail="1.0"), *make_folder_files("log")]
    assert read_problems(COMPOSER, copied_layer) == ""
