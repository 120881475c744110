"""One router per noun. Bodies and answers are dataclasses, so that the OpenAPI document says what they hold."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request

from dockgate.bootstrap.server import Server


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


Count = Annotated[int, Query(ge=0, le=1 << 53)]
"""JSON's largest exact integer"""
Digest = Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$")]

TheServer = Annotated[Server, Depends(_server)]
