"""Approval requests of external pipelines, answered by a webhook or by long polling."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Header, Query, Request
from pydantic import Field

from dockgate.delivery.approval_request import NAME_LIMIT, TIMEOUT_LIMIT, ApprovalRequest
from dockgate.delivery.model import ApprovalId, ApprovalState
from dockgate.events.webhook_signature import parse_key
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Caller, Permission
from dockgate.services.pipelines.visible_services import list_visible_services
from dockgate.services.web_services import Addresses, ApprovalServices, PolicyServices
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.shared.references import ImageReference, RepositoryReference, parse_repository, strip_registry
from dockgate.store import Store
from dockgate.web.api import (
    AddressesDependency,
    ApprovalDependency,
    PolicyDependency,
    ReadCaller,
    RunCaller,
    StoreDependency,
    ThreadsDependency,
    make_router,
    mark_self_checking,
)
from dockgate.web.api.approvals import ApprovalView, make_approval_view, require_reach
from dockgate.web.audit_details import note_change
from dockgate.web.authorization import get_authorized_caller
from dockgate.web.long_polls import wait_for_event

# Seconds: proxies close a connection not long after.
MAX_WAIT_SECONDS = 120

Name = Annotated[str, Field(min_length=1, max_length=NAME_LIMIT)]

router = make_router()


@dataclass(frozen=True, slots=True)
class CallbackTarget:
    """`secret` is a Standard Webhooks secret ("whsec_" and base64); without it the server creates one."""

    url: str
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class ApprovalRequestBody:
    """A request for an approval.

    `image` is a reference; or `digest` and `repository` name the image. `execution` identifies the run. Include the
    number of the attempt, because the same execution gets the same approval. Without `policy` the repository's counts;
    others need a policy assignment that allows them. `service` is one of this server's. An empty text is as none.
    `timeout` is in seconds.
    """

    pipeline: Name
    stage: Name
    execution: Name
    image: str | None = None
    digest: str | None = None
    repository: str | None = None
    policy: PolicyReference | None = None
    service: str | None = None
    callback: CallbackTarget | None = None
    timeout: Annotated[int, Field(strict=True, ge=1, le=TIMEOUT_LIMIT)] = 7 * 86400


@dataclass(frozen=True, slots=True)
class CreatedApproval:
    """An approval. `token` lets a person reject it, `callback_secret` signs the webhook, if there is one."""

    approval: ApprovalView
    token: str
    callback_secret: str | None


@router.post("/approvals", status_code=201)
@mark_self_checking
async def request_approval(
    body: ApprovalRequestBody,
    addresses: AddressesDependency,
    store: StoreDependency,
    approvals: ApprovalDependency,
    policies: PolicyDependency,
    threads: ThreadsDependency,
    caller: RunCaller,
    idempotency_key: str | None = Header(None),
) -> CreatedApproval:
    """Request an approval.

    Repeated requests return the same approval; a tag is resolved once, to its digest.
    """
    return await threads.run_remote(
        caller.name, _request_approval, body, addresses, store, approvals, policies, caller, idempotency_key
    )


def _request_approval(
    body: ApprovalRequestBody,
    addresses: Addresses,
    store: Store,
    approvals: ApprovalServices,
    policies: PolicyServices,
    caller: Caller,
    idempotency_key: str | None,
) -> CreatedApproval:
    address = addresses.registry
    reference = _make_reference(body, address)
    caller.require(repository=strip_registry(_qualify_repository(reference), address))
    _require_service(body.service, addresses, store, caller)
    if caller.is_limited and body.policy and body.policy not in policies.policies.list_names():
        raise NotFoundError(f"there is no policy {body.policy!r}", "Omit `policy` for the repository's own.")
    if body.callback is not None:
        approvals.webhooks.check(body.callback.url)
        if body.callback.secret:
            parse_key(body.callback.secret)
    approval_request = ApprovalRequest(
        pipeline=body.pipeline,
        stage=body.stage,
        execution=body.execution,
        reference=reference,
        policy=body.policy or None,
        service=body.service or None,
        callback_url=body.callback.url if body.callback else None,
        callback_secret=body.callback.secret if body.callback else None,
        timeout=body.timeout,
        key=idempotency_key or None,
    )
    approval = approvals.requests.request_external(approval_request, caller.principal)
    note_change(f"{approval.id} of {ImageReference(approval.repository, approval.image)}")
    callback_record = store.approvals.find_callback(approval.id)
    return CreatedApproval(
        make_approval_view(approval), approval.token, callback_record.secret if callback_record else None
    )


@router.get("/approvals/{approval_id:path}/answer")
@mark_self_checking
async def wait_for_decision(
    approval_id: ApprovalId,
    request: Request,
    store: StoreDependency,
    approvals: ApprovalDependency,
    threads: ThreadsDependency,
    caller: ReadCaller,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS)] = 0,
) -> ApprovalView:
    """Get the approval when it is settled, or after `wait` seconds: then call again while it is Waiting."""
    with approvals.pubsub.subscribe(approval_id) as settlement:
        approval = await threads.run_prompt(store.approvals.get, approval_id)
        require_reach(caller, approval)
        if approval.state is ApprovalState.WAITING and wait:
            await wait_for_event(request, settlement.wait(), wait)
            approval = await threads.run_prompt(store.approvals.get, approval_id)
            require_reach(get_authorized_caller(request) or caller, approval)
    return make_approval_view(approval)


def _qualify_repository(reference: str) -> str:
    """The repository with its registry; a short name is of Docker Hub."""
    name = parse_repository(reference)
    repository = RepositoryReference.parse(name)
    return str(repository) if repository.registry else f"docker.io/{name if '/' in name else f'library/{name}'}"


def _require_service(name: str | None, addresses: AddressesDependency, store: StoreDependency, caller: Caller) -> None:
    """Raise NotFoundError for a service that is unknown, or that the caller may not see. Lists those that it may."""
    if not name:
        return
    reader = replace(caller, permission=Permission.READ)
    services = [service.name for service in list_visible_services(reader, addresses.registry, store)]
    if name not in services:
        hint = f"Services: {', '.join(services)}" if services else "There are no services for you to name"
        raise NotFoundError(f"the service {name!r} does not exist", f"{hint}. Or omit `service`.")


def _make_reference(body: ApprovalRequestBody, registry: str) -> str:
    """The image as one reference; a `repository` without a registry is in the server's registry."""
    if body.image and not (body.digest or body.repository):
        return body.image
    if body.image or not (body.digest and body.repository):
        raise UsageError("the image is missing or given twice", "Set `image`, or both `digest` and `repository`.")
    repository = RepositoryReference.parse(body.repository).with_registry(registry)
    return str(ImageReference(repository, body.digest))
