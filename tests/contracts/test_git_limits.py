"""What git may cost the server: memory, output that is read, and objects that a push may hold."""

import asyncio
import hashlib
import os
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

import pytest

from dockgate.delivery.sources.git import GitHost, run_http_backend
from dockgate.delivery.sources.git_files import GitFiles
from dockgate.delivery.sources.git_run import MAX_MEMORY, MAX_OUTPUT, run
from dockgate.delivery.sources.pre_receive import MAX_COMMIT, MAX_REFERENCES, MAX_TREE
from dockgate.shared.errors import DiskFullError, NotFoundError, TooLargeError

pytestmark = pytest.mark.real

NONE = "0" * 40
COMMIT, TREE = 1, 2
"""types of objects in packs (gitformat-pack(5))"""
PERSON = b"Ada <ada@example.org> 1700000000 +0000"
EMPTY_TREE = hashlib.sha1(b"tree 0\0", usedforsecurity=False).hexdigest()


class Bare:
    """A repository of the host, in which a test makes objects without a push."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = GitHost(folder)
        self.host.create("web")
        self.path = folder / "web.git"

    def write_object(self, kind: str, content: bytes) -> str:
        command = ["git", "-C", str(self.path), "hash-object", "-t", kind, "-w", "--stdin", "--literally"]
        return subprocess.run(command, input=content, stdout=subprocess.PIPE, check=True).stdout.decode().strip()

    def commit(self, tree: str, message: bytes = b"Change") -> str:
        head = b"tree %s\nauthor %s\ncommitter %s\n\n" % (tree.encode(), PERSON, PERSON)
        return self.write_object("commit", head + message)

    def write_claim(self, size: int) -> str:
        """A blob that claims to have `size` bytes."""
        blob = hashlib.sha1(b"%d" % size, usedforsecurity=False).hexdigest()
        file = self.path / "objects" / blob[:2] / blob[2:]
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(zlib.compress(b"blob %d\0a" % size))
        return blob

    def make_bomb(self) -> str:
        """A commit with 10^9 files."""
        tree = self.write_folder("100644", self.write_object("blob", b"x"))
        for _ in range(8):
            tree = self.write_folder("40000", tree)
        return self.commit(tree)

    def write_folder(self, mode: str, entry: str) -> str:
        return self.write_object(
            "tree", b"".join(b"%s %d\0" % (mode.encode(), n) + bytes.fromhex(entry) for n in range(10))
        )


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    return Bare(tmp_path / "git")


def push(folder: Path, new: str, pack: bytes, ref: str = "refs/heads/main", old: str = NONE) -> str:
    """git's answer to a push of a pack."""

    async def answer(body: bytes) -> bytes:
        headers = {"content-type": "application/x-git-receive-pack-request"}
        with tempfile.TemporaryFile() as file:
            file.write(body)
            file.seek(0)
            _, _, chunks = await run_http_backend(folder, "web", "/git-receive-pack", "POST", "", headers, file)
            return b"".join([chunk async for chunk in chunks])

    line = f"{old} {new} {ref}\0report-status side-band-64k".encode()
    return asyncio.run(answer(b"%04x" % (len(line) + 4) + line + b"0000" + pack)).decode(errors="replace")


def pack_of(*objects: tuple[int, int, bytes]) -> bytes:
    """A pack of objects: type, size that the pack claims, content."""
    pack = b"PACK" + struct.pack(">II", 2, len(objects))
    for kind, size, content in objects:
        head, remaining_size = (kind << 4) | (size & 15), size >> 4
        while remaining_size:
            pack += bytes([head | 128])
            head, remaining_size = remaining_size & 127, remaining_size >> 7
        pack += bytes([head]) + zlib.compress(content)
    return pack + hashlib.sha1(pack, usedforsecurity=False).digest()


def pack_objects(source: Bare, new: str) -> bytes:
    command = ["git", "-C", str(source.path), "pack-objects", "--quiet", "--stdout", "--revs"]
    return subprocess.run(command, input=f"{new}\n".encode(), stdout=subprocess.PIPE, check=True).stdout


def make_large_commit(source: Bare) -> str:
    return source.commit(source.write_object("tree", b""), b"a" * MAX_COMMIT)


def make_large_tag(source: Bare) -> str:
    commit = source.commit(source.write_object("tree", b""))
    return source.write_object(
        "tag", b"object %s\ntype commit\ntag v1\ntagger %s\n\n" % (commit.encode(), PERSON) + b"a" * MAX_COMMIT
    )


