"""Archives on a search path: suffixes in any case, zip archives with classes, Python's archives, nested archives."""

import io
import zipfile
from collections.abc import Mapping

import pytest
from tests.scanner.layers import make_file, read_inventory

from dockgate.scanner.ecosystems import java, load, python
from dockgate.scanner.layer_reader import build_trigger_lookup
from dockgate.scanner.model import Inventory

CLASS = {"com/acme/Main.class": b"\xca\xfe\xba\xbe"}
METADATA = b"Metadata-Version: 2.1\nName: Foo\nVersion: 1.0\n"
WHEEL = {"foo/__init__.py": b"", "Foo-1.0.dist-info/METADATA": METADATA, "Foo-1.0.dist-info/RECORD": b""}
EGG = {"foo/__init__.py": b"", "EGG-INFO/PKG-INFO": METADATA}
LIBRARY = {"META-INF/maven/org.acme/lib/pom.properties": b"groupId=org.acme\nartifactId=lib\nversion=1.2\n", **CLASS}
FOO, LIB = "pkg:pypi/foo@1.0", "pkg:maven/org.acme/lib@1.2"


def archive(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", method) as archive_file:
        for name, content in files.items():
            archive_file.writestr(name, content)
    return output.getvalue()


def list_purls(image: Inventory) -> list[str]:
    return [package.purl for package in image.packages]


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        ("opt/app/lib/lib-1.2.JAR", LIBRARY, LIB),
        ("opt/app/lib/lib-1.2.Jar", LIBRARY, LIB),
        ("opt/tomcat/webapps/lib-1.2.WAR", LIBRARY, LIB),
        ("opt/oracle/classes12.zip", LIBRARY, LIB),
        ("opt/app/python311.zip", WHEEL, FOO),
        ("opt/app/foo-1.0-py3-none-any.whl", WHEEL, FOO),
        ("opt/app/FOO-1.0-PY3-NONE-ANY.WHL", WHEEL, FOO),
        ("opt/app/foo.EGG", EGG, FOO),
        ("opt/app/foo.PEX", {"Foo-1.0.dist-info/METADATA": METADATA}, FOO),
    ],
)
def test_archive_suffixes_match_in_any_case(path: str, content: Mapping[str, bytes], expected: str) -> None:
    image = read_inventory([make_file(path, archive(content))])
    assert list_purls(image) == [expected]
    assert image.unread == ()


def test_suffixes_trigger_in_any_case() -> None:
    for kind in (java.ECOSYSTEM, python.ECOSYSTEM):
        for suffix in kind.triggers.suffixes:
            assert build_trigger_lookup(load())(f"a/b{suffix.upper()}", b"PK\x03\x04")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("outer", ["app.war", "app.ear", "app.jar", "app.JAR"])
@pytest.mark.parametrize(
    ("inner", "content", "expected"),
    [
        ("WEB-INF/lib/lib-1.2.JAR", LIBRARY, LIB),
        ("WEB-INF/lib/lib-1.2.zip", LIBRARY, LIB),
        ("BOOT-INF/lib/deep.war", {"WEB-INF/lib/x.Jar": archive(LIBRARY)}, LIB),
        ("WEB-INF/lib-python/foo.egg", EGG, FOO),
        ("WEB-INF/lib-python/foo-1.0-py3-none-any.whl", WHEEL, FOO),
        ("WEB-INF/python/foo.pex", {".deps/foo-1.0.whl/Foo-1.0.dist-info/METADATA": METADATA}, FOO),
        ("WEB-INF/python/site.zip", WHEEL, FOO),
    ],
)
def test_archives_in_an_application_are_read(
    outer: str, inner: str, content: Mapping[str, bytes], expected: str, method: int
) -> None:
    image = read_inventory([make_file(f"srv/{outer}", archive({**CLASS, inner: archive(content)}, method))])
    assert expected in list_purls(image)


def test_an_archive_in_an_application_that_cannot_be_read_is_named() -> None:
    broken_members = {
        "WEB-INF/lib/a.JAR": b"PK\x03\x04 broken",
        "WEB-INF/lib/a.whl": archive({"a.py": b""}),
        "WEB-INF/lib/b.egg": archive({"EGG-INFO/PKG-INFO": b"Name: b\n"}),
    }
    image = read_inventory(
        [
            make_file("opt/lib/lib-1.2.jar", archive(LIBRARY)),
            make_file("srv/app.war", archive({**CLASS, **broken_members})),
        ]
    )
    assert [package.path.removeprefix("srv/app.war!/WEB-INF/lib/") for package in image.unread] == [
        "a.JAR",
        "a.whl",
        "b.egg!/EGG-INFO/PKG-INFO",
    ]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("srv/data.zip", {"readme.txt": b"a", "more.zip": archive(LIBRARY), "wheels/foo.whl": archive(WHEEL)}),
        ("usr/lib/jvm/java-17/lib/src.zip", {"java/lang/String.java": b""}),
        ("opt/spark/python/lib/pyspark.zip", {"pyspark/__init__.py": b""}),
        ("srv/empty.zip", {}),
    ],
)
def test_zip_archive_without_packages_is_ignored(path: str, content: Mapping[str, bytes]) -> None:
    image = read_inventory([make_file("opt/lib/lib-1.2.jar", archive(LIBRARY)), make_file(path, archive(content))])
    assert (list_purls(image), image.unread) == ([LIB], ())


