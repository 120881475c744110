"""Files of Conan, R, Erlang, Elixir, Haskell, Julia, OCaml, Dart, Swift and VS Code; GitHub Actions."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import zstandard
from tests.fuzz.containers import zipped
from tests.fuzz.mutate import edited, edits, json_text, lines
from tests.fuzz.target import Part
from tests.fuzz.targets._ecosystem import DATA, files, part, read, target

from dockgate.scanner.ecosystems import (
    conan,
    cran,
    erlang,
    github_actions,
    haskell,
    julia,
    opam,
    other_roots,
    pub,
    swift,
    vscode,
)

_DESCRIPTIONS = [
    b"Package: base\nVersion: 4.5.0\nPriority: base\nBuilt: R 4.5.0; ; ; unix\n",
    b"\nPackage: a\nVersion:\n 1.0\nTitle: a\n b\nBuilt: R 4.5.0; ; ; unix\n\nVersion: 2.0\n",
    b"Package: a\nBuilt: R 4.5.0; ; ; unix\n",
    b"Package: a\nVersion: 1.0\nVersion: 2.0\n",
    b"Package: a\nVersion: 1.0\n",
]
_RENV = b'{"Packages": {"limma": {"Version": "3.62.2", "Source": "Bioconductor"}, "a": 1}}'
_APPLICATIONS = [
    b'%% a\n{application,\'a\',[{vsn,"1.0.0"},{env,[{a,$"},{b,<<"x">>},{c,#{d => 1.5}}]}]}.\n',
    b'{application,a,[{vsn,"1.0.0"]}}.',
    b'{application,a,[{vsn,"1.0.0"}',
    b"{application,a,[{vsn,git}]}.",
    b"{application,a,[]}.",
    b'{application,a,[{description,"a}]}.',
    b"{a}.",
]
_PINS = [
    b'{"pins": [{"location": "/src/a", "state": {}}, {"location": "a.example/b", "state": {}}, 1]}',
    b'{"pins": {}}',
]
_CACHE = [gzip.decompress((DATA / "conan/cache.sqlite3.gz").read_bytes())]
_CONAN_LOCKS = [
    b'{"graph_lock": {"nodes": {"0": {"ref": "a/1", "path": "b"}, "1": {"pref": "a/1.0@b/_#0:1#2"}, "2": {"ref": 1}}}}',
    b'{"graph_lock": {"nodes": []}}',
    b'{"requires": {}}',
    b'{"requires": ["1.0", "a/"]}',
]


def _vsix(content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("extension/package.json", content)
    return made.getvalue()


_DIGEST = "0123456789abcdef" * 4


def _tar(*names: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return made.getvalue()


def _images() -> list[bytes]:
    image = _tar("blobs/", f"blobs/sha256/{_DIGEST}", "oci-layout")
    sources = _tar("src/a.c", f"{_DIGEST}.txt", f"{_DIGEST}.tar")
    packed = [gzip.compress(image), lzma.compress(sources), bz2.compress(image)]
    return [image, sources, *packed, zstandard.ZstdCompressor().compress(sources)]


TARGETS = (
    target(
        other_roots.ECOSYSTEM,
        (
            part(other_roots.ECOSYSTEM, "archive", "srv/a.tar", _images),
            *(
                part(
                    other_roots.ECOSYSTEM,
                    path,
                    path,
                    lambda: [b'{"Repositories": {"a": {}}}', b"[]", b"hsqs"],
                    json_text,
                )
                for path in ("a/image/overlay2/repositories.json", "a/overlay-layers/layers.json")
            ),
            *(
                part(other_roots.ECOSYSTEM, path, path, lambda: [b'{"imageLayoutVersion": "1.0.0"}', b""], lines)
                for path in ("a/oci-layout", "a/var/lib/dpkg/status")
            ),
        ),
        "formats.image_archives",
        versions="bitnami.txt",
        purls=("pkg:generic/thing@1",),
    ),
    target(
        github_actions.ECOSYSTEM,
        (part(github_actions.ECOSYSTEM, "workflow", ".github/workflows/ci.yml", lambda: [b"on: push"]),),
        "formats.semver",
        versions="actions.txt",
        purls=(
            "pkg:githubactions/github/codeql-action/init@v3.29.0",
            "pkg:githubactions/a@1",
            "pkg:githubactions/a/b@4",
        ),
    ),
    target(
        conan.ECOSYSTEM,
        (
            Part(
                "cache.sqlite3",
                lambda data: read(conan.ECOSYSTEM, "root/.conan2/p/cache.sqlite3", edited(_CACHE, data)),
                lambda: [b"\0"],
                edits(_CACHE),
            ),
            part(conan.ECOSYSTEM, "wal", "root/.conan2/p/cache.sqlite3-wal", lambda: [b"\x37\x7f\x06\x82" + bytes(60)]),
            *(
                part(conan.ECOSYSTEM, folder, f"{folder}/conaninfo.txt", lambda: [b"[settings]"])
                for folder in ("data/a/1/b/_/package/0", "full_deploy/host/a/1", "direct_deploy/a")
            ),
            part(
                conan.ECOSYSTEM,
                "conan.lock",
                "app/conan.lock",
                lambda: [*files("conan/conan.lock-1", "conan/conan.lock-2")(), *_CONAN_LOCKS],
                json_text,
            ),
        ),
        versions="conan.txt",
        purls=("pkg:conan/png@1.6.40?channel=stable&user=acme",),
    ),
    target(
        cran.ECOSYSTEM,
        (
            part(
                cran.ECOSYSTEM,
                "DESCRIPTION",
                "usr/lib/R/site-library/commonmark/DESCRIPTION",
                lambda: [*files("cran/commonmark/DESCRIPTION", "cran/BiocGenerics/DESCRIPTION")(), *_DESCRIPTIONS],
                lines,
            ),
            part(cran.ECOSYSTEM, "renv.lock", "app/renv.lock", lambda: [*files("cran/renv.lock")(), _RENV], json_text),
        ),
        versions="cran.txt",
        purls=("pkg:cran/rJava@1.0-4", "pkg:cran/limma@3.62.2?repository_url=https://bioconductor.org"),
    ),
    target(
        erlang.ECOSYSTEM,
        (
            *(
                part(
                    erlang.ECOSYSTEM,
                    f"{name}.app",
                    f"app/lib/{name}/ebin/{name}.app",
                    files(f"erlang/{name}.app"),
                    lines,
                )
                for name in ("cowlib", "ssh")
            ),
            part(erlang.ECOSYSTEM, "a.app", "app/lib/a/ebin/a.app", lambda: _APPLICATIONS, lines),
            part(erlang.ECOSYSTEM, "ez", "plugins/cowlib-1.3.0.ez", files("erlang/cowlib-1.3.0.ez"), zipped(lines)),
            part(erlang.ECOSYSTEM, "escript", "bin/own", files("erlang/own"), zipped(lines)),
            part(erlang.ECOSYSTEM, "mix.lock", "app/mix.lock", files("erlang/mix.lock"), lines),
            part(erlang.ECOSYSTEM, "rebar.lock", "app/rebar.lock", files("erlang/rebar.lock"), lines),
        ),
        "formats.semver",
        versions="hex.txt",
        purls=("pkg:hex/acme/foo@2.3.0", "pkg:otp/ssh@5.3?repository_url=https://github.com/erlang/otp"),
    ),
    target(
        haskell.ECOSYSTEM,
        (
            part(
                haskell.ECOSYSTEM,
                "conf",
                "root/.cabal/store/ghc-9.6.6/package.db/random-1.2.1.2.conf",
                lambda: [
                    *files("haskell/process-1.6.19.0.conf", "haskell/random-1.2.1.2.conf")(),
                    b"name: ghc\nversion: 9.6.6\nimport-dirs: ${pkgroot}/../lib\n",
                    b"name: a\npackage-name:\n  b\nversion: 1\n",
                    b"name: a\n",
                    b"name: a\nname: b\n",
                ],
                lines,
            ),
            part(
                haskell.ECOSYSTEM,
                "cabal.project.freeze",
                "app/cabal.project.freeze",
                lambda: [*files("haskell/cabal.project.freeze")(), b"constraints: any.a ==1 || ==2"],
                lines,
            ),
            part(
                haskell.ECOSYSTEM,
                "stack.yaml.lock",
                "app/stack.yaml.lock",
                lambda: [*files("haskell/stack.yaml.lock")(), b"packages: [{completed: {hackage: a}}]", b"packages: a"],
                lines,
            ),
        ),
        versions="hackage.txt",
        purls=("pkg:hackage/AC-HalfInteger@1.2.1",),
    ),
    target(
        julia.ECOSYSTEM,
        (
            part(
                julia.ECOSYSTEM,
                "Project.toml",
                "root/.julia/packages/HTTP/sJD5V/Project.toml",
                lambda: [*files("julia/Project.toml")(), b'name = "HTTP"', b'name = "a"', b"name = 1"],
                lines,
            ),
            part(
                julia.ECOSYSTEM,
                "Manifest.toml",
                "app/Manifest.toml",
                lambda: [
                    *files("julia/Manifest-1.toml", "julia/Manifest-2.toml")(),
                    b"[deps]\n",
                    b"a = [1]",
                    b'manifest_format = "2.0"\ndeps = 1',
                ],
                lines,
            ),
        ),
        "formats.toml",
        versions="julia.txt",
        purls=("pkg:julia/HTTP@1.10.8?uuid=cd3eb016-35fb-5094-929b-558a96fad6f3",),
    ),
    target(
        opam.ECOSYSTEM,
        (
            part(
                opam.ECOSYSTEM,
                "opam",
                "root/.opam/a/.opam-switch/packages/hello.1.0~rc1/opam",
                files("opam/opam"),
                lines,
            ),
            part(
                opam.ECOSYSTEM,
                "switch-state",
                "root/.opam/a/.opam-switch/switch-state",
                lambda: [*files("opam/switch-state")(), b'installed: ["a"]', b"installed:", b'(* a *) a: """b"""'],
                lines,
            ),
            part(
                opam.ECOSYSTEM,
                "opam.locked",
                "app/app.opam.locked",
                lambda: [*files("opam/app.opam.locked")(), b'depends: ["a" {= "1" & os = "b"} "c" {>= "2"} "d"]'],
                lines,
            ),
        ),
        versions="opam.txt",
        purls=("pkg:opam/ocaml-base-compiler@5.2.0",),
    ),
    target(
        pub.ECOSYSTEM,
        (
            part(
                pub.ECOSYSTEM,
                "pubspec.lock",
                "app/pubspec.lock",
                lambda: [*files("pub/pubspec.lock")(), b"packages: {a: {source: hosted}}\n", b"[]"],
                lines,
            ),
        ),
        "formats.yaml",
        versions="pub.txt",
        purls=("pkg:pub/Shelf-Static@1.1.0",),
    ),
    target(
        swift.ECOSYSTEM,
        (
            part(
                swift.ECOSYSTEM,
                "Package.resolved",
                "app/Package.resolved",
                lambda: [*files(*(f"swift/Package.resolved-{form}" for form in (1, 2, 3)))(), *_PINS],
                json_text,
            ),
        ),
        "formats.semver",
        versions="semver.txt",
        purls=("pkg:swift/github.com/Alamofire/Alamofire@5.4.3", "pkg:swift/a@1.0.0"),
    ),
    target(
        vscode.ECOSYSTEM,
        (
            part(
                vscode.ECOSYSTEM,
                "package.json",
                "root/.vscode-server/extensions/a/package.json",
                lambda: [
                    *files("vscode/package.json")(),
                    b'{"engines": {"vscode": "*"}, "publisher": "vscode"}',
                    b"{}",
                ],
                json_text,
            ),
            part(
                vscode.ECOSYSTEM,
                "vsix",
                "srv/a.vsix",
                lambda: [_vsix(item) for item in files("vscode/package.json")()] + [_vsix(b"{}")],
                zipped(json_text),
            ),
            part(
                vscode.ECOSYSTEM,
                "product.json",
                "usr/lib/code-server/lib/vscode/product.json",
                lambda: [*files("vscode/product.json")(), b'{"applicationName": "a", "dataFolderName": "b"}', b"["],
                json_text,
            ),
        ),
        versions="semver.txt",
        purls=("pkg:vscode-extension/Golang/Go@0.39.1", "pkg:vscode-extension/go@0.39.1"),
    ),
)
