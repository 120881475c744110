"""The REST API, one router per noun.

Bodies and responses are dataclasses, documented by the OpenAPI document.

Every call has a parameter `caller` of one of the types below, even if unused: it is the required permission. Routers
are made by `make_router`, whose `GuardedRoute` checks the permission before it reads the body.
"""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.routing import APIRoute

from dockgate.identity.model import Caller, Permission
from dockgate.services.attention import AttentionReader
from dockgate.services.clock import ServerClock
from dockgate.services.web_services import (
    AccessServices,
    Addresses,
    ApprovalServices,
    DeliveryServices,
    EventServices,
    FleetServices,
    ImageServices,
    PolicyServices,
    RegistryServices,
    SourceServices,
    UpkeepServices,
)
from dockgate.shared.digest import PATTERN
from dockgate.store import Store
from dockgate.web.authorization import (
    API,
    GuardedRoute,
    RequirePermission,
    get_authorized_caller,
    mark_self_checking,
)
from dockgate.web.error_responses import ERRORS
from dockgate.web.query_parameters import KNOWN_PARAMETERS
from dockgate.web.threads import ThreadsDependency

__all__ = [
    "DOCUMENT",
    "AcceptCaller",
    "AccessDependency",
    "AddressesDependency",
    "AdminCaller",
    "ApprovalDependency",
    "AttentionDependency",
    "ClockDependency",
    "Count",
    "DecideCaller",
    "DefineCaller",
    "DeliveryDependency",
    "Digest",
    "EventDependency",
    "FleetDependency",
    "ImageDependency",
    "PolicyDependency",
    "ReadCaller",
    "RegistryDependency",
    "RunCaller",
    "SourceDependency",
    "StoreDependency",
    "ThreadsDependency",
    "UpkeepDependency",
    "describe_body",
    "make_router",
    "make_view_maker",
    "mark_self_checking",
]


S = TypeVar("S")
T = TypeVar("T")


async def _take_document_slot(request: Request, threads: ThreadsDependency) -> None:
    caller = get_authorized_caller(request)
    await threads.begin_document(request, caller.name if caller else "")


# A dependency of the calls that answer with a document. Documents can be large, so few are in memory at the same time.
DOCUMENT = Depends(_take_document_slot)

# At most JSON's largest exact integer.
Count = Annotated[int, Query(ge=0, le=1 << 53)]
Number = Annotated[int, Path(ge=1, le=1 << 53)]
Digest = Annotated[str, Path(pattern=f"^{PATTERN}$")]


def _make_dependency(name: str) -> Any:
    """A dependency on a record of the server's use cases, by its field in `WebServices`."""

    async def get_record(request: Request) -> Any:
        return getattr(request.app.state.services, name)

    return Depends(get_record)


# What a call uses: the records of its subjects, and the store for lists. They are fields of `WebServices`.
AddressesDependency = Annotated[Addresses, _make_dependency("addresses")]
StoreDependency = Annotated[Store, _make_dependency("store")]
ClockDependency = Annotated[ServerClock, _make_dependency("clock")]
ApprovalDependency = Annotated[ApprovalServices, _make_dependency("approvals")]
ImageDependency = Annotated[ImageServices, _make_dependency("images")]
FleetDependency = Annotated[FleetServices, _make_dependency("fleet")]
PolicyDependency = Annotated[PolicyServices, _make_dependency("policies")]
SourceDependency = Annotated[SourceServices, _make_dependency("sources")]
DeliveryDependency = Annotated[DeliveryServices, _make_dependency("delivery")]
RegistryDependency = Annotated[RegistryServices, _make_dependency("registries")]
EventDependency = Annotated[EventServices, _make_dependency("events")]
AccessDependency = Annotated[AccessServices, _make_dependency("access")]
AttentionDependency = Annotated[AttentionReader, _make_dependency("attention")]
UpkeepDependency = Annotated[UpkeepServices, _make_dependency("upkeep")]

# The types of the parameter `caller`, which every call has. The call is refused to a caller without the permission.
ReadCaller = Annotated[Caller, Depends(RequirePermission(Permission.READ))]
RunCaller = Annotated[Caller, Depends(RequirePermission(Permission.RUN))]
DecideCaller = Annotated[Caller, Depends(RequirePermission(Permission.DECIDE))]
AcceptCaller = Annotated[Caller, Depends(RequirePermission(Permission.ACCEPT))]
AdminCaller = Annotated[Caller, Depends(RequirePermission(Permission.ADMINISTER))]
# With either permission: `services.pipelines.documents` then requires the one that the document needs.
DefineCaller = Annotated[Caller, Depends(RequirePermission(Permission.ACCEPT, Permission.ADMINISTER))]


def make_router(route_class: type[APIRoute] = GuardedRoute, *, include_in_schema: bool = True) -> APIRouter:
    """A router of calls, whose routes are served as they are.

    FastAPI would build those of an included router twice.
    """
    return APIRouter(
        prefix=API,
        route_class=route_class,
        include_in_schema=include_in_schema,
        responses=ERRORS,
        dependencies=[KNOWN_PARAMETERS],
    )


def make_view_maker(kind: type[T], source: type[S], *more_fields: str) -> Callable[..., T]:
    """Return a function that makes a `kind` from a `source` and `more_fields`.

    Fields of the source have the same names; `more_fields` are given by keyword. TypeError, at the import, if `kind`
    has a field that neither of them gives.
    """
    names = {field.name for field in dataclasses.fields(kind)} - set(more_fields)  # type: ignore[arg-type]
    available = {*(field.name for field in dataclasses.fields(source)), *dir(source)}  # type: ignore[arg-type]
    if missing_names := sorted(names - available):
        raise TypeError(f"{kind.__name__} shows {', '.join(missing_names)}, which {source.__name__} does not have")

    def make_view(instance: S, **fields: object) -> T:
        return kind(**fields, **{name: getattr(instance, name) for name in names})

    return make_view


def describe_body(media_type: str, kind: str) -> dict[str, Any]:
    """OpenAPI for a body that the call reads itself."""
    return {"requestBody": {"required": True, "content": {media_type: {"schema": {"type": kind}}}}}
