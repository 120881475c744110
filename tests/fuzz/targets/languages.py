"""Files of languages' package managers: metadata, archives and lockfiles."""

import io
import json
import struct
import zipfile

from tests.fuzz.containers import mutate_asar, mutate_zip
from tests.fuzz.mutate import mutate_json, mutate_lines, mutate_plain
from tests.fuzz.targets._ecosystem import make_part, make_reader, make_target
from tests.scanner.ecosystems.bundles import HOST, make_bundle

from dockgate.scanner.ecosystems import bitnami, conda, docker_hardened_images, dotnet, java, npm, php, python, ruby

_SITE = "usr/lib/python3/site-packages"
_METADATA = [b"Metadata-Version: 2.1\nName: Flask.Login\nVersion: 0.6.3\nSummary: a\n\nName: not this\n"]
_RECORD = [
    b'flask_login/__init__.py,sha256=a,10\n"a ""b"".py",,\n../../../bin/x,,\n/abs//y/./z,,\nflask_login/a.pyc,,\n'
    b"Flask_Login-0.6.3.dist-info/RECORD,,\n"
]
_INSTALLED_FILES = [b"../flask_login/__init__.py\nPKG-INFO\n./a\n"]
_PACKAGE = [
    b'{"name": "@scope/thing", "version": "1.2.3", "_resolved": "https://registry.example/a.tgz", "license": "MIT"}',
    b"\xef\xbb\xbf" + json.dumps({"name": "thing", "version": "v1.0.0-rc.1", "dependencies": {"a": "^1"}}).encode(),
]
_POM = b"""<?xml version="1.0"?><!-- a --><project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<parent><groupId>org.example</groupId><artifactId>parent</artifactId><version>1.0</version></parent>
<artifactId>thing</artifactId><version>${revision}</version><properties><revision>2.1</revision></properties></project>"""
_MANIFEST = b"""Manifest-Version: 1.0
Implementation-Title: thing
Implementation-Version: 2.1
Implementation-Vendor-Id: org.example
Bundle-SymbolicName: org.example.thing;singleton:=true
Bundle-Version: 2.1.0.very-long-line-that-is-continued-on-the-next-one-as-manifest
 s-do
Automatic-Module-Name: org.example.thing

"""
_GRADLE = [b"# comment\norg.example:thing:1.0=compileClasspath,runtimeClasspath\na:b:1=testRuntimeClasspath\nempty=\n"]


def _pack_zip(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _list_zipapps() -> list[bytes]:
    """Return applications with a valid and a broken package, and without any."""
    applications = _pack_zip(
        {"site-packages/a-1.dist-info/METADATA": _METADATA[0], "b-1.dist-info/METADATA": b"Name: b\n"}
    )
    wheels = _pack_zip(
        {".deps/a-1-py3-none-any.whl": applications, "b.egg": _pack_zip({"EGG-INFO/PKG-INFO": _METADATA[0]})}
    )
    return [b"#!/usr/bin/env python3\n" + applications, _pack_zip({"__main__.py": b"print()\n"}), wheels]


def _list_jars() -> list[bytes]:
    maven = "META-INF/maven/org.example/thing"
    item = {
        "META-INF/MANIFEST.MF": _MANIFEST,
        f"{maven}/pom.properties": b"#a\nversion=2.1\ngroupId=org.example\nartifactId=thing\n",
        f"{maven}/pom.xml": _POM,
        "org/example/A.class": b"\xca\xfe\xba\xbe",
    }
    jar = _pack_zip(item)
    war = {"WEB-INF/lib/thing-2.1.jar": jar, "WEB-INF/lib/other-1.0-SNAPSHOT.jar": _pack_zip({"a/B.class": b"a"})}
    bare = _pack_zip({"META-INF/MANIFEST.MF": _MANIFEST, "org/example/A.class": b"a"})
    poms = _pack_zip({f"{maven}/pom.xml": _POM, "a/A.class": b"a"})
    shaded_jar = _pack_zip({**item, "META-INF/maven/g/b/pom.properties": b"groupId=g\nartifactId=b\nversion=1\n"})
    stored_war = _pack_zip(war, zipfile.ZIP_STORED)
    python_inside = _pack_zip({"WEB-INF/a.whl": _list_zipapps()[0], "b.ZIP": _list_zipapps()[0], "b.JAR": jar, **item})
    return [
        python_inside,
        jar,
        bare,
        poms,
        shaded_jar,
        stored_war,
        _pack_zip(war),
        b"#!/bin/sh\nexit\n" + jar,
        _make_zip64(bare),
        _pack_zip({}),
    ]


def _make_zip64(data: bytes) -> bytes:
    """Return the archive with zip64 records (APPNOTE.TXT, 4.3.14 and 4.3.15)."""
    body, end = data[:-22], data[-22:]
    count, size, at = struct.unpack_from("<HII", end, 10)
    end64 = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, at)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(body), 1)
    return (
        body
        + end64
        + locator
        + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    )