def test_file_named_zip_without_archive_is_ignored() -> None:
    image = read_inventory([make_file("opt/lib/lib-1.2.jar", archive(LIBRARY)), make_file("srv/a.zip", b"\0" * 600)])
    assert (list_purls(image), image.unread) == ([LIB], ())
    image = read_inventory([make_file("srv/a.zip", archive(LIBRARY)[:-30])])
    assert "srv/a.zip cannot be read" in image.unread[-1].reason


def test_jars_in_a_distribution_are_libraries() -> None:
    image = read_inventory([make_file("opt/app-1.0.zip", archive({"app-1.0/lib/lib-1.2.jar": archive(LIBRARY)}))])
    assert list_purls(image) == [LIB]


def test_a_wheel_counts_only_where_its_package_is_not_installed() -> None:
    installed_files = [
        make_file("usr/lib/python3/site-packages/foo-1.0.dist-info/METADATA", METADATA),
        make_file("usr/lib/python3/site-packages/foo-1.0.dist-info/RECORD", "foo-1.0.dist-info/METADATA,,\n"),
    ]
    wheel = make_file("wheels/foo-1.0-py3-none-any.whl", archive(WHEEL))
    assert [item.path for item in read_inventory([*installed_files, wheel]).packages] == [installed_files[0].path]
    older = WHEEL | {"Foo-1.0.dist-info/METADATA": METADATA.replace(b"1.0", b"0.9")}
    image = read_inventory([*installed_files, make_file("wheels/foo-0.9-py3-none-any.whl", archive(older))])
    assert list_purls(image) == ["pkg:pypi/foo@0.9", FOO]


def test_an_archive_of_several_packages_counts_for_those_that_are_not_installed() -> None:
    installed_files = [
        make_file(f"usr/lib/python3/site-packages/{name}-1.0.dist-info/{file_name}", content)
        for name in ("foo", "bar")
        for file_name, content in (
            ("METADATA", f"Name: {name}\nVersion: 1.0\n"),
            ("RECORD", f"{name}-1.0.dist-info/METADATA,,\n"),
        )
    ]
    members = {
        f"{name}-{version}.dist-info/METADATA": f"Name: {name}\nVersion: {version}\n".encode()
        for name, version in (("foo", "1.0"), ("bar", "1.0"), ("old", "0.1"))
    }
    image = read_inventory([*installed_files, make_file("opt/libs.zip", archive(members))])
    assert list_purls(image) == ["pkg:pypi/bar@1.0", FOO, "pkg:pypi/old@0.1"]


def test_wheels_in_an_application_of_one_file_are_read() -> None:
    inner = archive(WHEEL)
    image = read_inventory(
        [make_file("app/a.pex", archive({".deps/foo-1.0-py3-none-any.whl": inner, "__main__.py": b""}))]
    )
    assert [(package.purl, package.path) for package in image.packages] == [
        (FOO, "app/a.pex!/.deps/foo-1.0-py3-none-any.whl!/Foo-1.0.dist-info/METADATA")
    ]
    image = read_inventory([make_file("app/a.pex", archive({"a.whl": b"PK", "b.dist-info/METADATA": METADATA}))])
    assert [package.path for package in image.unread] == ["app/a.pex!/a.whl"]


def test_installers_bring_their_wheels_to_install_from() -> None:
    wheel = archive({"pip-24.0.dist-info/METADATA": METADATA})
    bundle_folder = "usr/local/lib/python3.12/ensurepip/_bundled"
    image = read_inventory(
        [
            make_file(f"{bundle_folder}/pip-24.0-py3-none-any.whl", wheel),
            make_file("opt/lib/lib-1.2.jar", archive(LIBRARY)),
            make_file("opt/app/env.pyz", archive({"virtualenv/seed/wheels/embed/pip-24.0-py3-none-any.whl": wheel})),
        ]
    )
    assert list_purls(image) == [LIB]
    assert list_purls(read_inventory([make_file(f"{bundle_folder}/foo-1.0-py3-none-any.whl", wheel)])) == [FOO]
