"""Reading RubyGems' specifications and Bundler's lockfiles, and how gems' versions compare."""

import io
import random
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.scanner.ecosystems.orders import compare_versions, read_statements

from dockgate.scanner.ecosystems.ruby import ECOSYSTEM, HEADER_LIMIT, LOCK_LIMIT, VERSION_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UncomparableError, UnreadableError, UsageError
from dockgate.shared.purl import Purl

DATA = Path(__file__).parent / "data" / "ruby"
HOME = "usr/local/bundle/"
PATH = f"{HOME}specifications/x-1.gemspec"

SPECIFICATION = (DATA / "native_fixture-0.10.3-x86_64-linux.gemspec").read_bytes()
LOCK = (DATA / "Gemfile.lock").read_bytes()


def read(content: str | bytes, path: str = PATH) -> Extract:
    return ECOSYSTEM.read(path, io.BytesIO(content.encode() if isinstance(content, str) else content))


def read_fixture(name: str) -> Extract:
    return read((DATA / name).read_bytes(), f"{HOME}specifications/{name}")


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        ("usr/local/bundle/specifications/rake-13.2.1.gemspec", True),
        ("specifications/rake-13.2.1.gemspec", True),
        ("usr/lib/ruby/gems/3.3.0/specifications/default/json-2.9.1.gemspec", True),
        ("usr/local/bundle/gems/rake-13.2.1/rake.gemspec", False),
        ("usr/local/bundle/bundler/gems/rails-0123456789ab/rails.gemspec", True),
        ("srv/vendor/bundle/ruby/3.3.0/bundler/gems/rails-0123456789ab/activerecord/activerecord.gemspec", True),
        ("usr/local/bundle/bundler/gems/rails-0123456789ab/a/b/c.gemspec", True),
        ("usr/local/bundle/bundler/gems/rails-0123456789ab/a/b/c/d.gemspec", False),
        ("usr/local/bundle/mybundler/gems/rails-0123456789ab/rails.gemspec", False),
        ("usr/local/bundle/specifications/default", False),
        ("usr/local/bundle/specifications/other/rake-13.2.1.gemspec", False),
        ("usr/local/bundle/my_specifications/rake-13.2.1.gemspec", False),
        ("usr/local/bundle/specifications", True),
        ("srv/Gemfile.lock", True),
        ("Gemfile.lock", True),
        ("srv/gems.locked", True),
        ("srv/Gemfile", False),
        ("srv/myGemfile.lock", False),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


def test_an_installed_gem_owns_its_folder() -> None:
    extract = read_fixture("net-http-fixture-1.2.0.rc1.gemspec")
    (package,) = extract.packages
    assert (package.name, package.version, package.ecosystem) == ("net-http-fixture", "1.2.0.rc1", "RubyGems")
    assert (package.source_name, package.source_version) == ("net-http-fixture", "1.2.0.rc1")
    assert package.purl == "pkg:gem/net-http-fixture@1.2.0.rc1"
    assert extract.owns == {package.purl: ("usr/local/bundle/gems/net-http-fixture-1.2.0.rc1/",)}
    assert not extract.is_lockfile


def test_a_gem_for_one_platform_says_so() -> None:
    extract = read_fixture("native_fixture-0.10.3-x86_64-linux.gemspec")
    (package,) = extract.packages
    assert package.purl == "pkg:gem/native_fixture@0.10.3?platform=x86_64-linux"
    assert extract.owns == {package.purl: ("usr/local/bundle/gems/native_fixture-0.10.3-x86_64-linux/",)}


def test_a_default_gem_owns_nothing() -> None:
    name = "ostruct-0.6.0.gemspec"
    extract = read((DATA / name).read_bytes(), f"usr/lib/ruby/gems/3.3.0/specifications/default/{name}")
    assert [package.purl for package in extract.packages] == ["pkg:gem/ostruct@0.6.0"]
    assert not extract.owns


def test_a_gem_from_git_owns_its_checkout() -> None:
    checkout = f"{HOME}bundler/gems/net-http-6301be8ac546"
    path = f"{checkout}/net-http-fixture.gemspec"
    extract = read((DATA / "git" / "net-http-fixture.gemspec").read_bytes(), path)
    assert [(package.purl, package.path) for package in extract.packages] == [
        ("pkg:gem/net-http-fixture@1.2.0.rc1", path)
    ]
    assert extract.owns == {"pkg:gem/net-http-fixture@1.2.0.rc1": (f"{checkout}/",)}
    inner = read(SPECIFICATION, f"{checkout}/native/native_fixture.gemspec")
    assert list(inner.owns.values()) == [(f"{checkout}/native/",)]


