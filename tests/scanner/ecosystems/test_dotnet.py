"""Reading .NET's files, and how NuGet's versions compare."""

import io
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples

from dockgate.scanner.ecosystems.dotnet import ECOSYSTEM, FILE_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UncomparableError, UnreadableError, UsageError
from dockgate.shared.purl import Purl

DATA = Path(__file__).parent / "data" / "dotnet"
APP = "app/shop.deps.json"
FRAMEWORK = "usr/share/dotnet/shared/Microsoft.NETCore.App/3.1.23/Microsoft.NETCore.App.deps.json"


def read(content: str | bytes, path: str = APP) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content.encode() if isinstance(content, str) else content))


def read_fixture(name: str, path: str) -> Extract:
    return read((DATA / name).read_bytes(), path)


def list_purls(extract: Extract) -> list[str]:
    return [package.purl.removeprefix("pkg:nuget/") for package in extract.packages]


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        ("app/shop.deps.json", True),
        ("shop.deps.json", True),
        ("app/packages.lock.json", True),
        ("packages.lock.json", True),
        ("app/packages.config", True),
        ("app/shop.runtimeconfig.json", False),
        ("app/deps.json", False),
        ("app/my-packages.config", False),
        ("root/.nuget/packages/npgsql/8.0.2/npgsql.nuspec", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_a_deps_json_lists_packages_without_the_project_itself() -> None:
    extract = read_fixture("Python.Runtime.deps.json", "opt/lib/Python.Runtime.deps.json")
    assert "Microsoft.CSharp@4.7.0" in list_purls(extract)
    assert not any("Python.Runtime" in purl for purl in list_purls(extract))  # the project itself
    assert not any("SourceLink" in purl for purl in list_purls(extract))  # has no file: it serves the build
    package = next(package for package in extract.packages if package.name == "System.IO.Hashing")
    assert (package.source_name, package.ecosystem, package.version) == ("system.io.hashing", "NuGet", "10.0.12")
    assert extract.owns[package.purl] == ("opt/lib/System.IO.Hashing.dll",)
    assert not extract.is_lockfile
    assert not extract.is_self_contained


def test_a_self_contained_application_has_its_runtime() -> None:
    extract = read_fixture("self-contained.deps.json", APP)
    assert list_purls(extract) == [
        "Microsoft.NETCore.App.Runtime.linux-x64@8.0.1",
        "Npgsql@8.0.2",
        "Microsoft.Data.Sqlite@8.0.1",
        "Unlisted@2.0.0",
    ]
    assert extract.owns == {
        "pkg:nuget/Microsoft.NETCore.App.Runtime.linux-x64@8.0.1": (
            "app/System.Private.CoreLib.dll",
            "app/libcoreclr.so",
        ),
        "pkg:nuget/Npgsql@8.0.2": ("app/Npgsql.dll", "app/de/Npgsql.resources.dll"),
        "pkg:nuget/Microsoft.Data.Sqlite@8.0.1": ("app/runtimes/linux-x64/native/libe_sqlite3.so",),
    }


def test_a_shared_framework_has_the_version_of_its_folder() -> None:
    extract = read_fixture("Microsoft.NETCore.App.deps.json", FRAMEWORK)
    assert list_purls(extract)[0] == "Microsoft.NETCore.App.Runtime.linux-x64@3.1.23"
    assert not any("servicing" in purl for purl in list_purls(extract))
    assert extract.packages[0].path == FRAMEWORK
    owned_paths = extract.owns[extract.packages[0].purl]
    assert all(path.startswith("usr/share/dotnet/shared/Microsoft.NETCore.App/3.1.23/") for path in owned_paths)


@pytest.mark.parametrize(
    ("version", "runtime", "expected"),
    [
        ("2.1.30", ".NETCoreApp,Version=v2.1/linux-x64", "Microsoft.AspNetCore.App@2.1.30"),
        ("8.0.1", ".NETCoreApp,Version=v8.0/linux-arm64", "Microsoft.AspNetCore.App.Runtime.linux-arm64@8.0.1"),
        ("10.0.0", ".NETCoreApp,Version=v10.0/linux-x64", "Microsoft.AspNetCore.App.Runtime.linux-x64@10.0.0"),
        ("8.0.1", ".NETCoreApp,Version=v8.0", "Microsoft.AspNetCore.App@8.0.1"),
    ],
)
def test_a_framework_is_called_as_advisories_call_it(version: str, runtime: str, expected: str) -> None:
    path = f"shared/Microsoft.AspNetCore.App/{version}/Microsoft.AspNetCore.App.deps.json"
    assert list_purls(read(json.dumps({"runtimeTarget": {"name": runtime}}), path)) == [expected]
    assert list_purls(read(json.dumps({"runtimeTarget": {"name": runtime}}), path.removeprefix("shared/"))) == []


def test_a_file_outside_the_folder_is_not_owned() -> None:
    target: dict[str, object] = {"a/1": {"runtimeTargets": {"../../etc/passwd": {}, "b/c.so": {}, "d\0e": {}}}}
    content = {"runtimeTarget": {"name": "t"}, "targets": {"t": target}, "libraries": {"a/1": {"type": "package"}}}
    assert read(json.dumps(content)).owns == {"pkg:nuget/a@1": ("app/b/c.so",)}
    assert read(json.dumps(content), "x.deps.json").owns == {"pkg:nuget/a@1": ("b/c.so",)}


def test_lockfiles_of_nuget_list_packages() -> None:
    extract = read_fixture("packages.lock.json", "src/packages.lock.json")
    assert list_purls(extract) == ["Newtonsoft.Json@12.0.1", "System.Text.Encodings.Web@4.5.0"]
    assert extract.is_lockfile
    old = read_fixture("packages.config", "src/packages.config")
    assert list_purls(old) == ["Newtonsoft.Json@6.0.4", "EntityFramework@6.1.3"]
    assert old.is_lockfile


def test_unrelated_packages_config_is_ignored() -> None:
    assert read("<configuration/>", "a/packages.config") == Extract()


@pytest.mark.parametrize(
    ("content", "path", "reason"),
    [
        ("", APP, "not JSON"),
        ("[]", APP, "not a JSON object"),
        ("[" * 100_000, APP, "nested too deeply"),
        ('{"libraries": []}', APP, ""),
        ('{"libraries": [1]}', APP, "'libraries' is not a JSON object"),
        ('{"targets": 1}', APP, "'targets' is not a JSON object"),
        ('{"runtimeTarget": {"name": 1}}', APP, "not a string"),
        ('{"dependencies": "x"}', "packages.lock.json", "not a JSON object"),
        ("<packages><package id='a'/></packages>", "packages.config", "without its id or version"),
        ("<!DOCTYPE a><packages/>", "packages.config", "document type"),
        ("", "packages.config", "not XML"),
        (b" " * (FILE_LIMIT + 1), "packages.config", str(FILE_LIMIT)),
        (b" " * (FILE_LIMIT + 1), APP, str(FILE_LIMIT)),
    ],
    ids=range(13),
)
def test_a_malformed_file_is_unreadable(content: str | bytes, path: str, reason: str) -> None:
    if not reason:
        assert read(content, path) == Extract()
        return
    with pytest.raises(UnreadableError, match=reason):
        read(content, path)


def test_package_url_becomes_a_package() -> None:
    package = ECOSYSTEM.build_from_purl(Purl("nuget", "", "Newtonsoft.Json", "13.0.1"), None)
    assert (package.source_name, package.purl) == ("newtonsoft.json", "pkg:nuget/Newtonsoft.Json@13.0.1")
    with pytest.raises(UsageError) as error_info:
        ECOSYSTEM.build_from_purl(Purl("nuget", "", "a"), None)
    assert error_info.value.advice


def compare_versions(a: str, b: str) -> str:
    """ "<", "=", ">", or "!" when either is refused."""
    try:
        first, second = ECOSYSTEM.make_version_key(a), ECOSYSTEM.make_version_key(b)
    except UncomparableError:
        return "!"
    assert isinstance(first, bytes)
    return "<" if first < second else "=" if first == second else ">"


@pytest.mark.parametrize("version", ["", " ", "\t", "\ud800", "é", "1\0", "⁵", "１.0.0", "9" * 5000, "1-" + "9" * 5000])
def test_any_text_is_ordered_or_refused(version: str) -> None:
    assert compare_versions(version, version) in "=!"


@given(st.data())
@settings(max_examples=scale_examples(150), deadline=None)
def test_broken_files_are_read_or_unreadable(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(("self-contained.deps.json", "packages.lock.json", "packages.config")))
    raw = bytearray((DATA / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 20))] = data.draw(
            st.sampled_from((b"[", b"1", b"{}", b'"', b"null", b"\xff"))
        )
    with suppress(UnreadableError):
        read(bytes(raw), f"a/{name}")
