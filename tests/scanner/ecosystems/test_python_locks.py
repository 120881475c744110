"""Reading the lockfiles of Python's installers, and eggs."""

import contextlib
import io
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples

from dockgate.scanner.ecosystems.python import ECOSYSTEM
from dockgate.scanner.ecosystems.python.lock import COUNT_LIMIT, LOCK_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

DATA = Path(__file__).parent / "data" / "python"
NEEDED = {"markdown-it-py 3.0.0", "mdurl 0.1.2", "toolz 1.0.0"}
CONDITIONAL = {"typing-extensions 4.15.0"}
EXTRA = {"idna 3.11"}
MADE = {
    "Pipfile.lock": NEEDED,
    "pdm.lock": NEEDED | CONDITIONAL,
    "poetry.lock": NEEDED | CONDITIONAL | EXTRA,
    "pylock.toml": NEEDED | CONDITIONAL,
    "requirements.txt": NEEDED | CONDITIONAL,
    "uv.lock": NEEDED | CONDITIONAL | EXTRA,
}


def read(name: str, content: str | bytes) -> Extract:
    return ECOSYSTEM.read(f"app/{name}", io.BytesIO(content.encode() if isinstance(content, str) else content))


def list_names(extract: Extract) -> list[str]:
    return [f"{package.source_name} {package.version}" for package in extract.packages]


@pytest.mark.parametrize("file_name", MADE)
def test_lockfiles_of_each_tool_name_their_packages(file_name: str) -> None:
    """The project itself, its own folder and its development group (iniconfig) are not there."""
    extract = read(file_name, (DATA / file_name).read_bytes())
    assert extract.is_lockfile
    assert not extract.owns
    assert sorted(list_names(extract)) == sorted(MADE[file_name])
    assert extract.packages[0].path == f"app/{file_name}"


@pytest.mark.parametrize(
    ("path", "is_wanted"),
    [
        ("app/requirements.txt", True),
        ("requirements.txt", True),
        ("app/my-requirements.txt", False),
        ("app/pylock.toml", True),
        ("app/pylock.prod.toml", True),
        ("app/pylock.a.b.toml", False),
        ("app/pyproject.toml", False),
        ("usr/lib/python3/dist-packages/a/requirements.txt", False),
        ("venv/lib/python3.13/site-packages/a/uv.lock", False),
        ("x/a-1.0-py3.13.egg", True),
        ("x/a.egg-link", False),
        ("x/a-1.0-py3-none-any.whl", True),
    ],
)
def test_only_files_of_the_ecosystem_are_read(path: str, *, is_wanted: bool) -> None:
    assert ECOSYSTEM.should_read(path, 1, 0o644, b"") is is_wanted


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Foo.Bar==1.0", ["foo-bar 1.0"]),
        ("foo == 1.0", ["foo 1.0"]),
        ("foo[a,b]==1.0 ; python_version >= '3'", ["foo 1.0"]),
        ("foo (==1.0)", ["foo 1.0"]),
        ("foo===1.0", ["foo 1.0"]),
        ("foo==1.0 --hash=sha256:00 \\\n    --hash=sha256:01", ["foo 1.0"]),
        ("foo==1.0\\\n  --hash=sha256:00", ["foo 1.0"]),
        ("foo==1!2.0+a.b # why", ["foo 1!2.0+a.b"]),
        ("\ufefffoo==1.0\r\nbar==2\r\n", ["foo 1.0", "bar 2"]),
        ("foo==1.0\nfoo==1.0\nfoo==2.0", ["foo 1.0", "foo 2.0"]),
        ("foo==1.*", ["foo "]),
        ("foo==1.0,!=1.0.1", ["foo "]),
        ("foo>=1.0", ["foo "]),
        ("Foo_Bar~=2.2 ; python_version < '3'", ["foo-bar "]),
        ("foo[a]", ["foo "]),
        ("foo", ["foo "]),
        ("foo-1.0-py3-none-any.whl", []),
        ("-c other.txt", []),
        ("# foo==1.0", []),
        ("-r other.txt", []),
        ("-e git+https://a/b@v==1#egg=foo", []),
        ("foo @ https://a/foo-1.0.whl?x==1", ["foo "]),
        ("./lib", []),
    ],
)
def test_lines_that_pin_a_version_are_requirements(line: str, expected: list[str]) -> None:
    assert list_names(read("requirements.txt", line)) == expected