TARGETS = (
    make_target(
        python.ECOSYSTEM,
        (
            make_part(
                python.ECOSYSTEM,
                "METADATA",
                f"{_SITE}/Flask_Login-0.6.3.dist-info/METADATA",
                lambda: _METADATA,
                mutate_lines,
            ),
            make_part(
                python.ECOSYSTEM, "RECORD", f"{_SITE}/Flask_Login-0.6.3.dist-info/RECORD", lambda: _RECORD, mutate_lines
            ),
            make_part(
                python.ECOSYSTEM,
                "installed-files.txt",
                f"{_SITE}/a-1-py3.egg-info/installed-files.txt",
                lambda: _INSTALLED_FILES,
                mutate_lines,
            ),
            make_part(
                python.ECOSYSTEM,
                "egg",
                f"{_SITE}/own-1-py3.egg",
                make_reader("python/own.egg"),
                mutate_zip(mutate_lines),
            ),
            make_part(
                python.ECOSYSTEM, "wheel", "wheels/own-1-py3-none-any.whl", _list_zipapps, mutate_zip(mutate_lines)
            ),
            make_part(python.ECOSYSTEM, "zipapp", "app/a.pyz", _list_zipapps, mutate_zip(mutate_lines)),
            *(
                make_part(python.ECOSYSTEM, name, f"app/{name}", make_reader(f"python/{name}"), mutate_lines)
                for name in ("requirements.txt", "poetry.lock", "uv.lock", "pdm.lock", "pylock.toml")
            ),
            make_part(
                python.ECOSYSTEM, "Pipfile.lock", "app/Pipfile.lock", make_reader("python/Pipfile.lock"), mutate_json
            ),
        ),
        "formats.toml",
        versions="pep440.txt",
        purls=("pkg:pypi/flask-login@0.6.3", "pkg:pypi/a@1!2.0.post1.dev2+local.1"),
    ),
    make_target(
        npm.ECOSYSTEM,
        (
            make_part(npm.ECOSYSTEM, "package.json", "app/node_modules/a/package.json", lambda: _PACKAGE, mutate_json),
            make_part(
                npm.ECOSYSTEM,
                "package-lock.json",
                "app/package-lock.json",
                make_reader(*(f"npm/package-lock-v{version}.json" for version in (1, 2, 3))),
                mutate_json,
            ),
            make_part(
                npm.ECOSYSTEM,
                "yarn.lock",
                "app/yarn.lock",
                make_reader("npm/yarn-1.lock", "npm/yarn-4.lock"),
                mutate_lines,
            ),
            make_part(
                npm.ECOSYSTEM,
                "pnpm-lock.yaml",
                "app/pnpm-lock.yaml",
                make_reader(*(f"npm/pnpm-lock-{version}.yaml" for version in (7, 8, 10, 12))),
                mutate_lines,
            ),
            make_part(npm.ECOSYSTEM, "bun.lock", "app/bun.lock", make_reader("npm/bun.lock"), mutate_lines),
            make_part(npm.ECOSYSTEM, "asar", "app/own.asar", make_reader("npm/own.asar"), mutate_asar(mutate_json)),
            make_part(
                npm.ECOSYSTEM,
                "zip",
                "app/.yarn/cache/is-odd.zip",
                make_reader("npm/is-odd.zip"),
                mutate_zip(mutate_json),
            ),
        ),
        *(
            "formats.yaml",
            "formats.semver",
        ),
        versions="semver.txt",
        purls=("pkg:npm/%40scope/thing@1.2.3", "pkg:npm/a@1.0.0-rc.1"),
    ),
    make_target(
        java.ECOSYSTEM,
        (
            make_part(
                java.ECOSYSTEM,
                "jar",
                "app/lib/thing-2.1.jar",
                lambda: [
                    *_list_jars(),
                    *make_reader("java/netty-codec-4.2.13.Final.jar", "java/spire-platform_2.13-0.18.0.jar")(),
                ],
                mutate_zip(mutate_lines),
            ),
            make_part(java.ECOSYSTEM, "gradle.lockfile", "app/gradle.lockfile", lambda: _GRADLE, mutate_lines),
        ),
        *(
            "formats.zip_archive",
            "formats.xml",
        ),
        versions="maven.txt",
        purls=("pkg:maven/org.example/thing@2.1", "pkg:maven/a@1"),
    ),
    make_target(
        ruby.ECOSYSTEM,
        (
            make_part(
                ruby.ECOSYSTEM,
                "gemspec",
                "usr/lib/ruby/specifications/net-http-fixture-1.2.0.rc1.gemspec",
                make_reader(
                    "ruby/net-http-fixture-1.2.0.rc1.gemspec",
                    "ruby/native_fixture-0.10.3-x86_64-linux.gemspec",
                    "ruby/ostruct-0.6.0.gemspec",
                ),
                mutate_lines,
            ),
            make_part(
                ruby.ECOSYSTEM,
                "git",
                "app/bundler/gems/a-6301be8ac546/a.gemspec",
                make_reader("ruby/git/net-http-fixture.gemspec"),
                mutate_lines,
            ),
            make_part(
                ruby.ECOSYSTEM, "Gemfile.lock", "app/Gemfile.lock", make_reader("ruby/Gemfile.lock"), mutate_lines
            ),
        ),
        versions="rubygems.txt",
        purls=("pkg:gem/net-http@1.2.0.rc1", "pkg:gem/nokogiri@1.0?platform=x86_64-linux"),
    ),
    make_target(
        php.ECOSYSTEM,
        (
            make_part(
                php.ECOSYSTEM,
                "installed.json",
                "app/vendor/composer/installed.json",
                lambda: [*make_reader("php/installed.json")(), b'[{"name": "a/b", "version": "1.0"}]'],
                mutate_json,
            ),
            make_part(php.ECOSYSTEM, "phar", "usr/bin/own", make_reader("php/plain.phar", "php/gz.phar"), mutate_plain),
            make_part(php.ECOSYSTEM, "zip", "app/own.phar", make_reader("php/zip.phar"), mutate_zip(mutate_json)),
            make_part(
                php.ECOSYSTEM, "composer.lock", "app/composer.lock", make_reader("php/composer.lock"), mutate_json
            ),
        ),
        versions="packagist.txt",
        purls=("pkg:composer/acme/thing@1.2.3", "pkg:composer/a@dev-main"),
    ),
    make_target(
        conda.ECOSYSTEM,
        (
            make_part(
                conda.ECOSYSTEM,
                "conda-meta",
                "opt/conda/conda-meta/small-fixture-1.4.2-h5eb4_1.json",
                make_reader("conda/small-fixture-1.4.2-h5eb4_1.json"),
                mutate_json,
            ),
        ),
        versions="pep440.txt",
        purls=("pkg:conda/numpy@1.0?build=py_0&channel=conda-forge&subdir=linux-64",),
    ),
    make_target(
        bitnami.ECOSYSTEM,
        (
            make_part(
                bitnami.ECOSYSTEM,
                "spdx",
                "opt/bitnami/redis/.spdx-redis.spdx",
                make_reader("bitnami/.spdx-redis-fixture.spdx"),
                mutate_json,
            ),
            make_part(
                bitnami.ECOSYSTEM,
                "list",
                "opt/bitnami/.bitnami_components.json",
                make_reader("bitnami/bitnami_components.json"),
                mutate_json,
            ),
        ),
        versions="bitnami.txt",
        purls=("pkg:bitnami/redis@7.2.4-3?arch=amd64&distro=debian-12",),
    ),
    make_target(
        docker_hardened_images.ECOSYSTEM,
        (
            make_part(
                docker_hardened_images.ECOSYSTEM,
                "spdx",
                "opt/docker/sbom/python/.spdx.python.json",
                make_reader("hardened/.spdx.python.json"),
                mutate_json,
            ),
        ),
        versions="bitnami.txt",
        purls=("pkg:dhi/python@3.14.3",),
    ),
    make_target(
        dotnet.ECOSYSTEM,
        (
            make_part(
                dotnet.ECOSYSTEM,
                "deps.json",
                "app/app.deps.json",
                make_reader(
                    "dotnet/Microsoft.NETCore.App.deps.json",
                    "dotnet/Python.Runtime.deps.json",
                    "dotnet/self-contained.deps.json",
                ),
                mutate_json,
            ),
            make_part(
                dotnet.ECOSYSTEM,
                "packages.lock.json",
                "app/packages.lock.json",
                make_reader("dotnet/packages.lock.json"),
                mutate_json,
            ),
            make_part(
                dotnet.ECOSYSTEM,
                "packages.config",
                "app/packages.config",
                make_reader("dotnet/packages.config"),
                mutate_lines,
            ),
            make_part(
                dotnet.ECOSYSTEM,
                "single file",
                "app/app",
                lambda: [make_bundle(), make_bundle(name=b"x" * 300), make_bundle(None), make_bundle(major=1), HOST],
            ),
        ),
        versions="nuget.txt",
        purls=("pkg:nuget/Newtonsoft.Json@13.0.3",),
    ),
)
