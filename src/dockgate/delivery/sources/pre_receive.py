"""git's pre-receive hook (githooks(5)): refuse a push whose objects or trees take gigabytes to read.

git runs this file for each push, before any reference moves. It imports `os` and `sys` alone, which start quickly.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping

# Bytes of a commit or a tag.
MAX_COMMIT = 1 << 20
# Bytes of the list of one folder.
MAX_TREE = 4 << 20
# Files and folders in the tree of a branch.
MAX_PATHS = 500_000
# Paths that are counted in one push; trees beyond are counted when they are archived.
MAX_COUNTED = 10 * MAX_PATHS
# Bytes of the list of all references.
MAX_REFERENCES = 4 << 20
NO_OBJECT = "0" * 40

_SIZES = {"commit": MAX_COMMIT, "tag": MAX_COMMIT, "tree": MAX_TREE}


def main() -> int:
    """Check the pushed objects; exit 1 refuses the push."""
    updates = [line.split(" ", 2) for line in sys.stdin.read().splitlines()]
    new = [(commit, ref) for _, commit, ref in updates if commit != NO_OBJECT]
    refusal = _find_large_object() or _find_large_tree(commit for commit, ref in new if ref.startswith("refs/heads/"))
    refusal = refusal or _find_excess_references(ref for _, ref in new)
    if refusal:
        sys.stderr.write(f"dockgate: {refusal}\n")
    return 1 if refusal else 0


def _find_large_object() -> str | None:
    """Return why the push is refused if one of its objects is too large.

    The objects of the push are in a folder of their own, with the others as an alternate.
    """
    if "GIT_QUARANTINE_PATH" not in os.environ:
        return None
    own_environment = {name: value for name, value in os.environ.items() if name != "GIT_ALTERNATE_OBJECT_DIRECTORIES"}
    form = "--batch-check=%(objectname) %(objecttype) %(objectsize)"
    for line in _run_git(own_environment, "cat-file", "--batch-all-objects", "--unordered", form):
        name, kind, size = line.split()
        if int(size) > _SIZES.get(kind, sys.maxsize):
            return f"the {kind} {name} has {size} bytes, more than the {_SIZES[kind]} that are allowed."
    return None


def _find_large_tree(commits: Iterable[str]) -> str | None:
    """Return why the push is refused if a commit has too many files and folders."""
    count = 0
    for commit in dict.fromkeys(commits):
        for number, _ in enumerate(_run_git(os.environ, "ls-tree", "-r", "-t", "--format=.", commit), 1):
            if number > MAX_PATHS:
                return f"the commit {commit} has more than the {MAX_PATHS} files and folders that are allowed."
            count += 1
        if count > MAX_COUNTED:
            break
    return None


def _find_excess_references(new: Iterable[str]) -> str | None:
    """Return why the push is refused if the repository would have too many references."""
    lines = [*new]
    size = sum(len(line) + 42 for line in lines)
    for line in _run_git(os.environ, "for-each-ref", "--format=%(objectname) %(refname)") if lines else ():
        size += len(line)
        if size > MAX_REFERENCES:
            return f"the repository has more references than fit in {MAX_REFERENCES} bytes. Delete some."
    return None


def _run_git(environment: Mapping[str, str], *arguments: str) -> Iterator[str]:
    """The lines that git writes. Raises OSError when it fails; ends it when no more lines are wanted."""
    reading, writing = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writing, 1)]
    process = os.posix_spawnp("git", ["git", *arguments], environment, file_actions=actions)
    os.close(writing)
    with open(reading, encoding="utf-8", errors="replace", newline="\n") as lines:
        yield from lines
    if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
        raise OSError(f"git {arguments[0]} failed")


if __name__ == "__main__":
    sys.exit(main())
