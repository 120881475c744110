"""The files and commits of the server's git repositories."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Query

from dockgate.delivery.repository_files import TreeEntry
from dockgate.delivery.source_ports import Commit
from dockgate.shared.cursors import LARGEST_PAGE, PAGE
from dockgate.shared.errors import UsageError
from dockgate.shared.wording import shorten_text
from dockgate.web.api import ReadCaller, SourceDependency, make_router

# Characters of a commit's message in a list: git allows megabytes.
MAX_MESSAGE = 1000

router = make_router()


@dataclass(frozen=True, slots=True)
class CommitView:
    """A commit with what it changes, or what differs from `against`, as a unified difference.

    `branch` is the first branch by name that contains it.
    """

    commit: Commit
    branch: str | None
    against: str | None
    difference: str


@router.get("/repositories/{name}/tree")
def list_tree(
    name: str, caller: ReadCaller, sources: SourceDependency, at: str = "main", path: str = ""
) -> list[TreeEntry]:
    """List the entries of a folder of a branch, tag or commit, folders first."""
    return list(sources.files.list(name, at, path))


@router.get("/repositories/{name}/commits")
def list_commits(
    name: str,
    caller: ReadCaller,
    sources: SourceDependency,
    at: str = "main",
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
    after: str | None = None,
) -> list[Commit]:
    """List commits of a branch, tag or commit, newest first.

    Messages have their first 1,000 characters. `after` is the id of the last commit of the previous page.
    """
    if after:
        if sources.files.find_commit(name, after) != after:
            raise UsageError(f"{after[:100]!r} is not the id of a commit", "Give the last `id` of the previous page.")
        commits = sources.files.list_commits(name, after, limit + 1)[1:]
    else:
        commits = sources.files.list_commits(name, at, limit)
    return [replace(commit, message=shorten_text(commit.message, MAX_MESSAGE)) for commit in commits]


@router.get("/repositories/{name}/commits/{commit}")
def get_commit(
    name: str, commit: str, caller: ReadCaller, sources: SourceDependency, against: str | None = None
) -> CommitView:
    """Get a commit and what it changes, or with `against` what differs from that.

    Both are the id of a commit, at least four of its first digits, a branch or a tag.
    """
    commit_object = sources.host.get_commit(name, sources.files.find_commit(name, commit))
    branch = sources.host.find_branch(name, commit_object.id)
    base = sources.files.find_commit(name, against) if against else None
    return CommitView(commit_object, branch, against, sources.files.diff_commits(name, base, commit_object.id))
