"""Our own registry's key, and registries elsewhere: where they send their notifications, and by which secret."""

from fastapi import APIRouter

from dockgate.services import pushes
from dockgate.web.api import Administrator, GuardedRoute, TheServer

router = APIRouter(route_class=GuardedRoute)


@router.get("/registries/{registry}/hook/{form}")
def hook(registry: str, form: str, server: TheServer, who: Administrator) -> pushes.Hook:
    """Where this registry has to send its notifications of pushes, in the format that it has, and its secret."""
    return pushes.hook(server, form, registry)


@router.post("/registries/{registry}/hook/{form}")
def change(registry: str, form: str, server: TheServer, who: Administrator) -> pushes.Hook:
    """Gives this registry another secret, and tells it. The one that it had is refused from now on."""
    return pushes.changed(server, form, registry)


@router.post("/registry-key", status_code=204)
def rotate(server: TheServer, who: Administrator) -> None:
    """Signs the tokens of our own registry with a new key. Tokens and logins that were issued before end at once."""
    server.access.rotate()
