"""Calls that wait for something, as long as their clients do."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from fastapi import Request

from dockgate.web.threads import check_caller_again

# Seconds after which a waiting caller is checked again. Hundreds may wait, and each check is a query.
CHECK_SECONDS = 30.0


async def wait_for_event(request: Request, event: Coroutine[Any, Any, object], seconds: float) -> bool:
    """Wait for an event for so many seconds, or until the client has gone. Return whether the event came.

    The request's body must have been read, or be empty. The caller is checked again now and then, and before this
    returns: UnknownCallerError, DeniedError.
    """
    tasks = [asyncio.create_task(event), asyncio.create_task(_disconnect(request))]
    end = time.monotonic() + seconds
    finished_tasks: set[asyncio.Task[object]] = set()
    try:
        while not finished_tasks and (remaining := end - time.monotonic()) > 0:
            finished_tasks, _ = await asyncio.wait(
                tasks, timeout=min(remaining, CHECK_SECONDS), return_when=asyncio.FIRST_COMPLETED
            )
            await check_caller_again()
    finally:
        for task in tasks:
            task.cancel()
    return tasks[0] in finished_tasks


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
