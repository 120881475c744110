"""A change of one file of a repository, committed in the page. It starts pipelines as a push does."""

from collections.abc import Sequence
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import Response

from dockgate.delivery.pipeline import list_source_branches
from dockgate.delivery.repository_files import EntryKind, FileEdit
from dockgate.identity.model import Caller, Permission
from dockgate.services.pipelines.git_pushes import find_email
from dockgate.services.web_services import SourceServices
from dockgate.shared.errors import ChangedError, ConflictError, DockgateError, NotFoundError, UsageError
from dockgate.store import Store
from dockgate.web import api
from dockgate.web.authorization import describe_call
from dockgate.web.console.edited_text import decode_text, make_field_text, restore_text
from dockgate.web.console.flash import redirect_with_flash
from dockgate.web.console.pages.definitions import compare_texts, get_form_status
from dockgate.web.console.pages.revisions import find_kind, redirect_to_revision
from dockgate.web.console.pages.signing_in import Form
from dockgate.web.console.rendering import render_page
from dockgate.web.console.routes import make_page_router

# Bytes of a file that a form changes: what it sends encoded has room in a body.
MAX_EDITED = 128 << 10

router = make_page_router()


class _ExistingPathError(ConflictError):
    """A form would overwrite another file than the one it was opened for."""


@router.get("/repositories/{name}/edit/{path:path}")
def show_edit_form(
    name: str,
    path: str,
    request: Request,
    caller: api.RunCaller,
    store: api.StoreDependency,
    sources: api.SourceDependency,
    at: str = "",
) -> Response:
    """Show the form to change a file of a branch. Without `at`, the path begins with the branch."""
    if not at:
        return redirect_to_revision(sources, name, "edit", path)
    head = sources.host.list_heads(name).get(at)
    if head is None:
        raise NotFoundError(f"there is no branch {at!r} in {name}", "Only the files of a branch can be changed.")
    text = _read_editable(sources, name, head, path)
    values = {"content": make_field_text(text), "head": head, "at": at, "opened": path}
    return _render_edit_form(request, caller, store, name, path, values)


@router.get("/repositories/{name}/new")
def show_new_file_form(
    name: str,
    request: Request,
    caller: api.RunCaller,
    store: api.StoreDependency,
    sources: api.SourceDependency,
    at: str = "main",
) -> Response:
    """Show the form for a new file of a branch."""
    values = {"content": "", "head": sources.host.list_heads(name).get(at, ""), "at": at, "opened": ""}
    return _render_edit_form(request, caller, store, name, "", values)


def _render_edit_form(
    request: Request,
    caller: Caller,
    store: Store,
    name: str,
    path: str,
    values: dict[str, str],
    error: DockgateError | None = None,
    lines: Sequence[str] | None = None,
) -> Response:
    """The form to change a file, with what was wrong.

    `lines` are what the text changes in the file of a branch that has moved.
    """
    email = find_email(store, caller.name) or ""
    defaults = {"author": caller.name, "email": email, "message": "", "path": path}
    code = 409 if isinstance(error, ConflictError) and not isinstance(error, ChangedError) else get_form_status(error)
    title = f"{'Error: change' if error else 'Change'} {path or 'a file'}"
    return render_page(
        request,
        caller,
        "file_edit.html",
        code,
        title=title,
        name=name,
        values={**defaults, **values},
        started_pipelines=list_started_pipelines(store, caller, name, values["at"]),
        error=error,
        does_path_exist=isinstance(error, _ExistingPathError),
        lines=lines,
    )


def list_started_pipelines(store: Store, caller: Caller, name: str, branch: str) -> list[str]:
    """The pipelines that a commit to the branch starts, of those that the caller may read."""
    return [
        pipeline.name
        for pipeline in store.pipelines.list_newest()
        if (name, branch) in list_source_branches(pipeline) and caller.can(Permission.READ, pipeline=pipeline.name)
    ]


@router.post("/repositories/{name}/edit")
def save_file(
    name: str,
    request: Request,
    caller: api.RunCaller,
    store: api.StoreDependency,
    sources: api.SourceDependency,
    fields: Form,
) -> Response:
    """Commit a changed file to its branch, unless that has moved since the page was opened.

    The field `opened` is the path of the file that the page showed; that of a new one has no text.
    """
    names = ("content", "head", "at", "author", "email", "message", "path", "opened")
    values = {field: fields.get(field, "") for field in names}
    if values["path"] == values["opened"].strip():  # a path that begins or ends with a blank lost it in its field
        values["path"] = values["opened"]
    pusher, token = (caller.name, caller.token.id) if caller.token else (None, None)
    try:
        change = _make_change(sources, name, values)
        commit = sources.pushes.commit(sources.files, name, change, pusher, token)
    except ChangedError as error:
        head, form_text = sources.host.list_heads(name).get(values["at"]), values["content"]
        lines = compare_texts(restore_text(_read_text(sources, name, head, values["path"])), restore_text(form_text))
        moved_values = {**values, "head": head or ""}
        return _render_edit_form(request, caller, store, name, values["path"], moved_values, error, lines)
    except (UsageError, ConflictError) as error:
        return _render_edit_form(request, caller, store, name, values["path"], values, error)
    describe_call(request, f"refs/heads/{change.branch} {change.parent or 'new'} -> {commit}")
    return redirect_with_flash(request, f"/repositories/{quote(name)}/commits/{commit}", change.branch)


def _make_change(sources: SourceServices, name: str, values: dict[str, str]) -> FileEdit:
    """The change that a form describes.

    Raises UsageError for a file that a form does not change, and ConflictError for a path that exists and is not the
    one that was opened.
    """
    head, path = values["head"], values["path"]
    original = ""
    try:
        kind = find_kind(sources, name, head, path) if head else None
    except NotFoundError:
        kind = None
    if kind in (EntryKind.FILE, EntryKind.LINK):
        if path != values["opened"]:
            raise _ExistingPathError(f"{path} exists already", "Change that file, or choose another path.")
        original = _read_editable(sources, name, head, path)
    return FileEdit(
        branch=values["at"],
        parent=head or None,
        path=path,
        content=restore_text(values["content"], original),
        author=f"{values['author']} <{values['email']}>",
        message=values["message"],
    )


def _read_editable(sources: SourceServices, name: str, at: str, path: str) -> str:
    """The text of a file that a form changes. Raises UsageError for another file."""
    content = sources.files.read(name, at, path)
    text = decode_text(content)
    if text is None:
        raise UsageError("a file that is not text in UTF-8 is not changed here", "Change it with git, and push it.")
    if refusal := explain_read_only(find_kind(sources, name, at, path), content):
        raise UsageError(refusal, "Change it with git, and push it.")
    return text


def explain_read_only(kind: EntryKind, content: bytes) -> str | None:
    """Return why a form does not change a text; None if it does."""
    if kind is not EntryKind.FILE:
        return "a link is not changed here"
    return f"a file of more than {MAX_EDITED:,} bytes is not changed here" if len(content) > MAX_EDITED else None


def _read_text(sources: SourceServices, name: str, head: str | None, path: str) -> str:
    """The text of a file in a commit; that of a file that does not exist is empty."""
    try:
        return sources.files.read(name, head, path).decode("utf-8", "replace") if head else ""
    except NotFoundError:
        return ""
