"""One router per noun. Bodies and answers are dataclasses, so that the OpenAPI document says what they hold."""

from typing import Annotated

from fastapi import Depends, Request

from dockgate.bootstrap.server import Server


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


TheServer = Annotated[Server, Depends(_server)]
