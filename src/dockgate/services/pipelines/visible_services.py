"""The services that callers with limits to repositories may see."""

from dockgate.delivery.service_model import Service
from dockgate.identity.model import Caller
from dockgate.store import Store


def list_visible_services(caller: Caller, registry: str, store: Store) -> list[Service]:
    """The services that the caller may see. `registry` is our own.

    Limited callers see those that run an image of their repositories.
    """
    services = list(store.services.list())
    if not caller.is_limited:
        return services
    names = list_visible_service_names(caller, registry, store)
    return [service for service in services if service.name in names]


def list_visible_service_names(caller: Caller, registry: str, store: Store) -> set[str]:
    """The names of the services that the caller may see."""
    if not caller.is_limited:
        return {service.name for service in store.services.list()}
    running = store.services.list_deployed_images()
    return {entry.service for entry in running if caller.can_reach(repository=entry.reference.strip_registry(registry))}
