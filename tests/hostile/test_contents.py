"""Files made to deceive, to exhaust or to crash their readers, all of one kind in one layer: each is unread and
named, and none takes the others' place."""

import gzip
import io
import struct
import zipfile
import zlib
from pathlib import Path

from tests.hostile.images import Check, pack_zip
from tests.scanner.ecosystems.test_java_hostile import POM, POM_NAME, append_directory, make_local_header, record
from tests.scanner.ecosystems.test_php_phar import GZ, INSTALLED, make_phar
from tests.scanner.ecosystems.test_rpm_forms import BDB, MADE, NDB, PAGE, SQLITE, list_overflow_pages, patch_content
from tests.scanner.ecosystems.test_rust import make_program

GO = Path(__file__).parent.parent / "scanner/ecosystems/data/go/linux-amd64.gz"
DEEP = b"[" * 200_000
MODULES = "app/node_modules"
SITE = "usr/lib/python3/site-packages"


def assert_unread(check: Check, files: dict[str, tuple[bytes, str]]) -> None:
    """Each of these (path -> content, reason) is unread for its reason."""
    unread_paths = check.scan_layers({path: content for path, (content, _) in files.items()}).unread_paths
    for path, (_, reason) in files.items():
        reasons = [
            reason_given
            for where, reason_given in unread_paths.items()
            if where == path or where.startswith(f"{path}!/")
        ]
        assert reasons, f"{path} is not unread"
        assert any(reason in reason_given for reason_given in reasons), (path, reasons)


