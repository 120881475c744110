"""Reading Composer's files, and how its versions compare."""

import io
import json
import random
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.scanner.ecosystems.orders import compare_versions, read_statements

from dockgate.scanner.ecosystems.php import ECOSYSTEM, FILE_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UncomparableError, UnreadableError, UsageError
from dockgate.shared.purl import Purl

DATA = Path(__file__).parent / "data" / "php"
PATH = "srv/app/libraries/composer/installed.json"

INSTALLED = (DATA / "installed.json").read_bytes()
LOCK = (DATA / "composer.lock").read_bytes()


def read(content: str | bytes | object, path: str = PATH) -> Extract:
    raw = (
        content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
    )
    return ECOSYSTEM.read(path, io.BytesIO(raw))


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        ("srv/vendor/composer/installed.json", True),
        ("srv/libraries/composer/installed.json", True),
        ("composer/installed.json", True),
        ("srv/vendor/composer/installed.php", False),
        ("srv/vendor/other/installed.json", False),
        ("srv/mycomposer/installed.json", False),
        ("srv/composer.lock", True),
        ("composer.lock", True),
        ("srv/mycomposer.lock", False),
        ("srv/composer.json", False),
        ("srv/vendor/composer", True),
        ("usr/bin/composer", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_installed_packages_own_their_folders() -> None:
    extract = read(INSTALLED)
    assert [(package.name, package.source_name, package.version, package.purl) for package in extract.packages] == [
        ("acme/Log-Fixture", "acme/log-fixture", "v2.10.1", "pkg:composer/acme/log-fixture@v2.10.1"),
        ("acme/branch-fixture", "acme/branch-fixture", "1.x-dev", "pkg:composer/acme/branch-fixture@1.x-dev"),
        ("acme/dev-fixture", "acme/dev-fixture", "0.4.0", "pkg:composer/acme/dev-fixture@0.4.0"),
        ("acme/meta-fixture", "acme/meta-fixture", "3.0.0-beta2", "pkg:composer/acme/meta-fixture@3.0.0-beta2"),
    ]
    assert {package.ecosystem for package in extract.packages} == {"Packagist"}
    assert extract.owns == {
        "pkg:composer/acme/log-fixture@v2.10.1": ("srv/app/libraries/acme/Log-Fixture/",),
        "pkg:composer/acme/branch-fixture@1.x-dev": ("srv/app/libraries/acme/branch-fixture/",),
        "pkg:composer/acme/dev-fixture@0.4.0": ("srv/app/libraries/acme/dev-fixture/",),
    }
    assert not extract.is_lockfile
    assert not extract.unread_parts


def test_a_lockfile_leaves_out_what_is_for_development() -> None:
    extract = read(LOCK, "srv/app/composer.lock")
    assert [package.source_name for package in extract.packages] == [
        "acme/log-fixture",
        "acme/branch-fixture",
        "acme/meta-fixture",
    ]
    assert extract.is_lockfile
    assert not extract.owns


def test_composer_1_wrote_a_bare_list() -> None:
    extract = read([{"name": "acme/log", "version": "1.0.0", "version_normalized": "1.0.0.0", "type": "library"}])
    assert [package.purl for package in extract.packages] == ["pkg:composer/acme/log@1.0.0"]
    assert extract.owns == {"pkg:composer/acme/log@1.0.0": ("srv/app/libraries/acme/log/",)}


@pytest.mark.parametrize(
    ("arguments", "owned_path"),
    [
        ("../acme/log/", "srv/app/libraries/acme/log/"),
        ("../../web/modules/./log", "srv/app/web/modules/log/"),
        ("/opt//log", "opt/log/"),
        ("../../../../../../../etc/log", "etc/log/"),
        ("..", ""),
        ("../..", ""),
        (".", ""),
        ("/", ""),
        ("", ""),
        ("../a\0b", ""),
        (None, ""),
        (7, ""),
    ],
)
def test_no_package_owns_all_of_the_vendor_folder(arguments: object, owned_path: str) -> None:
    extract = read({"packages": [{"name": "acme/log", "version": "1", "install-path": arguments}]})
    assert extract.owns == ({"pkg:composer/acme/log@1": (owned_path,)} if owned_path else {})


@pytest.mark.parametrize(
    ("entry", "where"),
    [
        ({"name": "acme/log"}, "acme/log"),
        ({"name": "acme/log", "version": 1}, "acme/log"),
        ({"name": "acme/log", "version": ""}, "acme/log"),
        ({"version": "1"}, "packages/1"),
        ({"name": "", "version": "1"}, "packages/1"),
        ("acme/log", "packages/1"),
        (None, "packages/1"),
    ],
)
def test_an_entry_that_names_no_package_is_an_unread_part(entry: object, where: str) -> None:
    extract = read({"packages": [{"name": "acme/other", "version": "2"}, entry]})
    assert [package.name for package in extract.packages] == ["acme/other"]
    assert extract.unread_parts == ((where, "it has no name and version"),)


@pytest.mark.parametrize(
    ("content", "path", "reason"),
    [
        ("", PATH, "not JSON"),
        ("{", PATH, "not JSON"),
        ("[" * 200_000, PATH, "nested too deeply"),
        ("{}", PATH, "no list of packages"),
        ("7", PATH, "no list of packages"),
        ('{"packages": {"a": 1}}', PATH, "no list of packages"),
        ("[]", "srv/composer.lock", "no list of packages"),
        (b" " * (FILE_LIMIT + 1), PATH, f"no more than {FILE_LIMIT}"),
    ],
    ids=range(8),
)
def test_a_malformed_file_is_unreadable(content: str | bytes, path: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content, path)


def test_empty_installed_json_is_read() -> None:
    assert read('{"packages": [], "dev": true, "dev-package-names": []}') == Extract()
    assert read("{", "srv/vendor/composer") == Extract()


def test_package_url_becomes_a_package() -> None:
    package = ECOSYSTEM.build_from_purl(Purl("composer", "Symfony", "HTTP-kernel", "v6.1.0"), None)
    assert (package.source_name, package.source_version) == ("symfony/http-kernel", "v6.1.0")
    assert package.purl == "pkg:composer/symfony/http-kernel@v6.1.0"
    with pytest.raises(UsageError, match="no version"):
        ECOSYSTEM.build_from_purl(Purl("composer", "a", "b"), None)
    with pytest.raises(UsageError, match="no vendor"):
        ECOSYSTEM.build_from_purl(Purl("composer", "", "b", "1"), None)


@settings(deadline=None, max_examples=scale_examples(300))
@given(
    content=st.sampled_from([INSTALLED, LOCK]),
    cut=st.integers(0, 3000),
    splice=st.binary(max_size=8) | st.sampled_from([b"null", b"[]", b"{}", b'"', b"1e999", b"NaN", b'"\\u0000"', b","]),
    lock=st.booleans(),
)
def test_damaged_files_are_read_or_unreadable(content: bytes, cut: int, splice: bytes, *, lock: bool) -> None:
    with suppress(UnreadableError):
        extract = read(content[:cut] + splice + content[cut + len(splice) :], "a/composer.lock" if lock else PATH)
        assert all(package.name and package.version for package in extract.packages)


@pytest.mark.parametrize("version", ["", " ", "\ud800", "1\0.2", "⁵", "１.0", "1" * 10_000 + "x", "0-" * 5_000])
def test_invalid_versions_are_refused(version: str) -> None:
    with pytest.raises(UncomparableError):
        ECOSYSTEM.make_version_key(version)


ORACLE = """
require 'Composer/Semver/autoload.php';
$parser = new Composer\\Semver\\VersionParser();
while (($line = fgets(STDIN)) !== false) {
    [$a, $b] = explode("\\t", substr($line, 0, -1));
    try {
        $a = $parser->normalize($a);
        $b = $parser->normalize($b);
    } catch (UnexpectedValueException $error) {
        $a = 'dev-';
    }
    if (str_starts_with($a, 'dev-') || str_starts_with($b, 'dev-')) {
        echo "?\\n";
    } elseif (Composer\\Semver\\Comparator::lessThan($a, $b)) {
        echo "<\\n";
    } else {
        echo Composer\\Semver\\Comparator::equalTo($a, $b) ? "=\\n" : ">\\n";
    }
}
"""


def compare_with_composer(pairs: list[tuple[str, str]]) -> list[str]:
    """ "?" for what is refused, and for branches: the order of those is that of nothing."""
    command = ["php", "-d", "include_path=/usr/share/php", "-r", ORACLE]
    lines = "".join(f"{a}\t{b}\n" for a, b in pairs)
    return subprocess.run(command, input=lines, capture_output=True, text=True, check=True).stdout.splitlines()


def make_version(chance: random.Random) -> str:
    pick = chance.choice
    numbers = ("0", "1", "2", "10", "01", "2010", "99999", "9223372036854775808")
    dates = ("2010-01-02", "20100102", "2010.01.02", "201001021530", "2010-10-20.203040", "2010-01-02.5")
    text = pick(("", "", "v", "V")) + ".".join(pick(numbers) for _ in range(chance.randint(1, 4)))
    if chance.random() < 0.2:
        text = pick(dates)
    elif chance.random() < 0.1:
        text += pick((".x", ".*", ".X.x", ".1.1.1", ".100000", "-x", ".foo"))
    text += pick(("", "-", "_", ".")) + pick(
        ("alpha", "beta", "RC", "rc", "a", "b", "p", "pl", "patch", "stable", "Stable")
    )
    text = text if chance.random() < 0.7 else text.rstrip("abcdefghijklmnoprstuwyzCSR")
    text += pick(("", "", "1", "2", ".1", "-2", "10", "1.2", "1-3", "0", "00")) if text[-1:].isalpha() else ""
    text += pick(("", "", "", "", "-dev", ".dev", "dev", "-DEV"))
    text += pick(("+build", "@dev", "@RC", " as 1.2", "#abc", " ", "+", "é")) if chance.random() < 0.1 else ""
    return text if chance.random() < 0.97 else pick(("dev-main", "master", "trunk", "x-dev", "", "DEV-a"))


@pytest.mark.real
@pytest.mark.parametrize("count", [4_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_version_order_agrees_with_composer(count: int) -> None:
    chance = random.Random(7)  # noqa: S311 a repeatable sample
    pairs = [(make_version(chance), make_version(chance)) for _ in range(count)]
    statements = [line for line in read_statements("packagist.txt") if len(line) == 3]
    pairs += [(line[0], line[2]) for line in statements] + [
        (line[0], line[0]) for line in read_statements("packagist.txt")
    ]
    real = sorted({line[0] for line in statements})
    pairs += [(chance.choice(real), chance.choice(real)) for _ in range(count // 4)]
    output = compare_with_composer(pairs)
    assert [
        (pair, sign) for pair, sign in zip(pairs, output, strict=True) if compare_versions(ECOSYSTEM, *pair) != sign
    ] == []
    assert output.count("?") < len(output) // 2
