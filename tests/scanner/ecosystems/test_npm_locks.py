"""Reading the lockfiles of npm, Yarn, pnpm and Bun."""

import contextlib
import io
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples

from dockgate.scanner.ecosystems.npm import ECOSYSTEM
from dockgate.scanner.ecosystems.npm.lock import COUNT_LIMIT, LOCK_LIMIT
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

DATA = Path(__file__).parent / "data" / "npm"
MADE = {
    "package-lock-v1.json": "package-lock.json",
    "package-lock-v2.json": "npm-shrinkwrap.json",
    "package-lock-v3.json": "package-lock.json",
    "pnpm-lock-7.yaml": "pnpm-lock.yaml",
    "pnpm-lock-8.yaml": "pnpm-lock.yaml",
    "pnpm-lock-10.yaml": "pnpm-lock.yaml",
    "pnpm-lock-12.yaml": "pnpm-lock.yaml",
    "bun.lock": "bun.lock",
    "yarn-1.lock": "yarn.lock",
    "yarn-4.lock": "yarn.lock",
}
NEEDED = {"@sindresorhus/is 0.7.0", "is-number 6.0.0", "is-odd 3.0.1", "isarray 2.0.5", "noop2 2.0.0"}
DEVELOPMENT = {"is-buffer 1.1.6", "is-even 1.0.0", "is-number 3.0.0", "is-odd 0.1.2", "kind-of 3.2.2"}


def read(name: str, content: str | bytes) -> Extract:
    return ECOSYSTEM.read(f"app/{name}", io.BytesIO(content.encode() if isinstance(content, str) else content))


def list_names(extract: Extract) -> list[str]:
    return [f"{package.name} {package.version}" for package in extract.packages]