def test_hostile_databases_of_distributions_are_unread(check: Check) -> None:
    status, apk_database = "var/lib/dpkg/status", "lib/apk/db/installed"
    bdb = MADE[BDB]
    page = next(at for at in list_overflow_pages(bdb) if bdb[at + 16 : at + 20] != bytes(4))
    assert_unread(
        check,
        {
            status: (b"Package: a\n b\nVersion: " + b"1" * 2**20, "is longer than"),
            "var/lib/dpkg/status.d/a": (b"Package: a\nVersion: 1\nVersion: 2\n", "occurs twice"),
            "var/lib/dpkg/status.d/b": (b"Package: a\nVersion: 1\0\n", "is not a field"),
            apk_database: (b"P:a\nV:1\n" + (b"F:" + b"x" * 200_000 + b"\n" + b"R:y\n" * 2000), "too many or too long"),
            BDB: (patch_content(bdb, page + 16, struct.pack("<I", page // PAGE)), "is referenced twice"),
            NDB: (patch_content(MADE[NDB], 48, MADE[NDB][32:48]), "two packages with the number 1"),
            SQLITE: (patch_content(MADE[SQLITE], PAGE, b"\x05\0\0\0\0\0\0\0\0\0\0\2"), "is referenced twice"),
            "usr/share/rpm/rpmdb.sqlite": (MADE[SQLITE][: PAGE * 3], "truncated"),
            "usr/share/rpm/Packages": (patch_content(bdb, 32, b"\xff\xff\xff\x7f"), "truncated"),
            "usr/share/rpm/Packages.db": (patch_content(MADE[NDB], 12, b"\xff\xff\xff\xff"), "truncated"),
            "var/lib/rpmmanifest/container-manifest-2": (b"\xff\0\xfe\n", "is not a package"),
            "etc/os-release": (b"ID=debian\n" + b"#" * 70_000, "more than"),
        },
    )


def test_an_os_release_that_is_no_text(check: Check) -> None:
    assert_unread(check, {"etc/os-release": (b"ID=debian\0VERSION_ID=13\n", "is not text")})


def nest_archives(depth: int, *, is_packed: bool) -> bytes:
    content = pack_zip({POM_NAME: POM})
    for _ in range(depth):
        content = pack_zip({"a.jar": content}, is_packed=is_packed)
    return content


def make_wide_archive(depth: int, width: int) -> bytes:
    """Archives each of which names the next so many times, though it holds it once."""
    content = pack_zip({POM_NAME: POM})
    for _ in range(depth):
        content = append_directory(make_local_header(b"a.jar") + content, *[record(b"a.jar", len(content), 0)] * width)
    return content


def make_lying_archive(change: dict[int, bytes]) -> bytes:
    """An archive with one pom.properties, whose directory's entry has other bytes at these offsets."""
    content = bytearray(pack_zip({POM_NAME: POM}, is_packed=False))
    at = content.index(b"PK\x01\x02")
    for offset, value in change.items():
        content[at + offset : at + offset + len(value)] = value
    return bytes(content)


LAUGHS = b"<!DOCTYPE project [<!ENTITY a0 'ha'>" + b"".join(
    b"<!ENTITY a%d '%s'>" % (at, b"&a%d;" % (at - 1) * 10) for at in range(1, 12)
)


def test_hostile_java_archives_are_unread(check: Check) -> None:
    laughs = LAUGHS + b"]><project><version>&a11;</version></project>"
    outside = b"<!DOCTYPE p SYSTEM 'file:///etc/passwd'><p/>"
    bomb = pack_zip({f"{at}.jar": bytes(30 * 2**20) for at in range(4)})
    assert len(bomb) < 2**18
    pom = "META-INF/maven/g/a/pom.xml"
    assert_unread(
        check,
        {
            "app/empty.jar": (b"", "not a complete zip archive"),
            "app/cut.jar": (pack_zip({POM_NAME: POM})[:-30], "not a complete zip archive"),
            "app/deep.jar": (nest_archives(50, is_packed=True), "no more than"),
            "app/deep-stored.war": (nest_archives(50, is_packed=False), "no more than"),
            "app/many.ear": (make_wide_archive(6, 40), "parts that name packages"),
            "app/bomb.jar": (bomb, "would have to be read"),
            "app/lies-size.jar": (make_lying_archive({24: struct.pack("<I", 2**31)}), "no more than"),
            "app/lies-place.jar": (make_lying_archive({42: struct.pack("<I", 2**31)}), "outside the archive"),
            "app/lies-check.jar": (make_lying_archive({16: bytes(4)}), "does not match the archive"),
            "app/encrypted.jar": (make_lying_archive({8: b"\1"}), "encrypted"),
            "app/laughs.jar": (pack_zip({pom: laughs}), "document type"),
            "app/outside.jar": (pack_zip({pom: outside}), "document type"),
            "app/nested-xml.jar": (pack_zip({pom: b"<a>" * 300_000}), "not XML"),
            "app/large-xml.jar": (pack_zip({pom: b"<a/>" * 2**19}), "no more than"),
            "app/names.jar": (
                pack_zip({f"{at}\x1b\u202e.jar": b"" for at in range(9)}),
                "not a complete zip",
            ),
            "src/gradle.lockfile": (b"\xff\0:\n", "is not GROUP"),
        },
    )


def make_asar(header: bytes, files: bytes = b"") -> bytes:
    padded_header = header + bytes(-len(header) % 4)
    return struct.pack("<4I", 4, 8 + len(padded_header), 4 + len(padded_header), len(header)) + padded_header + files


def test_hostile_packages_of_node_are_unread(check: Check) -> None:
    aliases = b"a0: &a0 [x]\n" + b"".join(
        b"a%d: &a%d [%s]\n" % (at, at, b"*a%d, " % (at - 1) * 9) for at in range(1, 20)
    )
    packages = pack_zip({f"node_modules/p{at}/package.json": b'{"name": "p", "version": "1"}' for at in range(2100)})
    members = b",".join(b'"p%d":{"files":{"package.json":{"size":4194304,"offset":"0"}}}' % at for at in range(40))
    members = b'{"files":{"node_modules":{"files":{' + members + b"}}}}"
    bomb = pack_zip({f"node_modules/p{at}/package.json": bytes(3 * 2**20) for at in range(90)})
    assert_unread(
        check,
        {
            f"{MODULES}/deep/package.json": (b'{"a": ' + DEEP, "nested too deeply"),
            f"{MODULES}/number/package.json": (b'{"version": ' + b"9" * 2**20 + b"}", "not JSON"),
            f"{MODULES}/list/package.json": (b"[]", "not a JSON object"),
            f"{MODULES}/type/package.json": (b'{"name": ["a"], "version": {}}', "is not a string"),
            f"{MODULES}/large/package.json": (b" " * (5 * 2**20), "no more than"),
            f"{MODULES}/bytes/package.json": (bytes(range(256)) * 4, "not JSON"),
            "a/pnpm-lock.yaml": (b"lockfileVersion: '9.0'\n" + aliases, "has an alias"),
            "b/pnpm-lock.yaml": (b"packages: " + DEEP, "nested too deeply"),
            "c/pnpm-lock.yaml": (b"packages:\n  ? [a]\n  : b\n", "a key that is not text"),
            "d/pnpm-lock.yaml": (b"packages: !!python/object/apply:os.system [id]\n", "is not a mapping"),
            "e/yarn.lock": (b"\n__metadata:\n  version: 8\n" + aliases, "has an alias"),
            "f/yarn.lock": (b"a@1:\n" * 200_000, "has no version"),
            "g/package-lock.json": (b'{"packages": ' + DEEP, "nested too deeply"),
            "h/bun.lock": (b'{"packages": {' + b'"a' * 100_000, "not JSON"),
            "i/package-lock.json": (b'{"packages": {"node_modules/a": 1}}', "is not a mapping"),
            ".yarn/cache/many.zip": (packages, "packages"),
            ".yarn/cache/bomb.zip": (bomb, "would have to be read"),
            "app/none.asar": (b"\4\0\0\0" * 3, "not an asar archive"),
            "app/lies.asar": (struct.pack("<4I", 4, 2**32 - 1, 2**32 - 5, 2**24), "no more than"),
            "app/deep.asar": (make_asar(b'{"files":{"a":' * 100_000), "nested too deeply"),
            "app/long.asar": (
                make_asar(b'{"files":{"' + b"a" * 2**20 + b'":{"files":{' + b'"b":{"files":{}}}}}}'),
                "has more than 4096",
            ),
            "app/same.asar": (make_asar(members, b" " * 2**22), "would have to be read"),
            ".yarn/cache/none.zip": (b"PK\x05\x06", "not a complete zip archive"),
        },
    )


def test_more_broken_parts_than_there_is_room_for(check: Check) -> None:
    part = b'{"externalRefs":[{"referenceLocator":"pkg:dhi/"}]}'
    document = b'{"packages":[' + b",".join([part] * 160_000) + b"]}"
    broken_layers = check.scan_layers({"opt/docker/sbom/a/.spdx.a.json": document}).broken_layers
    assert any("too many packages" in reason for reason in broken_layers.values())


def test_hostile_packages_of_python_are_unread(check: Check) -> None:
    egg = io.BytesIO()
    with zipfile.ZipFile(egg, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("EGG-INFO/PKG-INFO", b"X: " + bytes(2**24))
    assert_unread(
        check,
        {
            f"{SITE}/a-1.dist-info/METADATA": (b"Name: a\n" + b"X: y\n" * 300_000 + b"Version: 1\n", "has no Version"),
            f"{SITE}/b-1.dist-info/METADATA": (b"\xff\xfe\0" * 1000, "has no Name"),
            f"{SITE}/c-1.dist-info/RECORD": (b"x,,\n" * (5 * 2**20), "no more than"),
            "eggs/bomb.egg": (egg.getvalue(), "has no Name"),
            "eggs/other.egg": (pack_zip({"a": b""}), "without EGG-INFO"),
            "a/poetry.lock": (b"a" + b".a" * 100_000 + b" = 1\n", "a key with too many parts"),
            "b/poetry.lock": (b"a = " + DEEP, "nested too deeply"),
            "c/uv.lock": (b"a = {" * 50_000, "TOML"),
            "d/pdm.lock": (b"\xff\xff", "not TOML"),
            "e/Pipfile.lock": (DEEP, "nested too deeply"),
            "f/pylock.toml": (b"packages = 1\n", "is not an array"),
            "g/requirements.txt": (b"a==1\n" * (2 * 2**20), "no more than"),
        },
    )


def test_removed_packages_among_the_files_of_many_are_reported_in_bounded_time(check: Check) -> None:
    """Each of those without a record has to be looked for among all files that lie beside it."""
    site: dict[str, bytes] = {}
    for at in range(650):
        site[f"{SITE}/a{at}-1.dist-info/METADATA"] = b"Name: a%d\nVersion: 1\n" % at
        site[f"{SITE}/b{at}-1.dist-info/METADATA"] = b"Name: b%d\nVersion: 1\n" % at
        record = b"".join(b"b%d/%d.py,,\n" % (at, file) for file in range(9))
        site[f"{SITE}/b{at}-1.dist-info/RECORD"] = b"%sb%d-1.dist-info/METADATA,,\n" % (record, at)
        site |= {f"{SITE}/b{at}/{file}.py": b"" for file in range(9)}
    unread_paths = check.scan_layers(site, {f"{SITE}/.wh.a{at}-1.dist-info": b"" for at in range(650)}).unread_paths
    assert unread_paths == {"/": "The image cannot be checked: finding the packages of its files would take too long."}


def test_a_line_of_requirements_with_a_megabyte_is_read_quickly(check: Check) -> None:
    """Made for patterns that go over the same characters again and again. A name of a megabyte is unread."""
    lines = [
        b"a" * 10**6 + b"==",
        b"a[" + b"x," * 400_000 + b"==1",
        b"a" + b" " * 10**6 + b"==1 ;",
        b"a==1" + b"\\" * 10**6,
    ]
    broken_manifest = {f"{MODULES}/a/package.json": b"{"}
    unread_paths = check.scan_layers(
        {f"{at}/requirements.txt": line for at, line in enumerate(lines)} | broken_manifest
    ).unread_paths
    assert list(unread_paths) == ["0/requirements.txt", *broken_manifest]


def test_packages_of_ruby_php_dotnet_conda_bitnami_and_others(check: Check) -> None:
    doctype = b"<!DOCTYPE packages [<!ENTITY a 'b'>]><packages><package id='&a;' version='1'/></packages>"
    gem = b"# -*-\n# stub: a 1 ruby lib\n" + b" " * 30_000 + b's.name = "b"\n  s.version = "' + b"1." * 20_000
    assert_unread(
        check,
        {
            "usr/lib/ruby/specifications/a-1.gemspec": (gem, "stub names"),
            "usr/lib/ruby/specifications/b-1.gemspec": (b"# -*-\n# stub: ../../b 1 ruby lib\n", "not a legal gem name"),
            "usr/lib/ruby/specifications/c-1.gemspec": (bytes(10**6), "has no name"),
            "a/Gemfile.lock": (b"GEM\n  specs:\n    a (\n", "has no version"),
            "b/Gemfile.lock": (b" " * (3 * 2**20), "no more than"),
            "a/vendor/composer/installed.json": (b'{"packages": ' + DEEP, "nested too deeply"),
            "b/vendor/composer/installed.json": (b'{"packages": [1, null, {"name": []}]}', "no name and version"),
            "bin/none.phar": (b"<?php __HALT_COMPILER(); ?>\r\n" + b"\xff" * 8 + b"\x11\x10", "no more than"),
            "bin/lies.phar": (make_phar((INSTALLED, b"[]"), count=2**32 - 1), "manifest is truncated"),
            "bin/bomb.phar": (make_phar((INSTALLED, b" " * 2**22), (INSTALLED, b" " * 2**22), flags=GZ), "not JSON"),
            "bin/bombs.phar": (make_phar(*[(INSTALLED, b"[" + b" " * 2**22)] * 9, flags=GZ), "would have to be read"),
            "bin/own": (b"#!/usr/bin/env php\n" + make_phar((INSTALLED, DEEP)), "nested too deeply"),
            "c/composer.lock": (b'{"packages": {}}', "no list of packages"),
            "a/a.deps.json": (b'{"targets": ' + DEEP, "nested too deeply"),
            "b/b.deps.json": (b'{"runtimeTarget": {"name": []}}', "is not a string"),
            "c/packages.config": (doctype, "document type"),
            "d/packages.config": (b"<packages>" + b"<a>" * 10**6, "not XML"),
            "e/packages.lock.json": (b"\xff", "not JSON"),
            "opt/conda/conda-meta/a.json": (b'{"name": ' + DEEP, "nested too deeply"),
            "opt/conda/conda-meta/b.json": (b'{"name": "a", "version": "1", "files": 1}', "not a list of paths"),
            "R/library/a/DESCRIPTION": (b"Package: a\nBuilt: R\n", "has no Version"),
            "R/library/b/DESCRIPTION": (b"Built: R\n" * 2, "two fields Built"),
            "R/library/c/DESCRIPTION": (b" \n" * 10**6, "no more than"),
            "a/ebin/a.app": (b"{" * 2**16, "brackets do not match"),
            "b/ebin/b.app": (b'{application,a,[{vsn,"1"}]}.', "not an Erlang term"),
            "plugins/bomb.ez": (
                pack_zip({f"{at}/ebin/a.app": bytes(2**17) for at in range(80)}),
                "would have to be read",
            ),
            "plugins/none.ez": (b"PK", "not a complete zip archive"),
            "bin/escript": (b"#!/usr/bin/env escript\n" + pack_zip({"a/ebin/a.app": bytes(2**21)}), "no more than"),
            "app/mix.lock": (b'%{\n  "a": {:hex, :a},\n', "has no package and version"),
            "app/pubspec.lock": (b"packages: " + b"{a: " * 1000, "nested too deeply"),
            "app/Package.resolved": (b'{"pins": [1, {"identity": "a", "location": []}]}', "no repository and version"),
            "ghc/package.conf.d/a.conf": (b"name: a\nname: b\n", "two fields name"),
            "app/stack.yaml.lock": (b"packages: " + b"[" * 1000, "nested too deeply"),
            ".julia/packages/A/x/Project.toml": (b"a." * 1000 + b"b = 1", "too many parts"),
            "app/Manifest.toml": (b"a = " + b"[" * 10**5, "nested too deeply"),
            "a/conan.lock": (b'{"graph_lock": ' + DEEP, "nested too deeply"),
            "b/conan.lock": (b'{"requires": ["' + b"/" * 10**6 + b'"]}', "is not NAME/VERSION"),
            ".conan2/p/cache.sqlite3": (b"SQLite format 3\0" + bytes(2**20), "cannot be"),
            ".opam/a/.opam-switch/packages/a/opam": (b"", "not NAME.VERSION"),
            ".opam/b/.opam-switch/switch-state": (b'"' * 10**6 + b"installed: []", "has no end"),
            "app/a.opam.locked": (b'depends: ["a" "b"]', "states no version of a"),
            ".vscode-server/extensions/a/package.json": (b'{"engines": ' + DEEP, "nested too deeply"),
            "opt/code/a.vsix": (b"PK" * 10**6, "not a complete zip archive"),
            "opt/code/extensions/b/package.json": (
                b'{"engines": {"vscode": 1}, "name": {}}',
                "does not state its publisher",
            ),
            "app/renv.lock": (b'{"Packages": ' + DEEP, "nested too deeply"),
            "opt/bitnami/a/.spdx-a.spdx": (b'{"packages": [' + b"1," * 1000 + b"1]}", "not an SPDX package"),
            "opt/bitnami/b/.spdx-b.spdx": (b"", "not JSON"),
            "opt/docker/sbom/a/.spdx.a.json": (b'{"packages": ' + DEEP, "nested too deeply"),
            "opt/docker/sbom/b/.spdx.b.json": (b'{"packages": 1}', "no list of packages"),
        },
    )


def test_hostile_programs_are_unread(check: Check) -> None:
    go = gzip.decompress(GO.read_bytes())
    at = go.index(b"\xff Go buildinf:") + 32
    assert_unread(
        check,
        {
            "bin/lies": (go[:at] + b"\xff\xff\xff\xff\x7f" + go[at + 5 :], "truncated"),
            "bin/hidden": (go.replace(b"\xff Go buildinf:", b"\xff Go buildinf!"), "without build information"),
            "bin/packed": (gzip.decompress(GO.with_name("packed.gz").read_bytes()), "packed with UPX"),
            "bin/bomb": (make_program(zlib.compress(bytes(2**25))), "truncated, or has more than"),
            "bin/none": (make_program(b"no zlib"), "cannot be decompressed"),
            "bin/deep": (make_program(zlib.compress(b'{"packages": ' + DEEP)), "nested too deeply"),
            "bin/types": (
                make_program(zlib.compress(b'{"packages": [{"name": 1, "version": 2, "source": 3}]}')),
                "without a name",
            ),
            "src/Cargo.lock": (b'[[package]]\nname = "a\\u0000"\n', "is not in Cargo's format"),
            "src/go.mod": (b"module a\ngo 1.9\nrequire b v1.0.0\n", "Go before 1.17"),
        },
    )
