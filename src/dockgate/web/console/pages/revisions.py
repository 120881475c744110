"""Branches, tags and commits in the addresses of pages, and what a path is in them."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from fastapi.responses import Response

from dockgate.delivery.repository_files import EntryKind
from dockgate.services.web_services import SourceServices
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.web.console.routes import redirect_to


def list_tags(references: Mapping[str, str]) -> list[tuple[str, str]]:
    """The tags with their objects, by name."""
    prefix = "refs/tags/"
    return sorted(
        (ref.removeprefix(prefix), object_id) for ref, object_id in references.items() if ref.startswith(prefix)
    )


def redirect_to_revision(sources: SourceServices, name: str, page: str, path: str) -> Response:
    """Redirect from a path that begins with a branch, tag or commit to the page of the file."""
    names = {*sources.host.list_heads(name), *(tag for tag, _ in list_tags(sources.host.list_references(name)))}
    parts = path.split("/")
    beginnings = ("/".join(parts[:count]) for count in range(len(parts), 0, -1))
    at = next((beginning for beginning in beginnings if beginning in names), parts[0])
    if not at:
        raise UsageError("the path names no branch, tag or commit", "Open the file from the page of its repository.")
    file_path = path[len(at) + 1 :]
    path_suffix = f"/{page}/{quote(file_path)}" if file_path else ""
    return redirect_to(f"/repositories/{quote(name)}{path_suffix}?{urlencode({'at': at})}")


def find_kind(sources: SourceServices, name: str, at: str, path: str) -> EntryKind:
    """The kind of a path in a branch or commit. Raises NotFoundError if it does not exist."""
    folder, _, last = path.rpartition("/")
    for entry in sources.files.list(name, at, folder):
        if entry.name == last:
            return entry.kind
    raise NotFoundError(f"there is no {path!r} in {at} of {name}", "Open the repository's root.")
