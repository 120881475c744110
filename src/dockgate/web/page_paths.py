"""Paths of the console's pages. The search of the API returns them too."""

from collections.abc import Mapping
from urllib.parse import quote

from fastapi import Request

from dockgate.delivery.model import ApprovalId
from dockgate.events.subject import EventSubject, SubjectKind
from dockgate.gate.policy_reference import PolicyReference
from dockgate.shared.purl import strip_qualifiers

# Characters that are not percent-encoded in a path.
_SAFE_CHARACTERS = "/:@!$&'()*+,;=~"
# Folders of pages by the kind of an event's subject.
_SUBJECT_FOLDERS: Mapping[str, str] = {
    SubjectKind.EXECUTION: "executions",
    SubjectKind.SERVICE: "running",
    SubjectKind.PIPELINE: "pipelines",
    SubjectKind.POLICY: "policies",
    SubjectKind.WAIVER: "waivers",
}


def make_request_path(request: Request) -> str:
    """The path of a request as a link needs it.

    A name in it may have characters that mean something in an address.
    """
    return quote(request.scope["path"], safe=_SAFE_CHARACTERS)


def make_request_address(request: Request) -> str:
    """The path of a request with its parameters, as a link needs it."""
    query = request.scope["query_string"].decode("latin-1")
    return make_request_path(request) + (f"?{query}" if query else "")


def make_repository_path(repository: str) -> str:
    """The images of an image repository."""
    return f"/images?repository={quote(repository, safe='/')}"


def make_commit_path(repository: str, commit: str) -> str:
    """The page of a commit of a git repository."""
    return f"/repositories/{quote(repository, safe='')}/commits/{commit}"


def make_tag_path(repository: str, tag: str) -> str:
    """The page of a tag."""
    return f"/images/r/{quote(repository, safe='/')}:{quote(tag, safe='')}"


def make_image_path(digest: str, repository: str | None = None) -> str:
    """The page of an image, as it is in a repository; its registry may be ours."""
    return f"/images/{digest}" + (f"?repository={quote(repository, safe='/:')}" if repository else "")


def make_policy_path(policy: PolicyReference) -> str:
    """The page of the server policy in a reference (`PolicyReference`)."""
    return f"/policies/{policy.server_policy}"


def make_vulnerability_path(name: str) -> str:
    """The page of a vulnerability."""
    return f"/vulnerabilities/{quote(name, safe='')}"


def make_package_path(purl: str, name: str | None = None) -> str:
    """The page of a package, in whatever version; by its name where it has no package URL."""
    text = strip_qualifiers(purl)
    start, at_sign, _ = text.rpartition("@")
    return f"/packages/{quote((start if at_sign else text) or name or '', safe='/:')}"


def find_subject_path(subject: EventSubject) -> str | None:
    """The page of what an event is about; None for what has none."""
    if not subject.name:
        return None
    if subject.kind == SubjectKind.APPROVAL:
        return make_approval_path(ApprovalId(subject.name))
    folder = _SUBJECT_FOLDERS.get(subject.kind)
    return f"/{folder}/{quote(subject.name, safe='')}" if folder else None


def make_approval_path(approval_id: ApprovalId) -> str:
    """Return the page to decide an approval: the execution's, or its own if the pipeline is external."""
    action = approval_id.action
    return f"/executions/{action.execution}" if action else f"/approvals/{approval_id}"
