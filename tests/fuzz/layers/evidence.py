"""Files that name packages, for the fuzzer's layers, and the honest base below all of them."""

import io
import zipfile
from collections.abc import Callable, Iterator
from random import Random

from tests.fuzz.layers.recipe import Item, Layer, decode_text

STATUS = "var/lib/dpkg/status"
_RELEASE = 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'


def _make_stanza(name: str, version: str) -> str:
    return f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"


def _make_status(number: int) -> str:
    return _make_stanza("bash", "5.2-1") + (_make_stanza(f"pkg{number}", f"1.{number}-1") if number else "")


def _make_jar(number: int) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        text = f"groupId=org.example\nartifactId=jar{number}\nversion=1.{number}\n"
        archive.writestr(zipfile.ZipInfo(f"META-INF/maven/org.example/jar{number}/pom.properties"), text)
    return decode_text(buffer.getvalue())


_JARS = [_make_jar(number) for number in range(8)]
_KINDS: tuple[Callable[[int], tuple[str, str]], ...] = (
    lambda n: (STATUS, _make_status(n)),
    lambda n: (STATUS, _make_status(n)),
    lambda n: (f"var/lib/dpkg/status.d/pkg{n}", _make_stanza(f"pkg{n}", f"1.{n}-1")),
    lambda n: (f"app/node_modules/m{n % 4}/package.json", f'{{"name": "m{n % 4}", "version": "1.{n}.0"}}'),
    lambda n: ("app/node_modules/base/package.json", f'{{"name": "base", "version": "1.{n}.0"}}'),
    lambda n: (
        f"usr/lib/python3/dist-packages/p{n % 4}-1.{n}.dist-info/METADATA",
        f"Metadata-Version: 2.1\nName: p{n % 4}\nVersion: 1.{n}\n",
    ),
    lambda n: ("srv/vendor/composer/installed.json", f'{{"packages": [{{"name": "a/b", "version": "1.{n}.0"}}]}}'),
    lambda n: (f"app/lib/jar{n % 8}.jar", _JARS[n % 8]),
    lambda n: (
        f"usr/local/bundle/specifications/g{n % 4}-1.{n}.gemspec",
        f'Gem::Specification.new do |s|\n  s.name = "g{n % 4}".freeze\n  s.version = "1.{n}"\nend\n',
    ),
    lambda n: ("etc/os-release", _RELEASE),
)


def choose_evidence(chance: Random) -> tuple[str, str]:
    """A path that an ecosystem wants, and content that names a package, rarely twice in one version."""
    return chance.choice(_KINDS)(chance.randrange(1, 1000))


def list_siblings(path: str) -> Iterator[tuple[str, str]]:
    """Return the files that an installer writes with such a file, without which it is not accepted."""
    if path.endswith(".dist-info/METADATA"):
        folder = path.rpartition("/")[0]
        name = folder.rpartition("/")[2]
        yield f"{folder}/RECORD", f"{name}/METADATA,,\n{name}/RECORD,,\n"


def choose_plain_file(chance: Random) -> tuple[str, str]:
    """A path and content that name no package."""
    number = chance.randrange(1000)
    folder = chance.choice(("app", "app/data", "usr/bin", "opt/x", "etc", "var/lib/dpkg/info", "srv", "usr/lib", ""))
    name = chance.choice(("first", "b", "c.so", "libx.so.1", "datum", f"f{number}"))
    return f"{folder}/{name}".lstrip("/"), f"content {number}"


def _make_file(path: str, content: str) -> Item:
    return {"name": path, "content": content}


DEBIAN: Layer = {
    "items": [
        {"name": "usr/", "type": "5", "mode": 0o755},
        {"name": "usr/bin/", "type": "5", "mode": 0o755},
        {"name": "usr/lib/", "type": "5", "mode": 0o755},
        {"name": "bin", "type": "2", "link": "usr/bin"},
        {"name": "lib", "type": "2", "link": "usr/lib"},
        {"name": "usr/bin/bash", "content": "bash", "mode": 0o755},
        _make_file("etc/os-release", _RELEASE),
        _make_file(STATUS, _make_status(0)),
        _make_file("var/lib/dpkg/info/bash.list", "/.\n/usr/bin/bash\n"),
        _make_file("app/node_modules/base/package.json", '{"name": "base", "version": "1.0.0"}'),
        _make_file("app/data/a", "base"),
        _make_file("srv/kept", "base"),
    ],
    "pack": "none",
}

# An image without a distribution.
SCRATCH: Layer = {
    "items": [
        {"name": "bin", "type": "2", "link": "usr/bin"},
        {"name": "lib", "type": "2", "link": "usr/lib"},
        {"name": "usr/bin/app", "content": "app", "mode": 0o755},
        _make_file("app/node_modules/base/package.json", '{"name": "base", "version": "1.0.0"}'),
        _make_file("app/data/a", "base"),
        _make_file("srv/kept", "base"),
    ],
    "pack": "none",
}

BASES = {"debian": DEBIAN, "scratch": SCRATCH}
