"""What an ecosystem may say of a file besides its packages: parts unread, a lockfile, a release, that it is alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import pytest
from tests.scanner.layers import (
    DEBIAN,
    list_names,
    make_dpkg_list,
    make_file,
    make_image,
    make_stanza,
    make_status,
    make_whiteouts,
    read_image,
    read_inventory,
)

from dockgate.scanner.model import Distribution, Inventory, Package
from dockgate.scanner.ports import Ecosystem, Entry, Extract, ImageMetadata, PackageUpgrade, Triggers
from dockgate.shared.errors import UnreadableError
from dockgate.shared.purl import Purl


@dataclass
class Kind:
    """An ecosystem of files "*.pkg" whose text says what it extracts: lines "name version", "nameless version", "lock",
    "alone", "unread PATH REASON", "owns NAME PATH", "release R"."""

    name: str = "kind"
    version: int = 1
    osv_names: tuple[str, ...] = ("Kind",)
    can_omit_epoch: bool = False
    can_omit_local_label: bool = False
    purl_types: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    database_paths: tuple[str, ...] = ()
    triggers: Triggers = Triggers(suffixes=(".pkg",))  # noqa: RUF009 - frozen
    calls: list[str] = field(default_factory=list)

    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        self.calls.append(path)
        return path.endswith(".pkg")

    def read(self, path: str, file: BinaryIO) -> Extract:
        packages: list[Package] = []
        unread_parts: list[tuple[str, str]] = []
        owns: dict[str, tuple[str, ...]] = {}
        words = [line.split() for line in file.read().decode().splitlines()]
        for line in words:
            match line:
                case ["broken"]:
                    raise UnreadableError("it is broken")
                case ["unread", inner, reason]:
                    unread_parts.append((inner, reason))
                case ["owns", name, owned_path]:
                    owns[f"pkg:kind/{name}"] = (owned_path,)
                case ["release" | "lock" | "alone", *_]:
                    pass
                case ["nameless", version]:
                    packages.append(Package("", version, "pkg:kind/x", "Kind", "x", version, path))
                case [name, version]:
                    purl = f"pkg:kind/{name}"
                    packages.append(Package(name, version, purl, "Kind", name, version, path))
        return Extract(
            tuple(packages),
            owns,
            unread_parts=tuple(unread_parts),
            is_self_contained=["alone"] in words,
            is_lockfile=["lock"] in words,
            release=next((line[1] for line in words if line[0] == "release"), ""),
        )

    def assign_distribution(self, package: Package, distribution: Distribution) -> Package:
        return package

    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        raise NotImplementedError

    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        raise NotImplementedError

    def make_version_key(self, version: str) -> bytes:
        return version.encode()


def read(*layers: list[Entry], kind: Ecosystem | None = None, metadata: ImageMetadata | None = None) -> Inventory:
    image = make_image(*layers)
    image.metadata = metadata or ImageMetadata()
    return read_image(image, [kind or Kind()])


def test_only_files_that_trigger_an_ecosystem_are_asked_about() -> None:
    kind = Kind()
    result = read(
        [make_file("a/b.pkg", "a 1"), make_file("a/b.txt"), make_file("pkg"), make_file(".pkg", "b 2")], kind=kind
    )
    assert list_names(result) == ["a 1", "b 2"]
    assert set(kind.calls) == {"a/b.pkg", ".pkg"}


@pytest.mark.parametrize(
    ("triggers", "path", "content"),
    [
        (Triggers(names=("x.pkg",)), "a/x.pkg", "a 1"),
        (Triggers(prefixes=("opt/k/",)), "opt/k/x.pkg", "a 1"),
        (Triggers(parts=("dules",)), "a/modules/x.pkg", "a 1"),
        (Triggers(magics=(b"ab 1",)), "a/x.pkg", "ab 1"),
    ],
)
def test_each_trigger_is_enough(triggers: Triggers, path: str, content: str) -> None:
    assert len(read([make_file(path, content)], kind=Kind(triggers=triggers)).packages) == 1
    assert not read([make_file("b/other.pkg", "b 1")], kind=Kind(triggers=triggers)).packages


def test_parts_that_could_not_be_read_are_unread_beside_the_packages_that_were() -> None:
    result = read([make_file("app.pkg", "a 1\nunread lib/b.pkg truncated")])
    assert list_names(result) == ["a 1"]
    assert [(entry.path, entry.layer) for entry in result.unread] == [("app.pkg!/lib/b.pkg", "0")]
    assert result.unread[0].reason == "app.pkg!/lib/b.pkg cannot be read: truncated."


def test_a_lockfile_counts_only_where_nothing_is_installed_from_it() -> None:
    lock = make_file("src/lock.pkg", "lock\na 1\nb 2")
    assert list_names(read([lock])) == ["a 1", "b 2"]
    assert list_names(read([lock], [make_file("lib/a.pkg", "a 1")])) == ["a 1"]
    assert list_names(read([lock, make_file("lib/a.pkg", "a 2")])) == ["a 1", "a 2", "b 2"]
    assert list_names(read([lock, make_file("lib/a.pkg", "a 1")], make_whiteouts("lib/a.pkg"))) == ["a 1", "b 2"]


def test_a_package_that_a_tool_brought_along_does_not_speak_for_a_whole_lockfile() -> None:
    lock = make_file("app/lock.pkg", "lock\na 1\nb 2\nc 3")
    assert list_names(read([lock, make_file("usr/lib/tool/a.pkg", "a 1")])) == ["a 1", "b 2", "c 3"]
    assert list_names(read([lock, make_file("x/a.pkg", "a 1"), make_file("x/b.pkg", "b 2")])) == ["a 1", "b 2"]


def test_a_lockfile_inside_an_installed_package_does_not_count() -> None:
    lock = make_file("lib/a/test/lock.pkg", "lock\nb 2")
    assert list_names(read([lock, make_file("lib/a.pkg", "a 1\nowns a lib/a/")])) == ["a 1"]
    assert list_names(read([lock, make_file("lib/a.pkg", "a 1\nowns a lib/ab/")])) == ["a 1", "b 2"]


def test_what_is_alone_is_contradicted_by_no_file_beside_it() -> None:
    beside = make_file("app/readme")
    assert not read([make_file("app/a.pkg", "alone\na 1"), beside], [make_file("app/a.pkg", "alone\na 2")]).unread
    assert not read(
        [make_file("app/a.pkg", "alone\na 1"), make_file("b.pkg", "b 1"), beside], make_whiteouts("app/a.pkg")
    ).unread
    assert not read([make_file("app/a.pkg", "lock\na 1"), beside], [make_file("app/a.pkg", "lock\na 2")]).unread
    assert read([make_file("app/a.pkg", "a 1"), beside], [make_file("app/a.pkg", "a 2")]).unread


def test_each_package_of_a_shared_metadata_file_is_compared_with_its_own_files() -> None:
    base = [make_file("v/all.pkg", "a 1\nb 1\nowns a v/a/\nowns b v/b/"), make_file("v/a/code"), make_file("v/b/code")]
    upgraded_layer = [make_file("v/all.pkg", "a 2\nb 1\nowns a v/a/\nowns b v/b/"), make_file("v/a/code")]
    assert not read(base, upgraded_layer).unread
    assert not read(base, [make_file("v/all.pkg", "b 1\nowns b v/b/"), *make_whiteouts("v/a")]).unread
    edited_inventory = read(base, [make_file("v/all.pkg", "a 2\nb 1\nowns a v/a/\nowns b v/b/")])
    assert [entry.reason for entry in edited_inventory.unread] == ["v/all.pkg became a 2, yet there are files of a 1."]
    reduced_inventory = read(base, [make_file("v/all.pkg", "a 1\nowns a v/a/")])
    assert [entry.reason for entry in reduced_inventory.unread] == [
        "v/all.pkg no longer lists b 1, yet files of it are there."
    ]


def test_the_release_that_package_repositories_serve_is_the_distributions() -> None:
    release = [make_file("etc/os-release", DEBIAN), make_file("r.pkg", "release 13")]
    result = read(release, kind=Kind(distributions=("debian",), database_paths=("db.pkg",)))
    assert result.distribution is not None
    assert result.distribution.repository == "13"
    assert not any("serves" in entry.reason for entry in result.unread)


def test_repositories_of_another_release_are_doubted() -> None:
    release = [make_file("etc/os-release", DEBIAN), make_file("r.pkg", "release v12")]
    result = read(release, kind=Kind(distributions=("debian",), database_paths=("db.pkg",)))
    assert "r.pkg serves v12, where os-release says 13." in [entry.reason for entry in result.unread]


def test_an_inventory_says_where_its_image_comes_from() -> None:
    result = read(
        [make_file("a.pkg", "a 1")],
        [make_file("b.pkg", "b 1")],
        metadata=ImageMetadata(1, "debian:13", "2026-01-01T00:00:00Z", "1000"),
    )
    assert (result.base, result.created, result.user) == ("debian:13", "2026-01-01T00:00:00Z", "1000")
    assert [result.is_in_base(package) for package in result.packages] == [True, False]
    assert read([make_file("a.pkg", "a 1")], metadata=ImageMetadata(7)).base_layers == 1


def test_a_folder_that_could_not_be_listed_is_unread() -> None:
    def refuse() -> BinaryIO:
        raise UnreadableError("permission denied")

    result = read([make_file("a.pkg", "a 1"), Entry("root", "directory", open=refuse)])
    assert [(entry.path, entry.reason) for entry in result.unread] == [
        ("root", "root cannot be read: permission denied.")
    ]


def test_two_files_that_name_two_distributions_are_doubted() -> None:
    kind = Kind(distributions=("debian",), database_paths=("db.pkg",))
    older = DEBIAN.replace("13", "11")
    result = read(
        [make_file("etc/os-release", older), make_file("usr/lib/os-release", DEBIAN), make_file("db.pkg", "a 1")],
        kind=kind,
    )
    assert "The image names two distributions" in "".join(entry.reason for entry in result.unread)
    consistent_inventory = read(
        [make_file("etc/os-release", DEBIAN), make_file("usr/lib/os-release", DEBIAN), make_file("db.pkg", "a 1")],
        kind=kind,
    )
    assert not consistent_inventory.unread


def test_a_package_under_opt_is_no_distributions_to_judge() -> None:
    def find_owner(path: str) -> str:
        paths = (path,)
        result = read_inventory(
            [
                make_file("etc/os-release", DEBIAN),
                make_status(make_stanza("agent", "1")),
                make_dpkg_list("agent", *paths),
                make_file(path, "Name: Django\nVersion: 2.2\n"),
            ]
        )
        (django,) = (package for package in result.packages if package.ecosystem == "PyPI")
        return django.owner or ""

    assert find_owner("usr/lib/python3/dist-packages/Django-2.2.dist-info/METADATA") == "agent"
    assert find_owner("opt/agent/Django-2.2.dist-info/METADATA") == ""
    assert find_owner("usr/local/lib/python3/Django-2.2.dist-info/METADATA") == ""


def test_a_requirement_without_a_version_is_undetermined_where_it_is_not_installed() -> None:
    requirements = make_file("app/requirements.txt", "django>=2\nflask==1.0\n")
    release = [make_file("etc/os-release", DEBIAN), make_status(make_stanza("a", "1"))]
    assert list_names(read_inventory([*release, requirements])) == ["a 1", "django ", "flask 1.0"]
    installed_metadata = make_file(
        "usr/lib/python3/site-packages/Django-3.2.dist-info/METADATA", "Name: Django\nVersion: 3.2\n"
    )
    assert list_names(read_inventory([*release, requirements, installed_metadata])) == ["Django 3.2", "a 1"]


def test_a_file_with_a_package_that_has_no_name_is_unread() -> None:
    """No advisory would match the package, whatever an ecosystem made of the file."""
    result = read([make_file("app.pkg", "a 1\nnameless 1")])
    assert not result.packages
    assert any("a package without a name" in entry.reason for entry in result.unread)


def test_a_file_that_names_a_package_with_a_very_long_name_is_unread() -> None:
    """Each finding has its package: 3,000 findings of a name of a megabyte would make a verdict of gigabytes."""
    long_name_status = make_status(make_stanza("x" * 2_100, "1", fields="Source: linux\n"), make_stanza("bash", "1"))
    read_status = read_inventory([make_file("etc/os-release", DEBIAN), long_name_status])
    assert not read_status.packages
    assert any("names a package with more than 2,048 characters" in entry.reason for entry in read_status.unread)