def test_requirements_as_windows_writes_them_are_read() -> None:
    assert list_names(read("requirements.txt", "foo==1.0\r\n".encode("utf-16"))) == ["foo 1.0"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("Pipfile.lock", '{"default": {"a": {"git": "https://a/a", "ref": "0"}, "b": {"version": "===1"}}}', ["b 1"]),
        ("Pipfile.lock", '{"default": {"a": {"editable": true, "version": "==1"}}}', []),
        ("poetry.lock", '[[package]]\nname = "a"\nversion = "1"\ncategory = "dev"\n', []),
        ("poetry.lock", '[[package]]\nname = "a"\nversion = "1"\n', ["a 1"]),
        ("poetry.lock", '[[package]]\nname = "a"\nversion = "1"\ngroups = ["dev", "main"]\n', ["a 1"]),
        ("poetry.lock", '[[package]]\nname = "a"\nversion = "1"\n[package.source]\ntype = "git"\n', ["a 1"]),
        ("poetry.lock", '[[package]]\nname = "a"\nversion = "1"\n[package.source]\ntype = "file"\n', []),
        ("pdm.lock", '[[package]]\nname = "a"\nversion = "1"\n', ["a 1"]),
        ("pdm.lock", '[[package]]\nname = "a"\nversion = "1"\ngroups = ["test"]\n', []),
        ("pylock.toml", '[[packages]]\nname = "a"\nversion = "1"\nvcs = {url = "x"}\n', ["a 1"]),
        ("pylock.toml", '[[packages]]\nname = "a"\nversion = "1"\narchive = {path = "x"}\n', []),
        ("pylock.toml", '[[packages]]\nname = "a"\n', []),
        (
            "pylock.toml",
            'default-groups = ["prod"]\n[[packages]]\nname = "a"\nversion = "1"\n'
            "marker = \"'dev' in dependency_groups\"\n"
            '[[packages]]\nname = "b"\nversion = "1"\nmarker = "\'prod\' in dependency_groups"\n',
            ["b 1"],
        ),
        (
            "uv.lock",
            '[[package]]\nname = "p"\nversion = "1"\nsource = {editable = "."}\n'
            'dependencies = [{name = "a", version = "2"}]\n'
            '[[package]]\nname = "a"\nversion = "1"\n[[package]]\nname = "a"\nversion = "2"\n'
            'source = {git = "https://a/a"}\n',
            ["a 2"],
        ),
        ("uv.lock", '[[package]]\nname = "a"\nversion = "1"\nsource = {registry = "x"}\n', ["a 1"]),
    ],
    ids=range(15),
)
def test_packages_of_each_source_and_group_are_read(name: str, content: str, expected: list[str]) -> None:
    assert list_names(read(name, content)) == expected


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("Pipfile.lock", "", "not JSON"),
        ("Pipfile.lock", '{"default": []}', "not a table"),
        ("Pipfile.lock", '{"default": {"a": "1"}}', "not a table"),
        ("Pipfile.lock", '{"a":' * 100_000, "nested too deeply"),
        ("uv.lock", "a", "not TOML"),
        ("uv.lock", "package = 1", "not an array"),
        ("uv.lock", "package = [1]", "not a table"),
        ("uv.lock", "[[package]]\ndependencies = [1]", "not a table"),
        ("poetry.lock", "a = " + "[" * 100_000, "nested too deeply"),
        ("poetry.lock", "a." * 100 + "b = 1", "too many parts"),
        ("pdm.lock", "a = 1\nb = {" + "c." * 100 + 'd = "x"}', "too many parts"),
        ("poetry.lock", "#" * (LOCK_LIMIT + 1), f"no more than {LOCK_LIMIT}"),
        ("requirements.txt", "".join(f"a=={n}\n" for n in range(COUNT_LIMIT + 1)), "50001 distributions"),
        ("requirements.txt", "#" * (LOCK_LIMIT + 1), f"no more than {LOCK_LIMIT}"),
    ],
    ids=range(14),
)
def test_a_malformed_lockfile_is_unreadable(name: str, content: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(name, content)


@pytest.mark.parametrize("quotes", ["'''", '"""'])
def test_no_string_hides_a_key(quotes: str) -> None:
    with pytest.raises(UnreadableError, match="too many parts"):
        read("uv.lock", f"a = [{quotes}\n{quotes}, {{{'b.' * 100}c = {quotes}\n{quotes}}}]")
    with pytest.raises(UnreadableError, match="too many parts"):
        read("uv.lock", f"# {quotes}\n{'b.' * 100}c = 1")


def test_dots_in_strings_are_no_key() -> None:
    for quotes in ("'''", '"""'):
        assert read("uv.lock", f"a = {quotes}\n'" + "." * 100 + f'"\n{quotes} # ' + "." * 100) == Extract(
            is_lockfile=True
        )
    assert read("uv.lock", 'a = "' + "." * 100 + '\\""\nb = \'' + "." * 100 + "'\n") == Extract(is_lockfile=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("requirements.txt", "a" + " " * 1_000_000 + "==" + " " * 1_000_000 + "!"),
        ("requirements.txt", "a" * 1_000_000 + "==" + "1" * 1_000_000 + ","),
        ("requirements.txt", "a[" * 500_000 + "=="),
        ("uv.lock", '"\\' * 1_000_000 + "." * 100),
        ("uv.lock", "'" * 1_000_000 + "." * 100),
        ("uv.lock", "'" * 1_000_001),
        ("uv.lock", '"' * 1_000_001),
        ("uv.lock", "'\n" * 1_000_000),
        ("uv.lock", ("a." * 30 + "b = 1\n") * 5_000),
        ("uv.lock", '[[package]]\nname = "a"\ndependencies = [{name = "a"}]\n' * 20_000),
    ],
    ids=range(10),
)
def test_a_hostile_lockfile_takes_little_time(name: str, content: str) -> None:
    before = time.process_time()
    with contextlib.suppress(UnreadableError):
        read(name, content)
    assert time.process_time() - before < 4


