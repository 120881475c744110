"""The keys that attestations are signed with, and what became of those of an image."""

from dataclasses import dataclass

from fastapi import APIRouter

from dockgate.attestations.statements import Attestation, ListedKey
from dockgate.delivery.ports import Attestor
from dockgate.services import attesting
from dockgate.services.server import Server
from dockgate.shared.errors import NotFoundError
from dockgate.web.api import Administrator, Digest, GuardedRoute, Reader, TheServer, narrow
from dockgate.web.api.images import require

router = APIRouter(route_class=GuardedRoute)


@dataclass(frozen=True, slots=True)
class Keys:
    """The present key first, then those before it."""

    keys: list[ListedKey]


@router.get("/attestation-keys")
@narrow
def keys(who: Reader, server: TheServer) -> Keys:
    """The public keys, in PEM: the present one first."""
    return Keys(list(_attestor(server).keys()))


@router.post("/attestation-keys", status_code=201)
def rotate(who: Administrator, server: TheServer) -> Keys:
    """Signs with a new key from now on. The old one stays listed, and can sign no more."""
    return Keys(list(_attestor(server).rotate()))


@router.get("/images/{digest}/attestations")
@narrow
def attestations(digest: Digest, who: Reader, server: TheServer) -> list[Attestation]:
    """What became of the attestations of an image, newest first. What it says lies in the registry beside it."""
    require(who, digest, server)
    return list(attesting.attestations(server.store.outbox, digest))


def _attestor(server: Server) -> Attestor:
    if server.parts.attestor is None:
        raise NotFoundError("this server signs no attestations")
    return server.parts.attestor
