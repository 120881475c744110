"""Files of languages' package managers: metadata, archives and lockfiles."""

import io
import json
import struct
import zipfile

from tests.fuzz.containers import asar, zipped
from tests.fuzz.mutate import json_text, lines, plain
from tests.fuzz.targets._ecosystem import files, part, target
from tests.scanner.ecosystems.bundles import HOST, bundle

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


def _zip(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


def _zipapps() -> list[bytes]:
    """Return applications with a valid and a broken package, and without any."""
    applications = _zip({"site-packages/a-1.dist-info/METADATA": _METADATA[0], "b-1.dist-info/METADATA": b"Name: b\n"})
    wheels = _zip({".deps/a-1-py3-none-any.whl": applications, "b.egg": _zip({"EGG-INFO/PKG-INFO": _METADATA[0]})})
    return [b"#!/usr/bin/env python3\n" + applications, _zip({"__main__.py": b"print()\n"}), wheels]


def _jars() -> list[bytes]:
    maven = "META-INF/maven/org.example/thing"
    item = {
        "META-INF/MANIFEST.MF": _MANIFEST,
        f"{maven}/pom.properties": b"#a\nversion=2.1\ngroupId=org.example\nartifactId=thing\n",
        f"{maven}/pom.xml": _POM,
        "org/example/A.class": b"\xca\xfe\xba\xbe",
    }
    jar = _zip(item)
    war = {"WEB-INF/lib/thing-2.1.jar": jar, "WEB-INF/lib/other-1.0-SNAPSHOT.jar": _zip({"a/B.class": b"a"})}
    bare = _zip({"META-INF/MANIFEST.MF": _MANIFEST, "org/example/A.class": b"a"})
    poms = _zip({f"{maven}/pom.xml": _POM, "a/A.class": b"a"})
    shaded = _zip({**item, "META-INF/maven/g/b/pom.properties": b"groupId=g\nartifactId=b\nversion=1\n"})
    stored = _zip(war, zipfile.ZIP_STORED)
    python_inside = _zip({"WEB-INF/a.whl": _zipapps()[0], "b.ZIP": _zipapps()[0], "b.JAR": jar, **item})
    return [
        python_inside,
        jar,
        bare,
        poms,
        shaded,
        stored,
        _zip(war),
        b"#!/bin/sh\nexit\n" + jar,
        _zip64(bare),
        _zip({}),
    ]


def _zip64(data: bytes) -> bytes:
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
    target(
        python.ECOSYSTEM,
        (
            part(
                python.ECOSYSTEM, "METADATA", f"{_SITE}/Flask_Login-0.6.3.dist-info/METADATA", lambda: _METADATA, lines
            ),
            part(python.ECOSYSTEM, "RECORD", f"{_SITE}/Flask_Login-0.6.3.dist-info/RECORD", lambda: _RECORD, lines),
            part(
                python.ECOSYSTEM,
                "installed-files.txt",
                f"{_SITE}/a-1-py3.egg-info/installed-files.txt",
                lambda: _INSTALLED_FILES,
                lines,
            ),
            part(python.ECOSYSTEM, "egg", f"{_SITE}/own-1-py3.egg", files("python/own.egg"), zipped(lines)),
            part(python.ECOSYSTEM, "wheel", "wheels/own-1-py3-none-any.whl", _zipapps, zipped(lines)),
            part(python.ECOSYSTEM, "zipapp", "app/a.pyz", _zipapps, zipped(lines)),
            *(
                part(python.ECOSYSTEM, name, f"app/{name}", files(f"python/{name}"), lines)
                for name in ("requirements.txt", "poetry.lock", "uv.lock", "pdm.lock", "pylock.toml")
            ),
            part(python.ECOSYSTEM, "Pipfile.lock", "app/Pipfile.lock", files("python/Pipfile.lock"), json_text),
        ),
        "formats.toml",
        versions="pep440.txt",
        purls=("pkg:pypi/flask-login@0.6.3", "pkg:pypi/a@1!2.0.post1.dev2+local.1"),
    ),
    target(
        npm.ECOSYSTEM,
        (
            part(npm.ECOSYSTEM, "package.json", "app/node_modules/a/package.json", lambda: _PACKAGE, json_text),
            part(
                npm.ECOSYSTEM,
                "package-lock.json",
                "app/package-lock.json",
                files(*(f"npm/package-lock-v{version}.json" for version in (1, 2, 3))),
                json_text,
            ),
            part(npm.ECOSYSTEM, "yarn.lock", "app/yarn.lock", files("npm/yarn-1.lock", "npm/yarn-4.lock"), lines),
            part(
                npm.ECOSYSTEM,
                "pnpm-lock.yaml",
                "app/pnpm-lock.yaml",
                files(*(f"npm/pnpm-lock-{version}.yaml" for version in (7, 8, 10, 12))),
                lines,
            ),
            part(npm.ECOSYSTEM, "bun.lock", "app/bun.lock", files("npm/bun.lock"), lines),
            part(npm.ECOSYSTEM, "asar", "app/own.asar", files("npm/own.asar"), asar(json_text)),
            part(npm.ECOSYSTEM, "zip", "app/.yarn/cache/is-odd.zip", files("npm/is-odd.zip"), zipped(json_text)),
        ),
        *(
            "formats.yaml",
            "formats.semver",
        ),
        versions="semver.txt",
        purls=("pkg:npm/%40scope/thing@1.2.3", "pkg:npm/a@1.0.0-rc.1"),
    ),
    target(
        java.ECOSYSTEM,
        (
            part(
                java.ECOSYSTEM,
                "jar",
                "app/lib/thing-2.1.jar",
                lambda: [
                    *_jars(),
                    *files("java/netty-codec-4.2.13.Final.jar", "java/spire-platform_2.13-0.18.0.jar")(),
                ],
                zipped(lines),
            ),
            part(java.ECOSYSTEM, "gradle.lockfile", "app/gradle.lockfile", lambda: _GRADLE, lines),
        ),
        *(
            "formats.zip_archive",
            "formats.xml",
        ),
        versions="maven.txt",
        purls=("pkg:maven/org.example/thing@2.1", "pkg:maven/a@1"),
    ),
    target(
        ruby.ECOSYSTEM,
        (
            part(
                ruby.ECOSYSTEM,
                "gemspec",
                "usr/lib/ruby/specifications/net-http-fixture-1.2.0.rc1.gemspec",
                files(
                    "ruby/net-http-fixture-1.2.0.rc1.gemspec",
                    "ruby/native_fixture-0.10.3-x86_64-linux.gemspec",
                    "ruby/ostruct-0.6.0.gemspec",
                ),
                lines,
            ),
            part(
                ruby.ECOSYSTEM,
                "git",
                "app/bundler/gems/a-6301be8ac546/a.gemspec",
                files("ruby/git/net-http-fixture.gemspec"),
                lines,
            ),
            part(ruby.ECOSYSTEM, "Gemfile.lock", "app/Gemfile.lock", files("ruby/Gemfile.lock"), lines),
        ),
        versions="rubygems.txt",
        purls=("pkg:gem/net-http@1.2.0.rc1", "pkg:gem/nokogiri@1.0?platform=x86_64-linux"),
    ),
    target(
        php.ECOSYSTEM,
        (
            part(
                php.ECOSYSTEM,
                "installed.json",
                "app/vendor/composer/installed.json",
                lambda: [*files("php/installed.json")(), b'[{"name": "a/b", "version": "1.0"}]'],
                json_text,
            ),
            part(php.ECOSYSTEM, "phar", "usr/bin/own", files("php/plain.phar", "php/gz.phar"), plain),
            part(php.ECOSYSTEM, "zip", "app/own.phar", files("php/zip.phar"), zipped(json_text)),
            part(php.ECOSYSTEM, "composer.lock", "app/composer.lock", files("php/composer.lock"), json_text),
        ),
        versions="packagist.txt",
        purls=("pkg:composer/acme/thing@1.2.3", "pkg:composer/a@dev-main"),
    ),
    target(
        conda.ECOSYSTEM,
        (
            part(
                conda.ECOSYSTEM,
                "conda-meta",
                "opt/conda/conda-meta/small-fixture-1.4.2-h5eb4_1.json",
                files("conda/small-fixture-1.4.2-h5eb4_1.json"),
                json_text,
            ),
        ),
        versions="pep440.txt",
        purls=("pkg:conda/numpy@1.0?build=py_0&channel=conda-forge&subdir=linux-64",),
    ),
    target(
        bitnami.ECOSYSTEM,
        (
            part(
                bitnami.ECOSYSTEM,
                "spdx",
                "opt/bitnami/redis/.spdx-redis.spdx",
                files("bitnami/.spdx-redis-fixture.spdx"),
                json_text,
            ),
            part(
                bitnami.ECOSYSTEM,
                "list",
                "opt/bitnami/.bitnami_components.json",
                files("bitnami/bitnami_components.json"),
                json_text,
            ),
        ),
        versions="bitnami.txt",
        purls=("pkg:bitnami/redis@7.2.4-3?arch=amd64&distro=debian-12",),
    ),
    target(
        docker_hardened_images.ECOSYSTEM,
        (
            part(
                docker_hardened_images.ECOSYSTEM,
                "spdx",
                "opt/docker/sbom/python/.spdx.python.json",
                files("hardened/.spdx.python.json"),
                json_text,
            ),
        ),
        versions="bitnami.txt",
        purls=("pkg:dhi/python@3.14.3",),
    ),
    target(
        dotnet.ECOSYSTEM,
        (
            part(
                dotnet.ECOSYSTEM,
                "deps.json",
                "app/app.deps.json",
                files(
                    "dotnet/Microsoft.NETCore.App.deps.json",
                    "dotnet/Python.Runtime.deps.json",
                    "dotnet/self-contained.deps.json",
                ),
                json_text,
            ),
            part(
                dotnet.ECOSYSTEM,
                "packages.lock.json",
                "app/packages.lock.json",
                files("dotnet/packages.lock.json"),
                json_text,
            ),
            part(dotnet.ECOSYSTEM, "packages.config", "app/packages.config", files("dotnet/packages.config"), lines),
            part(
                dotnet.ECOSYSTEM,
                "single file",
                "app/app",
                lambda: [bundle(), bundle(name=b"x" * 300), bundle(None), bundle(major=1), HOST],
            ),
        ),
        versions="nuget.txt",
        purls=("pkg:nuget/Newtonsoft.Json@13.0.3",),
    ),
)
