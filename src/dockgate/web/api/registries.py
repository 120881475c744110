"""Webhooks of other registries; pull policies and the signing key of the server's registry."""

from dataclasses import dataclass
from itertools import islice
from typing import Annotated

from fastapi import Path, Request

from dockgate.delivery.model import REPOSITORY
from dockgate.identity.model import Caller
from dockgate.services.registry.notifications import Hook
from dockgate.services.registry.registry_pulls import PullAnswer, RepositoryPulls
from dockgate.services.web_services import ApprovalServices, RegistryServices
from dockgate.web.api import (
    AdminCaller,
    ApprovalDependency,
    Digest,
    ReadCaller,
    RegistryDependency,
    StoreDependency,
    ThreadsDependency,
    make_router,
    mark_self_checking,
)
from dockgate.web.audit_details import note_change
from dockgate.web.authorization import describe_call, record_call

router = make_router()

# Unconfirmed pushes in one answer.
MOST_LISTED = 1000

Repository = Annotated[str, Path(pattern=f"^{REPOSITORY}$", max_length=255)]


@dataclass(frozen=True, slots=True)
class UnconfirmedPush:
    """A reported push that moves no tag until the registry confirms it.

    `reason` says why it is not confirmed, `next_at` when the registry is asked again.
    """

    repository: str
    tag: str | None
    digest: str | None
    received_at: str
    next_at: str
    attempts: int
    reason: str | None


@router.get("/registries/{registry}/hook/{form}")
def get_hook(registry: str, form: str, request: Request, registries: RegistryDependency, caller: AdminCaller) -> Hook:
    """Get the webhook URL and secret for a registry's push notifications."""
    record_call(request, caller)  # who knows the secret can report pushes
    hook = registries.notifications.describe_hook(form, registry)
    describe_call(request, "secret shown")
    return hook


@router.get("/registries/pushes")
@mark_self_checking
def list_unconfirmed_pushes(store: StoreDependency, caller: ReadCaller) -> list[UnconfirmedPush]:
    """List reported pushes that their registry has not confirmed, oldest first, at most 1,000."""
    pushes = store.reported_pushes.list(limit=None if caller.is_limited else MOST_LISTED)
    visible_pushes = (push for push in pushes if caller.can_reach(repository=push.repository))
    return [
        UnconfirmedPush(
            push.repository, push.tag, push.digest, push.received_at, push.next_at, push.attempts, push.reason
        )
        for push in islice(visible_pushes, MOST_LISTED)
    ]


@router.post("/registries/{registry}/hook/{form}")
def rotate_hook_secret(registry: str, form: str, registries: RegistryDependency, caller: AdminCaller) -> Hook:
    """Replace a registry's webhook secret, and return it. The old secret is refused."""
    hook = registries.notifications.rotate_secret(form, registry)
    note_change("secret replaced")
    return hook


@router.post("/registry-key", status_code=204)
def rotate_key(registries: RegistryDependency, caller: AdminCaller) -> None:
    """Replace the signing key of the server's registry. Existing tokens and logins become invalid."""
    registries.access.rotate()
    note_change("signing key replaced")


@router.get("/registry/repositories")
@mark_self_checking
def list_repositories(
    store: StoreDependency, registries: RegistryDependency, caller: ReadCaller
) -> list[RepositoryPulls]:
    """List the repositories of the server's registry that have images, each with its pull policy."""
    names = store.images.list_pushed_repositories()
    return [registries.pulls.get_pull_policy(name) for name in names if caller.can_reach(repository=name)]


@router.get("/registry/repositories/{repository:path}/pull/{digest}")
@mark_self_checking
async def explain_pull(
    repository: Repository,
    digest: Digest,
    approvals: ApprovalDependency,
    registries: RegistryDependency,
    threads: ThreadsDependency,
    caller: ReadCaller,
) -> PullAnswer:
    """Get whether other machines can pull an image from the server's registry now, and why not."""
    return await threads.run_remote(caller.name, _explain_pull, repository, digest, approvals, registries, caller)


def _explain_pull(
    repository: str, digest: str, approvals: ApprovalServices, registries: RegistryServices, caller: Caller
) -> PullAnswer:
    caller.require(repository=repository)
    if caller.is_limited:  # the answer says what the policy found in the image
        approvals.requests.require_image(repository, digest)
    return registries.pulls.explain(repository, digest)