def test_the_specification_of_an_author_that_bundler_left_as_it_is_is_unreadable() -> None:
    content = 'Gem::Specification.new do |s|\n  s.name = "a"\n  s.version = A::VERSION\nend\n'
    with pytest.raises(UnreadableError, match="it has no version"):
        read(content, f"{HOME}bundler/gems/a-6301be8ac546/a.gemspec")


@pytest.mark.parametrize(
    "content",
    [
        's.name = "a-b".freeze\n  s.version = "1.0".freeze\n',
        "s.name = %q{a-b}\n\ts.version = '1.0'\n",
        's.version = Gem::Version.new("1.0")\nspec.name="a-b"\n',
        '# -*- encoding: utf-8 -*-\n# stub: a-b 1.0 ruby lib\0ext\n# stub: ext/a.so\n\n  s.name = "a-b"\n',
        "# -*- encoding: utf-8 -*-\n# stub: a-b 1.0 ruby lib\n\n  s.version = Other::VERSION\n",
    ],
)
def test_every_way_to_write_a_specification_is_read(content: str) -> None:
    extract = read(content)
    assert [package.purl for package in extract.packages] == ["pkg:gem/a-b@1.0"]
    assert extract.owns == {"pkg:gem/a-b@1.0": (f"{HOME}gems/a-b-1.0/",)}


def test_only_the_second_line_is_a_stub() -> None:
    content = '# -*- encoding: utf-8 -*-\n#\n# stub: a 9.9 ruby lib\ns.name = "a"\ns.version = "1.0"\n'
    assert read(content).packages[0].version == "1.0"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "it has no name"),
        ('s.name = "a"\ns.version = A::VERSION', "it has no version"),
        ('s.version = "1"', "it has no name"),
        ('s.name = "ra" + "ck"\ns.version = "1"', "it has no name"),
        ('s.name = "rack"\ns.version = "1.0.0".succ', "it has no version"),
        ('s.name = "safe"\ns.version = "1"\ns.name = "rack"', "it assigns two values to name"),
        (b'# x\n# stub: a 1.0 ruby lib\ns.name = "b"', "its stub names a 1.0 ruby, but its specification b"),
        (
            b'# x\n# stub: a 1.0 ruby lib\ns.name = "a"\ns.version = "2"',
            "its stub names a 1.0 ruby, but its specification a 2",
        ),
        ('s.name = "../../a"\ns.version = "1"', "not a legal gem name"),
        ('s.name = "a\\x00"\ns.version = "1"', "no name"),
        (b"# x\n# stub: a\0 1.0 ruby lib\n", "not a legal gem name"),
        ("\n" * HEADER_LIMIT + 's.name = "a"\ns.version = "1"', "it has no name within its first"),
    ],
)
def test_a_specification_that_names_no_gem_is_unreadable(content: str | bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content)


def test_a_lockfile_does_not_count_gems_of_the_project_itself() -> None:
    extract = read(LOCK, "srv/Gemfile.lock")
    assert [package.purl for package in extract.packages] == ["pkg:gem/rake@13.2.1", "pkg:gem/webrick@1.9.1"]
    assert extract.is_lockfile
    assert not extract.owns