@pytest.mark.parametrize("file_name", MADE)
def test_lockfiles_of_each_tool_name_their_packages(file_name: str) -> None:
    """An alias is read as its package, the project's own folder is omitted; Yarn's files do not mark development."""
    extract = read(MADE[file_name], (DATA / file_name).read_bytes())
    assert extract.is_lockfile
    assert not extract.owns
    assert len(extract.packages) == len(list_names(extract))
    assert set(list_names(extract)) == (NEEDED | DEVELOPMENT if file_name.startswith("yarn") else NEEDED)
    assert extract.packages[0].path == f"app/{MADE[file_name]}"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("package-lock.json", '{"packages": {"node_modules/a": {"version": "1.0.0", "link": true}}}', []),
        ("package-lock.json", '{"packages": {"node_modules/a": {"resolved": "pkg/a", "link": true}}}', []),
        ("package-lock.json", '{"packages": {"node_modules/a": {"resolved": "file:a.tgz", "version": "1.0.0"}}}', []),
        (
            "package-lock.json",
            '{"packages": {"node_modules/a": {"resolved": "git+ssh://git@github.com/a/a.git#0", "version": "1.0.0"}}}',
            ["a 1.0.0"],
        ),
        (
            "package-lock.json",
            '{"packages": {"node_modules/a": {"version": "1.0.0", "devOptional": true}}}',
            ["a 1.0.0"],
        ),
        ("package-lock.json", '{"packages": {"x/node_modules/@s/a": {"version": "1.0.0"}}}', ["@s/a 1.0.0"]),
        ("package-lock.json", '{"dependencies": {"a": {"version": "github:a/a#0123456"}}}', []),
        (
            "package-lock.json",
            '{"dependencies": {"a": {"version": "1", "dependencies": {"b": {"version": "2"}}}}}',
            ["a 1", "b 2"],
        ),
        ("package-lock.json", "{}", []),
        ("yarn.lock", "", []),
        ("yarn.lock", '"a@git+https://github.com/a/a.git":\r\n  version "1.0.0"\r\n', ["a 1.0.0"]),
        ("yarn.lock", '"a@npm:@s/b@^1", "a@^2":\n  version "1.0.0"\n', ["@s/b 1.0.0"]),
        ("yarn.lock", '"a@^1":\n  "version" "1.0.0"\n  "resolved" "https://a.test/a.tgz"\n', ["a 1.0.0"]),
        ("yarn.lock", 'a@^1:\n  version: "1.0.0"\n', ["a 1.0.0"]),
        ("yarn.lock", 'a@^1:\n  ""\n  version "1.0.0"\n', ["a 1.0.0"]),
        ("yarn.lock", 'a@^1:\n  version "1.0.0"\n  dependencies:\n    version "9.9.9"\n', ["a 1.0.0"]),
        (
            "yarn.lock",
            '# y\n__metadata:\n  version: 8\n"a@patch:a":\n  version: 1.0.0\n  resolution: "a@patch:a@npm%3A1.0.0#x"\n',
            ["a 1.0.0"],
        ),
        (
            "pnpm-lock.yaml",
            "lockfileVersion: 5.3\npackages:\n  /@s/a/1.0.0_b@2.0.0+c@3:\n    dev: false\n",
            ["@s/a 1.0.0"],
        ),
        (
            "pnpm-lock.yaml",
            "lockfileVersion: '6.0'\npackages:\n  /@s/a@1.0.0(b@2.0.0)(c@3):\n    dev: false\n",
            ["@s/a 1.0.0"],
        ),
        (
            "pnpm-lock.yaml",
            "lockfileVersion: 5.4\npackages:\n  github.com/a/b/0123:\n    name: b\n    version: 1.0.0\n",
            ["b 1.0.0"],
        ),
        ("pnpm-lock.yaml", "lockfileVersion: '6.0'\npackages:\n  '@github.com/a/b/0123':\n    dev: false\n", []),
        (
            "pnpm-lock.yaml",
            "---\nimporters: {}\npackages: {}\nsnapshots: {}\n---\npackages:\n  a@1.0.0: {}\n",
            ["a 1.0.0"],
        ),
        (
            "pnpm-lock.yaml",
            "importers: {.: {dependencies: {a: {version: 1.0.0(b@2.0.0)}}}}\n"
            "packages: {a@1.0.0: {}, b@2.0.0: {}, c@3.0.0: {}}\n"
            "snapshots: {a@1.0.0(b@2.0.0): {dependencies: {b: 2.0.0}}, b@2.0.0: {}, c@3.0.0: {}}\n",
            ["a 1.0.0", "b 2.0.0"],
        ),
        (
            "bun.lock",
            '{"workspaces": {"": {}, "w": {"name": "w", "dependencies": {"a": "1"}}},\n'
            '"packages": {"a": ["a@1.0.0", "", {}], "w/a": ["a@2.0.0", ",}", {}],},}',
            ["a 2.0.0"],
        ),
        (
            "bun.lock",
            '{"workspaces": {"": {"dependencies": {"a": "x"}}}, "packages": {"a": ["a@github:a/a#0", {}]}}',
            [],
        ),
    ],
    ids=range(25),
)
def test_packages_of_each_lockfile_form_are_read(name: str, content: str, expected: list[str]) -> None:
    assert list_names(read(name, content)) == expected


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("package-lock.json", "", "not JSON"),
        ("package-lock.json", "[]", "not a JSON object"),
        ("package-lock.json", '{"packages": []}', "not a mapping"),
        ("package-lock.json", '{"dependencies": {"a": 1}}', "not a mapping"),
        ("package-lock.json", " " * (LOCK_LIMIT + 1), f"no more than {LOCK_LIMIT}"),
        ("yarn.lock", "<<<<<<< HEAD\n", "not a lockfile of Yarn"),
        ("yarn.lock", "a@1:\n\nb@1:\n", "no version"),
        ("yarn.lock", "a@1:\n", "no version"),
        ("yarn.lock", "".join(f'a@1:\n  version "{n}"\n' for n in range(COUNT_LIMIT + 1)), "50001 packages"),
        ("yarn.lock", "\n__metadata: [", "not YAML"),
        ("pnpm-lock.yaml", "a: &a [x]\nb: *a\n", "alias"),
        ("pnpm-lock.yaml", "[" * 100_000, "nest"),
        ("pnpm-lock.yaml", "- " * 100_000, "nested"),
        ("pnpm-lock.yaml", "{a: " * 100_000, "nested"),
        ("pnpm-lock.yaml", "[a, b]: c\n", "key"),
        ("pnpm-lock.yaml", "packages: 1\n", "not a mapping"),
        ("pnpm-lock.yaml", "a\n", "not a mapping"),
        ("pnpm-lock.yaml", "a: \0", "not YAML"),
        ("bun.lock", '{"packages": {"a": 1}}', "not a list"),
        ("bun.lock", '{"packages": {"a": [1]}}', "not a list"),
        ("bun.lock", "{" + '"\\' * 100_000, "not JSON"),
    ],
    ids=range(21),
)
def test_a_malformed_lockfile_is_unreadable(name: str, content: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(name, content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bun.lock", "," * 2_000_000),
        ("bun.lock", '"\\' * 1_000_000),
        ("bun.lock", ", " * 1_000_000),
        ("yarn.lock", '"' * 2_000_000 + ":"),
        ("pnpm-lock.yaml", "? " * 1_000_000),
        ("pnpm-lock.yaml", "&a " * 1_000_000),
        ("pnpm-lock.yaml", "- !!x\n" * 200_000),
    ],
    ids=range(7),
)
def test_a_hostile_lockfile_takes_little_time(name: str, content: str) -> None:
    before = time.process_time()
    with contextlib.suppress(UnreadableError):
        read(name, content)
    assert time.process_time() - before < 3


@settings(max_examples=scale_examples(250), deadline=None)
@given(
    st.sampled_from(sorted(MADE)), st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6)), min_size=1, max_size=6)
)
def test_a_damaged_lockfile_is_read_or_unreadable(file_name: str, edits: list[tuple[float, bytes]]) -> None:
    content = bytearray((DATA / file_name).read_bytes())
    for where, new in edits:
        at = int(where * len(content))
        content[at : at + len(new)] = new
    with contextlib.suppress(UnreadableError):
        read(MADE[file_name], bytes(content))
