"""The registry's notifications: each push of a manifest becomes an event.

The envelope is CNCF Distribution's (its documentation, "Work with notifications"): `{"events": [{"id", "action",
"target": {"mediaType", "digest", "repository", "tag"}}]}`. Delivery is at least once, and an error makes the registry
try again.
"""

import hmac
import json

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from dockgate.core.errors import DeniedError, UsageError
from dockgate.web.api import TheServer

MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)

router = APIRouter(include_in_schema=False)


@router.post("/registry/events", status_code=202)
async def notified(request: Request, server: TheServer) -> Response:
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {server.registry_secret}".encode()):
        raise DeniedError("the registry's notification came without our secret")
    try:
        events = json.loads(await request.body())["events"]
        pushes = [
            (str(event["id"]), event["target"]["repository"], event["target"]["digest"], event["target"].get("tag", ""))
            for event in events
            if event["action"] == "push" and event["target"].get("mediaType") in MANIFESTS
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"that is no notification: {type(error).__name__}: {error}") from None
    for push in pushes:
        await run_in_threadpool(server.engine.image_pushed, *push)
    return Response(status_code=202)