def test_a_lockfile_has_a_gem_for_each_platform_and_dependencies_are_no_gems() -> None:
    content = (
        "GIT\r\n  remote: https://example.org/a.git\n  specs:\n    a (1.0)\n\n"
        "GEM\n  remote: https://example.org/\n  specs:\n    nokogiri (1.18.8-x86_64-linux-gnu)\n      racc (~> 1.4)\n"
        "    nokogiri (1.18.8)\n    nokogiri (1.18.8)\n\nGEM\n  specs:\n    b (2.0.pre.1)\n\n"
        "CHECKSUMS\n    c (1.0) sha256=00\n"
    )
    assert [package.purl for package in read(content, "gems.locked").packages] == [
        "pkg:gem/a@1.0",
        "pkg:gem/nokogiri@1.18.8?platform=x86_64-linux-gnu",
        "pkg:gem/nokogiri@1.18.8",
        "pkg:gem/b@2.0.pre.1",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("GEM\n  specs:\n    a\n", "a gem has no version"),
        ("GEM\n  specs:\n    a (\n", "a gem has no version"),
        ("GEM\n  specs:\n    (1.0)\n", "a gem has no version"),
        ("GEM\n<<<<<<< HEAD\n", "unresolved merge"),
        (b" " * (LOCK_LIMIT + 1), f"no more than {LOCK_LIMIT}"),
    ],
)
def test_a_lockfile_that_hides_a_gem_is_unreadable(content: str | bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(content, "srv/Gemfile.lock")


def test_file_instead_of_the_folder_is_ignored() -> None:
    assert read("GEM", f"{HOME}specifications") == Extract()


def test_package_url_becomes_a_package() -> None:
    package = ECOSYSTEM.build_from_purl(Purl("gem", "", "rails", "7.1.0", {"platform": "java"}), None)
    assert (package.source_name, package.source_version, package.ecosystem) == ("rails", "7.1.0", "RubyGems")
    assert package.purl == "pkg:gem/rails@7.1.0?platform=java"


@pytest.mark.parametrize(
    ("purl_version", "version", "platform"),
    [
        ("1.13.6-x86_64-linux", "1.13.6", "x86_64-linux"),
        ("1.13.6-x86_64-linux-musl", "1.13.6", "x86_64-linux-musl"),
        ("1.13.6-java", "1.13.6", "java"),
        ("1.13.6-arm64-darwin-22", "1.13.6", "arm64-darwin-22"),
        ("1.13.6-x64-mingw-ucrt", "1.13.6", "x64-mingw-ucrt"),
        ("1.13.6-rc1", "1.13.6-rc1", ""),
        ("1.13.6", "1.13.6", ""),
    ],
)
def test_a_package_url_may_have_the_platform_in_its_version(purl_version: str, version: str, platform: str) -> None:
    package = ECOSYSTEM.build_from_purl(Purl("gem", "", "nokogiri", purl_version, {}), None)
    assert package.version == package.source_version == version
    assert package.purl.endswith(f"@{version}?platform={platform}" if platform else f"@{version}")
    with pytest.raises(UsageError, match="no version"):
        ECOSYSTEM.build_from_purl(Purl("gem", "", "rails"), None)


@settings(deadline=None, max_examples=scale_examples(300))
@given(
    content=st.sampled_from([SPECIFICATION, LOCK]),
    cut=st.integers(0, 700),
    splice=st.binary(max_size=12) | st.sampled_from([b"\n# stub: ", b'"', b"GEM\n", b" (", b"    ", b'.name = "']),
    lock=st.booleans(),
)
def test_damaged_files_are_read_or_unreadable(content: bytes, cut: int, splice: bytes, *, lock: bool) -> None:
    with suppress(UnreadableError):
        extract = read(content[:cut] + splice + content[cut + len(splice) :], "a/Gemfile.lock" if lock else PATH)
        assert all(package.name and package.version for package in extract.packages)


@pytest.mark.parametrize("version", ["", " ", "\t", "\ud800", "é", "1\0", "⁵", "１.0", "0" * VERSION_LIMIT + "1"])
def test_invalid_versions_are_refused(version: str) -> None:
    with pytest.raises(UncomparableError):
        ECOSYSTEM.make_version_key(version)


ORACLE = """
$stdin.each_line(chomp: true) do |line|
  a, b = line.split("\\t").map { |version| Gem::Version.new(version) }
  puts({-1 => "<", 0 => "=", 1 => ">"}[a <=> b])
rescue ArgumentError
  puts "?"
end
"""


def compare_with_gem(pairs: list[tuple[str, str]]) -> list[str]:
    command = ["ruby", "-Eutf-8", "-e", ORACLE]
    lines = "".join(f"{a}\t{b}\n" for a, b in pairs)
    return subprocess.run(command, input=lines, capture_output=True, text=True, check=True).stdout.splitlines()


def make_version(chance: random.Random) -> str:
    parts = ("0", "0", "1", "2", "10", "01", "00", "a", "b", "rc1", "pre", "a0", "0a", "1a0b", "beta2", "Z")
    start = chance.choice(("", "", "", "0.", "1.", "1.0.", "1.0.0."))
    odd = chance.choice(("-1", "-a.0.b", "-rc.1", "--1", "-", " ", "x", ".", " 1", "é", "+1"))
    version = start + ".".join(chance.choice(parts) for _ in range(chance.randint(1, 6)))
    return version + (odd if chance.random() < 0.15 else "")


@pytest.mark.real
@pytest.mark.parametrize("count", [4_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_version_order_agrees_with_rubygems(count: int) -> None:
    chance = random.Random(19)  # noqa: S311 a repeatable sample
    pairs = [(make_version(chance), make_version(chance)) for _ in range(count)]
    cases = [line for line in read_statements("rubygems.txt") if len(line) == 3]
    pairs += [(line[0], line[2]) for line in cases] + [(line[0], line[0]) for line in read_statements("rubygems.txt")]
    real = sorted({line[0] for line in cases})
    pairs += [(chance.choice(real), chance.choice(real)) for _ in range(count // 4)]
    output = compare_with_gem(pairs)
    assert [
        (pair, sign) for pair, sign in zip(pairs, output, strict=True) if compare_versions(ECOSYSTEM, *pair) != sign
    ] == []
    assert output.count("?") < len(output) // 2
