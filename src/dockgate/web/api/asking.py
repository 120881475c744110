"""Asking from outside: any pipeline asks for an approval, and hears its answer by callback or by waiting for it."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Header, Query
from pydantic import Field

from dockgate.delivery.approval_request import (
    NAME_LIMIT,
    TIMEOUT_LIMIT,
    ApprovalRequest,
    is_qualified,
    pipeline_of,
    place_of,
)
from dockgate.delivery.model import ApprovalState
from dockgate.delivery.webhook_delivery import Callback, key
from dockgate.identity.model import Caller
from dockgate.services.server import Server
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.web.api import GuardedRoute, Reader, Runner, TheServer, TheThreads, narrow
from dockgate.web.api.approvals import ApprovalView, view

# seconds; proxies give up on an answer not long after.
LONGEST_WAIT = 120

Name = Annotated[str, Field(min_length=1, max_length=NAME_LIMIT)]

router = APIRouter(route_class=GuardedRoute)


@dataclass(frozen=True, slots=True)
class CallbackTo:
    """`secret` is one of Standard Webhooks ("whsec_" and base64); without it one is made."""

    url: str
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """`image` is a reference by tag or digest; or `digest` and `repository` say the same. An `execution` that is tried
    again is another: put the try's number into it. `policy` "" is the repository's own; others are for those to name
    whom a policy assignment allows it. `service` is one of this server's, "" for none. `timeout` is in
    seconds."""

    pipeline: Name
    stage: Name
    execution: Name
    image: str = ""
    digest: str = ""
    repository: str = ""
    policy: str = ""
    service: str = ""
    callback: CallbackTo | None = None
    timeout: Annotated[int, Field(strict=True, ge=1, le=TIMEOUT_LIMIT)] = 7 * 86400


@dataclass(frozen=True, slots=True)
class Asked:
    """The approval as it stands. With the `token` a person may reject it; `callback_secret` is what its callback is
    signed by, "" without one."""

    approval: ApprovalView
    token: str
    callback_secret: str


@router.post("/approvals", status_code=201)
@narrow
async def ask(
    body: Ask, server: TheServer, threads: TheThreads, who: Runner, idempotency_key: str = Header("")
) -> Asked:
    """Asks for an approval. Asking the same twice gives the same; its image is the digest that the tag stood for."""
    return await threads.run_remote(who.name, _ask, body, server, who, idempotency_key)


def _ask(body: Ask, server: Server, who: Caller, idempotency_key: str) -> Asked:
    address = server.parts.registry.address
    reference = _reference(body, address)
    who.require(pipeline=body.pipeline, repository=_place(reference).removeprefix(f"{address}/"))
    _require_service(body.service, server, who)
    callback = None
    if body.callback is not None:
        server.parts.webhooks.check(body.callback.url)
        if body.callback.secret:
            key(body.callback.secret)
        callback = Callback(body.callback.url, body.callback.secret)
    question = ApprovalRequest(
        pipeline=body.pipeline,
        stage=body.stage,
        execution=body.execution,
        reference=reference,
        policy=body.policy,
        service=body.service,
        callback=callback,
        timeout=body.timeout,
        key=idempotency_key,
    )
    approval = server.engine.ask(question, who.principal)
    made = server.store.approvals.callback(approval.id)
    return Asked(view(approval), approval.token, made.secret if made else "")


@router.get("/approvals/{approval_id:path}/answer")
@narrow
async def answer(
    approval_id: str,
    server: TheServer,
    threads: TheThreads,
    who: Reader,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT)] = 0,
) -> ApprovalView:
    """The approval once it is settled, or as it is after so many seconds: then ask again while it is Waiting."""
    with server.engine.approval_pubsub.listening(approval_id) as rung:
        approval = await threads.run_prompt(server.store.approvals.get, approval_id)
        who.require(pipeline=pipeline_of(approval), repository=approval.repository)
        if approval.state is ApprovalState.WAITING and wait:
            try:
                async with asyncio.timeout(wait):
                    await rung.wait()
            except TimeoutError:
                pass
            approval = await threads.run_prompt(server.store.approvals.get, approval_id)
    return view(approval)


def _place(reference: str) -> str:
    """The repository with its registry; a short name is Docker Hub's."""
    place = place_of(reference)
    return place if is_qualified(place) else f"docker.io/{place if '/' in place else f'library/{place}'}"


def _require_service(name: str, server: TheServer, who: Caller) -> None:
    """NotFoundError for a service that is not there: whoever may know all of them is told what they are called."""
    known = [service.name for service in server.store.services.list()]
    if name and name not in known:
        named = "`dockgate deploy list` names those there are" if who.limited else f"There are: {', '.join(known)}"
        raise NotFoundError(f"there is no service {name!r}", f"{named if known else 'There is none'}. Or name none.")


def _reference(body: Ask, registry: str) -> str:
    """The image as one reference; a `repository` without a registry is one of ours."""
    if body.image and not (body.digest or body.repository):
        return body.image
    if body.image or not (body.digest and body.repository):
        raise UsageError("the image is not named once", "Give `image`, or both `digest` and `repository`.")
    place = body.repository if is_qualified(body.repository) else f"{registry}/{body.repository}"
    return f"{place}@{body.digest}"
