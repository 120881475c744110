"""Signing keys of attestations, and the attestations of images."""

from dataclasses import dataclass

from dockgate.attestations.model import Attestation, ListedKey
from dockgate.delivery.ports import Attestor
from dockgate.services.images.visibility import ImageVisibility
from dockgate.services.verdicts.attestations import list_attestations
from dockgate.services.web_services import ApprovalServices
from dockgate.shared.errors import NotFoundError
from dockgate.web.api import (
    AdminCaller,
    ApprovalDependency,
    Digest,
    ReadCaller,
    StoreDependency,
    make_router,
    mark_self_checking,
)
from dockgate.web.audit_details import note_change

router = make_router()


@dataclass(frozen=True, slots=True)
class Keys:
    """The present key first, then former keys."""

    keys: list[ListedKey]


@router.get("/attestation-keys")
@mark_self_checking
def list_keys(caller: ReadCaller, approvals: ApprovalDependency) -> Keys:
    """List the public keys (PEM), the present one first."""
    return Keys(list(_require_attestor(approvals).list_keys()))


@router.post("/attestation-keys", status_code=201)
def rotate_key(caller: AdminCaller, approvals: ApprovalDependency) -> Keys:
    """Replace the signing key. The old public key stays listed."""
    keys = list(_require_attestor(approvals).rotate())
    note_change(f"key {keys[0].id} replaces {keys[1].id}")
    return Keys(keys)


@router.get("/images/{digest}/attestations")
@mark_self_checking
def list_image_attestations(digest: Digest, caller: ReadCaller, store: StoreDependency) -> list[Attestation]:
    """List the attestations of an image, newest first. Their content is in the registry."""
    visibility = ImageVisibility(store, caller)
    visibility.require_image(digest)
    names = visibility.list_repositories(digest) if caller.is_limited else None
    return list(list_attestations(store.outbox, digest, names))


def _require_attestor(approvals: ApprovalServices) -> Attestor:
    if approvals.attestor is None:
        raise NotFoundError("this server signs no attestations", "Ask a server of `dockgate up`.")
    return approvals.attestor
