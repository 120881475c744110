"""Calls that wait for something, as long as their clients do."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from fastapi import Request


async def wait_for_event(request: Request, event: Coroutine[Any, Any, object], seconds: float) -> bool:
    """Wait for an event for so many seconds, or until the client has gone. Return whether the event came.

    The request's body must have been read, or be empty.
    """
    tasks = [asyncio.create_task(event), asyncio.create_task(_disconnect(request))]
    try:
        finished_tasks, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    return tasks[0] in finished_tasks


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
