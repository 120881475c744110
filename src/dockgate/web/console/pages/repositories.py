"""Git repositories: their files and commits."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from fastapi import Query, Request
from fastapi.responses import PlainTextResponse, Response

from dockgate.delivery.repository_files import EntryKind, TreeEntry
from dockgate.delivery.source_ports import Commit
from dockgate.services.pipelines.visible_pipelines import list_visible_pipelines
from dockgate.shared.errors import NotFoundError, TooLargeError
from dockgate.web import api
from dockgate.web.api import pipelines as calls
from dockgate.web.api import repository_contents as contents
from dockgate.web.console.edited_text import decode_text
from dockgate.web.console.flash import read_flash
from dockgate.web.console.formats import MAX_BEGINNING, make_sentence
from dockgate.web.console.highlighting import render_code
from dockgate.web.console.list_links import ListLinks
from dockgate.web.console.pages.file_edits import explain_read_only, list_started_pipelines
from dockgate.web.console.pages.revisions import find_kind, list_tags, redirect_to_revision
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router
from dockgate.web.console.tables import PageTable, make_page_table
from dockgate.web.console.text_pages import make_text_page, split_lines
from dockgate.web.paging import Cursor, PageQuery, list_sort_names
from dockgate.web.query_parameters import mark_parameters

COMMITS = 50
# Executions of a commit on its page.
MAX_EXECUTIONS = 20
# Lines of a difference that a page shows.
MAX_DIFF_LINES = 2000
# Folders above a path that lead to their pages, the lowest.
MAX_PARENTS = 10
# Branches or tags of a repository on its page, and branches of each in the list of repositories.
MAX_NAMES, MAX_HEADS = 200, 10
# Entries of a folder on a page, fewer if their links are long (bytes of all links), and what they are sorted by.
MAX_ENTRIES, MIN_ENTRIES, MAX_LINKS = 500, 20, 200_000
_ENTRY_KEYS: dict[str, Callable[[TreeEntry], str | int]] = {
    "name": lambda entry: entry.name.lower(),
    "bytes": lambda entry: -1 if entry.size is None else entry.size,
}
_ENTRY_SORTS = ("", "name", "-name", "-bytes", "bytes")

router = make_page_router()


@router.get("/repositories")
@api.mark_self_checking
def show_repositories(
    request: Request,
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    store: api.StoreDependency,
    sources: api.SourceDependency,
    name: str = "",
    sort: calls.RepositorySort = "name",
    after: Cursor = None,
) -> Response:
    """List git repositories with their branches. `name` is a part of their names."""
    query = PageQuery(sort, after)
    page = calls.read_repository_page(caller, addresses, store, sources, query, name)
    sorts = list_sort_names(calls.RepositorySort)
    links = ListLinks.from_page("/repositories", sorts, query, page, [("name", name)])
    return render_page(
        request,
        caller,
        "repositories.html",
        title="Repositories",
        repositories=page.entries,
        links=links,
        MAX_HEADS=MAX_HEADS,
    )


@router.get("/repositories/{name}")
@mark_parameters(tables=("files", "tags"))
def show_repository(
    name: str,
    request: Request,
    caller: api.ReadCaller,
    addresses: api.AddressesDependency,
    sources: api.SourceDependency,
    at: str = "",
    after: str = "",
) -> Response:
    """Show the files at the root of a branch, and its newest commits, or those after one."""
    heads = sources.host.list_heads(name)
    branch = at or ("main" if "main" in heads else next(iter(sorted(heads)), ""))
    commits: list[Commit] = []
    commits_refusal = None
    try:
        commits = contents.list_commits(name, caller, sources, branch, COMMITS + 1, after) if branch else []
    except TooLargeError:  # each of the messages may have a megabyte
        commits_refusal = "The messages of these commits are too large for a page."
    return render_page(
        request,
        caller,
        "repository.html",
        title=name,
        name=name,
        at=branch,
        heads=heads,
        branches=sorted(heads)[:MAX_NAMES],
        clone_url=addresses.make_clone_url(name),
        entries=make_entry_table(request, sources.files.list(name, branch, "") if branch else (), branch),
        tags=make_page_table(request, "tags", list_tags(sources.host.list_references(name)), {}, ("",), MAX_NAMES),
        after=after,
        commits=commits[:COMMITS],
        commits_refusal=commits_refusal,
        next_cursor=commits[COMMITS - 1].id if len(commits) > COMMITS else None,
    )


def make_entry_table(request: Request, entries: Sequence[TreeEntry], at: str, folder: str = "") -> PageTable[TreeEntry]:
    """The table of a folder's entries, in git's order unless they are sorted."""
    longest_link = len(quote(f"{folder}{at}")) + max((len(quote(entry.name)) for entry in entries), default=0)
    limit = min(max(MAX_LINKS // max(longest_link, 1), MIN_ENTRIES), MAX_ENTRIES)
    return make_page_table(request, "files", entries, _ENTRY_KEYS, _ENTRY_SORTS, limit)


@router.get("/repositories/{name}/files/{path:path}")
@mark_parameters(tables=("files",))
def show_file(
    name: str,
    path: str,
    request: Request,
    caller: api.ReadCaller,
    sources: api.SourceDependency,
    at: str = "",
    first: Annotated[int, Query(alias="from")] = 1,
) -> Response:
    """Show a folder or a file of a branch or commit: of a long file the lines that begin with `from`.

    Without `at`, the path begins with the branch, tag or commit.
    """
    if not at:
        return redirect_to_revision(sources, name, "files", path)
    shared_context: dict[str, Any] = {
        "name": name,
        "at": at,
        "file_path": path,
        "parents": _list_parents(name, path, at),
    }
    kind = find_kind(sources, name, at, path)
    if kind is EntryKind.FOLDER:
        entries = make_entry_table(request, sources.files.list(name, at, path), at, path)
        return render_page(request, caller, "folder.html", title=f"{path} in {name}", entries=entries, **shared_context)
    page, coloured_lines, reason, content, is_readable = None, {}, "", b"", True
    try:
        content = sources.files.read(name, at, path)
        text = decode_text(content)
        reason = "This file is not text in UTF-8."
        if text is not None:
            lines = split_lines(text)
            page = make_text_page(lines, first)
            coloured_lines = render_code(path.rpartition("/")[2], lines, page)
    except TooLargeError as error:
        reason, is_readable = make_sentence(error.full_message), False
    return render_page(
        request,
        caller,
        "file.html",
        title=f"{path} in {name}",
        page=page,
        coloured_lines=coloured_lines,
        reason=reason,
        is_readable=is_readable,
        is_branch=at in sources.host.list_heads(name),
        edit_refusal=explain_read_only(kind, content),
        **shared_context,
    )


@router.get("/repositories/{name}/raw/{path:path}")
def download_raw(name: str, path: str, caller: api.ReadCaller, sources: api.SourceDependency, at: str = "") -> Response:
    """Download a file. Without `at`, the path begins with the branch, tag or commit."""
    if not at:
        return redirect_to_revision(sources, name, "raw", path)
    file_name = quote(path.rpartition("/")[2], safe="")
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{file_name}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    return PlainTextResponse(sources.files.read(name, at, path), headers=headers)


@router.get("/repositories/{name}/commits/{commit}")
def show_commit(
    name: str,
    commit: str,
    request: Request,
    caller: api.ReadCaller,
    store: api.StoreDependency,
    sources: api.SourceDependency,
    against: str = "",
) -> Response:
    """Show what a commit changes, or with `against` what differs from another commit or branch.

    The person who has just committed in the page to edit a file is shown what that starts.
    """
    committed_branch = read_flash(request)
    lines: list[str] = []
    reason = ""
    refusal = None
    shown_commit = sources.host.get_commit(name, sources.files.find_commit(name, commit))
    try:
        base = sources.files.find_commit(name, against.strip()) if against.strip() else None
        lines = split_lines(sources.files.diff_commits(name, base, shown_commit.id))
    except TooLargeError as error:
        reason = make_sentence(error.full_message)
    except NotFoundError as error:
        refusal = error
    return render_page(
        request,
        caller,
        "commit.html",
        404 if refusal else 200,
        title=f"{'Error: ' if refusal else ''}{shown_commit.id[:12]} in {name}",
        name=name,
        commit=shown_commit,
        branch=sources.host.find_branch(name, shown_commit.id),
        against=against.strip(),
        refusal=refusal,
        committed_branch=committed_branch,
        started_pipelines=list_started_pipelines(store, caller, name, committed_branch) if committed_branch else (),
        executions=[
            row.execution
            for row in store.source_commits.list_of_commit(name, shown_commit.id, list_visible_pipelines(store, caller))
        ],
        MAX_EXECUTIONS=MAX_EXECUTIONS,
        branches=sorted(sources.host.list_heads(name))[:MAX_NAMES],
        message=make_text_page(_split_message(shown_commit.message)),
        lines=list(mark_changes(line for _, line in make_text_page(lines, limit=MAX_DIFF_LINES).lines)),
        line_count=len(lines),
        reason=reason,
    )


def mark_changes(lines: Iterable[str]) -> Iterator[tuple[Literal["ins", "del", "span"], str]]:
    """Each line of git's difference with the element that shows it.

    Only what follows a line with @@ is content: a removed "-- comment" looks like the name of a file in a head.
    """
    is_content = False
    for line in lines:
        is_content = line.startswith("@@") or (is_content and not line.startswith("diff "))
        sign = line[:1] if is_content else ""
        yield "ins" if sign == "+" else "del" if sign == "-" else "span", line


def _split_message(message: str) -> list[str]:
    """The lines of a commit's message that its page does not show as the title."""
    subject, _, body = message.partition("\n")
    return split_lines(message if len(subject) > MAX_BEGINNING else body.strip())


def _list_parents(name: str, path: str, at: str) -> list[tuple[str, str]]:
    """The folders above a path, with their pages."""
    parts = path.split("/")[:-1]
    query = urlencode({"at": at})
    folders = [
        (part, f"/repositories/{quote(name)}/files/{quote('/'.join(parts[: number + 1]))}?{query}")
        for number, part in enumerate(parts)
    ][-MAX_PARENTS:]
    return [("Repositories", "/repositories"), (name, f"/repositories/{quote(name)}?{query}"), *folders]
