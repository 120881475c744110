"""Webhooks of other registries, and the signing key of the server's registry."""

from fastapi import APIRouter

from dockgate.services.registry_pushes import Hook
from dockgate.web.api import Administrator, GuardedRoute, ServerDependency

router = APIRouter(route_class=GuardedRoute)


@router.get("/registries/{registry}/hook/{form}")
def hook(registry: str, form: str, server: ServerDependency, who: Administrator) -> Hook:
    """Get the webhook URL and secret for a registry's push notifications."""
    return server.registry_notifications.hook(form, registry)


@router.post("/registries/{registry}/hook/{form}")
def change(registry: str, form: str, server: ServerDependency, who: Administrator) -> Hook:
    """Replace a registry's webhook secret, and return it. The old secret is refused."""
    return server.registry_notifications.rotate_secret(form, registry)


@router.post("/registry-key", status_code=204)
def rotate(server: ServerDependency, who: Administrator) -> None:
    """Replace the signing key of the server's registry. Existing tokens and logins become invalid."""
    server.registry_access.rotate()