def make_large_tree(source: Bare) -> str:
    blob = bytes.fromhex(source.write_object("blob", b"x"))
    names = (b"%06d" % number + b"a" * 4000 for number in range(MAX_TREE // 4000))
    return source.commit(source.write_object("tree", b"".join(b"100644 " + name + b"\0" + blob for name in names)))


@pytest.mark.parametrize(
    ("make", "ref", "refusal"),
    [
        (make_large_commit, "refs/heads/main", "dockgate: the commit {} has"),
        (make_large_commit, "refs/other/main", "dockgate: the commit {} has"),
        (make_large_tag, "refs/tags/v1", "dockgate: the tag {} has"),
        (make_large_tree, "refs/heads/main", "dockgate: the tree "),
        (Bare.make_bomb, "refs/heads/main", "dockgate: the commit {} has more than the 500000 files and folders"),
    ],
)
def test_a_push_is_refused_whose_objects_take_much_to_read(
    bare: Bare, tmp_path: Path, make: object, ref: str, refusal: str
) -> None:
    assert callable(make)
    source = Bare(tmp_path / "source")
    new = make(source)
    answer = push(bare.folder, new, pack_objects(source, new), ref)
    assert refusal.format(new) in answer
    assert "pre-receive hook declined" in answer
    assert bare.host.list_references("web") == {}
    with pytest.raises(NotFoundError):
        bare.host.get_commit("web", new)
    honest = source.commit(source.write_folder("100644", source.write_object("blob", b"x")), b"a" * (MAX_COMMIT - 1000))
    assert "ok refs/heads/main" in push(bare.folder, honest, pack_objects(source, honest))
    assert bare.host.list_heads("web") == {"main": honest}


def test_an_object_that_claims_more_than_gits_memory_is_refused(bare: Bare) -> None:
    answer = push(bare.folder, "1" * 40, pack_of((COMMIT, 2 * MAX_MEMORY, b"a"), (TREE, 0, b"")))
    assert "Out of memory" in answer
    assert bare.host.list_references("web") == {}


def test_references_that_take_much_to_list_are_refused_and_can_be_deleted(bare: Bare, tmp_path: Path) -> None:
    source = Bare(tmp_path / "source")
    first, second = (source.commit(source.write_object("tree", b""), text) for text in (b"1", b"2"))
    push(bare.folder, first, pack_objects(source, first))
    tail = "/".join(["x" * 200] * 4)
    names = [f"refs/tags/{number:06}/{tail}" for number in range(MAX_REFERENCES // 850)]
    (bare.path / "packed-refs").write_text("".join(f"{first} {name}\n" for name in names))
    assert "more references than fit" in push(bare.folder, second, pack_objects(source, second), "refs/heads/other")
    assert len(bare.host.list_references("web")) == len(names) + 1
    assert f"ok {names[0]}" in push(bare.folder, NONE, b"", names[0], first)


def test_git_output_is_read_up_to_a_limit(bare: Bare) -> None:
    log = ("-C", str(bare.path), "log", "--format=%B", bare.commit(bare.write_object("tree", b""), b"a" * 100_000))
    with pytest.raises(TooLargeError, match="git log wrote more than 50000 bytes"):
        run(*log, max_output=50_000)
    assert len(run(*log)) == 100_001
    assert MAX_OUTPUT < MAX_MEMORY


def test_the_difference_of_files_that_exceed_gits_memory_is_refused_as_too_large(bare: Bare) -> None:
    commit = bare.commit(bare.write_folder("100644", bare.write_claim(3 * MAX_MEMORY)))
    with pytest.raises(TooLargeError, match="the difference is too large"):
        GitFiles(bare.folder).diff_commits("web", None, commit)


def test_a_tree_of_too_many_paths_is_not_archived(bare: Bare, tmp_path: Path) -> None:
    with pytest.raises(TooLargeError, match="more than 500000 files and folders"):
        bare.host.archive("web", bare.make_bomb(), tmp_path / "source.tar")
    assert not (tmp_path / "source.tar").exists()


def test_git_is_ended_while_it_works_when_the_room_ends(tmp_path: Path) -> None:
    """git waits here for a file that is never written."""
    os.mkfifo(tmp_path / "pipe")

    def check() -> None:
        raise DiskFullError("full")

    with pytest.raises(DiskFullError):
        run("hash-object", str(tmp_path / "pipe"), check=check)
