"""Files of Conan, R, Erlang, Elixir, Haskell, Julia, OCaml, Dart, Swift and VS Code; GitHub Actions."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import zstandard
from tests.fuzz.containers import mutate_zip
from tests.fuzz.mutate import apply_edits, make_edit_form, mutate_json, mutate_lines
from tests.fuzz.target import Part
from tests.fuzz.targets._ecosystem import DATA, make_part, make_reader, make_target, read

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


def _make_vsix(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("extension/package.json", content)
    return stream.getvalue()


_DIGEST = "0123456789abcdef" * 4


def _make_tar(*names: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return stream.getvalue()


def _list_images() -> list[bytes]:
    image = _make_tar("blobs/", f"blobs/sha256/{_DIGEST}", "oci-layout")
    sources = _make_tar("src/a.c", f"{_DIGEST}.txt", f"{_DIGEST}.tar")
    packed_images = [gzip.compress(image), lzma.compress(sources), bz2.compress(image)]
    return [image, sources, *packed_images, zstandard.ZstdCompressor().compress(sources)]


TARGETS = (
    make_target(
        other_roots.ECOSYSTEM,
        (
            make_part(other_roots.ECOSYSTEM, "archive", "srv/a.tar", _list_images),
            *(
                make_part(
                    other_roots.ECOSYSTEM,
                    path,
                    path,
                    lambda: [b'{"Repositories": {"a": {}}}', b"[]", b"hsqs"],
                    mutate_json,
                )
                for path in ("a/image/overlay2/repositories.json", "a/overlay-layers/layers.json")
            ),
            *(
                make_part(
                    other_roots.ECOSYSTEM, path, path, lambda: [b'{"imageLayoutVersion": "1.0.0"}', b""], mutate_lines
                )
                for path in ("a/oci-layout", "a/var/lib/dpkg/status")
            ),
        ),
        "formats.image_archives",
        versions="bitnami.txt",
        purls=("pkg:generic/thing@1",),
    ),
    make_target(
        github_actions.ECOSYSTEM,
        (make_part(github_actions.ECOSYSTEM, "workflow", ".github/workflows/ci.yml", lambda: [b"on: push"]),),
        "formats.semver",
        versions="actions.txt",
        purls=(
            "pkg:githubactions/github/codeql-action/init@v3.29.0",
            "pkg:githubactions/a@1",
            "pkg:githubactions/a/b@4",
        ),
    ),
    make_target(
        conan.ECOSYSTEM,
        (
            Part(
                "cache.sqlite3",
                lambda data: read(conan.ECOSYSTEM, "root/.conan2/p/cache.sqlite3", apply_edits(_CACHE, data)),
                lambda: [b"\0"],
                make_edit_form(_CACHE),
            ),
            make_part(
                conan.ECOSYSTEM, "wal", "root/.conan2/p/cache.sqlite3-wal", lambda: [b"\x37\x7f\x06\x82" + bytes(60)]
            ),
            *(
                make_part(conan.ECOSYSTEM, folder, f"{folder}/conaninfo.txt", lambda: [b"[settings]"])
                for folder in ("data/a/1/b/_/package/0", "full_deploy/host/a/1", "direct_deploy/a")
            ),
            make_part(
                conan.ECOSYSTEM,
                "conan.lock",
                "app/conan.lock",
                lambda: [*make_reader("conan/conan.lock-1", "conan/conan.lock-2")(), *_CONAN_LOCKS],
                mutate_json,
            ),
        ),
        versions="conan.txt",
        purls=("pkg:conan/png@1.6.40?channel=stable&user=acme",),
    ),
    make_target(
        cran.ECOSYSTEM,
        (
            make_part(
                cran.ECOSYSTEM,
                "DESCRIPTION",
                "usr/lib/R/site-library/commonmark/DESCRIPTION",
                lambda: [
                    *make_reader("cran/commonmark/DESCRIPTION", "cran/BiocGenerics/DESCRIPTION")(),
                    *_DESCRIPTIONS,
                ],
                mutate_lines,
            ),
            make_part(
                cran.ECOSYSTEM,
                "renv.lock",
                "app/renv.lock",
                lambda: [*make_reader("cran/renv.lock")(), _RENV],
                mutate_json,
            ),
        ),
        versions="cran.txt",
        purls=("pkg:cran/rJava@1.0-4", "pkg:cran/limma@3.62.2?repository_url=https://bioconductor.org"),
    ),
    make_target(
        erlang.ECOSYSTEM,
        (
            *(
                make_part(
                    erlang.ECOSYSTEM,
                    f"{name}.app",
                    f"app/lib/{name}/ebin/{name}.app",
                    make_reader(f"erlang/{name}.app"),
                    mutate_lines,
                )
                for name in ("cowlib", "ssh")
            ),
            make_part(erlang.ECOSYSTEM, "a.app", "app/lib/a/ebin/a.app", lambda: _APPLICATIONS, mutate_lines),
            make_part(
                erlang.ECOSYSTEM,
                "ez",
                "plugins/cowlib-1.3.0.ez",
                make_reader("erlang/cowlib-1.3.0.ez"),
                mutate_zip(mutate_lines),
            ),
            make_part(erlang.ECOSYSTEM, "escript", "bin/own", make_reader("erlang/own"), mutate_zip(mutate_lines)),
            make_part(erlang.ECOSYSTEM, "mix.lock", "app/mix.lock", make_reader("erlang/mix.lock"), mutate_lines),
            make_part(erlang.ECOSYSTEM, "rebar.lock", "app/rebar.lock", make_reader("erlang/rebar.lock"), mutate_lines),
        ),
        "formats.semver",
        versions="hex.txt",
        purls=("pkg:hex/acme/foo@2.3.0", "pkg:otp/ssh@5.3?repository_url=https://github.com/erlang/otp"),
    ),
    make_target(
        haskell.ECOSYSTEM,
        (
            make_part(
                haskell.ECOSYSTEM,
                "conf",
                "root/.cabal/store/ghc-9.6.6/package.db/random-1.2.1.2.conf",
                lambda: [
                    *make_reader("haskell/process-1.6.19.0.conf", "haskell/random-1.2.1.2.conf")(),
                    b"name: ghc\nversion: 9.6.6\nimport-dirs: ${pkgroot}/../lib\n",
                    b"name: a\npackage-name:\n  b\nversion: 1\n",
                    b"name: a\n",
                    b"name: a\nname: b\n",
                ],
                mutate_lines,
            ),
            make_part(
                haskell.ECOSYSTEM,
                "cabal.project.freeze",
                "app/cabal.project.freeze",
                lambda: [*make_reader("haskell/cabal.project.freeze")(), b"constraints: any.a ==1 || ==2"],
                mutate_lines,
            ),
            make_part(
                haskell.ECOSYSTEM,
                "stack.yaml.lock",
                "app/stack.yaml.lock",
                lambda: [
                    *make_reader("haskell/stack.yaml.lock")(),
                    b"packages: [{completed: {hackage: a}}]",
                    b"packages: a",
                ],
                mutate_lines,
            ),
        ),
        versions="hackage.txt",
        purls=("pkg:hackage/AC-HalfInteger@1.2.1",),
    ),
    make_target(
        julia.ECOSYSTEM,
        (
            make_part(
                julia.ECOSYSTEM,
                "Project.toml",
                "root/.julia/packages/HTTP/sJD5V/Project.toml",
                lambda: [*make_reader("julia/Project.toml")(), b'name = "HTTP"', b'name = "a"', b"name = 1"],
                mutate_lines,
            ),
            make_part(
                julia.ECOSYSTEM,
                "Manifest.toml",
                "app/Manifest.toml",
                lambda: [
                    *make_reader("julia/Manifest-1.toml", "julia/Manifest-2.toml")(),
                    b"[deps]\n",
                    b"a = [1]",
                    b'manifest_format = "2.0"\ndeps = 1',
                ],
                mutate_lines,
            ),
        ),
        "formats.toml",
        versions="julia.txt",
        purls=("pkg:julia/HTTP@1.10.8?uuid=cd3eb016-35fb-5094-929b-558a96fad6f3",),
    ),
    make_target(
        opam.ECOSYSTEM,
        (
            make_part(
                opam.ECOSYSTEM,
                "opam",
                "root/.opam/a/.opam-switch/packages/hello.1.0~rc1/opam",
                make_reader("opam/opam"),
                mutate_lines,
            ),
            make_part(
                opam.ECOSYSTEM,
                "switch-state",
                "root/.opam/a/.opam-switch/switch-state",
                lambda: [
                    *make_reader("opam/switch-state")(),
                    b'installed: ["a"]',
                    b"installed:",
                    b'(* a *) a: """b"""',
                ],
                mutate_lines,
            ),
            make_part(
                opam.ECOSYSTEM,
                "opam.locked",
                "app/app.opam.locked",
                lambda: [*make_reader("opam/app.opam.locked")(), b'depends: ["a" {= "1" & os = "b"} "c" {>= "2"} "d"]'],
                mutate_lines,
            ),
        ),
        versions="opam.txt",
        purls=("pkg:opam/ocaml-base-compiler@5.2.0",),
    ),
    make_target(
        pub.ECOSYSTEM,
        (
            make_part(
                pub.ECOSYSTEM,
                "pubspec.lock",
                "app/pubspec.lock",
                lambda: [*make_reader("pub/pubspec.lock")(), b"packages: {a: {source: hosted}}\n", b"[]"],
                mutate_lines,
            ),
        ),
        "formats.yaml",
        versions="pub.txt",
        purls=("pkg:pub/Shelf-Static@1.1.0",),
    ),
    make_target(
        swift.ECOSYSTEM,
        (
            make_part(
                swift.ECOSYSTEM,
                "Package.resolved",
                "app/Package.resolved",
                lambda: [*make_reader(*(f"swift/Package.resolved-{form}" for form in (1, 2, 3)))(), *_PINS],
                mutate_json,
            ),
        ),
        "formats.semver",
        versions="semver.txt",
        purls=("pkg:swift/github.com/Alamofire/Alamofire@5.4.3", "pkg:swift/a@1.0.0"),
    ),
    make_target(
        vscode.ECOSYSTEM,
        (
            make_part(
                vscode.ECOSYSTEM,
                "package.json",
                "root/.vscode-server/extensions/a/package.json",
                lambda: [
                    *make_reader("vscode/package.json")(),
                    b'{"engines": {"vscode": "*"}, "publisher": "vscode"}',
                    b"{}",
                ],
                mutate_json,
            ),
            make_part(
                vscode.ECOSYSTEM,
                "vsix",
                "srv/a.vsix",
                lambda: [_make_vsix(item) for item in make_reader("vscode/package.json")()] + [_make_vsix(b"{}")],
                mutate_zip(mutate_json),
            ),
            make_part(
                vscode.ECOSYSTEM,
                "product.json",
                "usr/lib/code-server/lib/vscode/product.json",
                lambda: [
                    *make_reader("vscode/product.json")(),
                    b'{"applicationName": "a", "dataFolderName": "b"}',
                    b"[",
                ],
                mutate_json,
            ),
        ),
        versions="semver.txt",
        purls=("pkg:vscode-extension/Golang/Go@0.39.1", "pkg:vscode-extension/go@0.39.1"),
    ),
)