def test_an_egg_names_its_distribution() -> None:
    extract = read("own-1.0-py3.13.egg", (DATA / "own.egg").read_bytes())
    (package,) = extract.packages
    assert (package.purl, package.path) == ("pkg:pypi/own@1.0", "app/own-1.0-py3.13.egg!/EGG-INFO/PKG-INFO")
    assert extract.is_self_contained


def test_file_named_egg_without_archive_is_ignored() -> None:
    assert read("chicken.egg", '((version "1.0"))') == Extract()


def test_an_egg_without_metadata_is_unreadable() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("x/EGG-INFO/PKG-INFO", "Name: a\nVersion: 1\n")
    with pytest.raises(UnreadableError, match="without EGG-INFO/PKG-INFO"):
        read("a.egg", content.getvalue())


@settings(max_examples=scale_examples(150), deadline=None)
@given(
    st.sampled_from([*MADE, "own.egg"]),
    st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6)), min_size=1, max_size=6),
)
def test_a_damaged_file_is_read_or_unreadable(file_name: str, edits: list[tuple[float, bytes]]) -> None:
    content = bytearray((DATA / file_name).read_bytes())
    for where, new in edits:
        at = int(where * len(content))
        content[at : at + len(new)] = new
    with contextlib.suppress(UnreadableError):
        read(file_name, bytes(content))
