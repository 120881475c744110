"""Requests of external pipelines for an approval.

The approval's id is derived from the request and its principal, so the same request gives the same approval, and no
other principal gets its answer, token or callback secret.
"""

import hashlib
import re
from dataclasses import dataclass

from dockgate.delivery.model import Approval, ApprovalId
from dockgate.gate.policy_reference import PolicyReference
from dockgate.shared.errors import ConflictError, UsageError

NAME_LIMIT = 200
# Seconds.
TIMEOUT_LIMIT = 60 * 86400


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A request of an external pipeline for an approval.

    `reference` names the image as in the request, by tag or digest. `policy` is the one that the request names, None
    for the repository's own (`gate.policy_choice`). `timeout` is in seconds. A request with the same `key` is a
    repetition, even if the tag has moved meanwhile. `requester` is the principal's name.
    """

    pipeline: str
    stage: str
    execution: str
    reference: str
    policy: PolicyReference | None = None
    service: str | None = None
    callback_url: str | None = None
    callback_secret: str | None = None
    timeout: int = 7 * 86400
    key: str | None = None
    requester: str | None = None

    def __post_init__(self) -> None:
        for name, is_required in (("pipeline", True), ("stage", True), ("execution", True), ("service", False)):
            _require_name(name, getattr(self, name), is_required)
        _require_name("idempotency key", self.key, is_required=False)
        if not 1 <= self.timeout <= TIMEOUT_LIMIT:
            raise UsageError(f"a timeout of {self.timeout} s", f"Allowed: 1 to {TIMEOUT_LIMIT} seconds.")

    def make_id(self, repository: str, digest: str) -> ApprovalId:
        """Return the approval's id. It depends on the repository and the digest only without a key."""
        parts: list[str | None] = [self.requester, self.pipeline, self.execution, self.stage]
        if self.key:
            parts += ["key", self.key]
        else:
            parts += ["image", repository, digest, self.policy, self.service, self.callback_url]
        mark = hashlib.sha256("\0".join(part or "" for part in parts).encode()).hexdigest()[:32]
        return ApprovalId.make_external(
            _make_slug(self.pipeline), _make_slug(self.execution), _make_slug(self.stage), mark
        )

    def require_same(self, approval: Approval) -> None:
        """Raise ConflictError if this approval is of another request with the same idempotency key.

        A request that names no policy is the same whatever policy judges it.
        """
        request = self.reference, self.policy or approval.policy, self.service
        if request != (approval.reference, approval.policy, approval.service):
            raise ConflictError(
                f"the idempotency key {self.key!r} was used for {approval.reference} by the policy {approval.policy!r}",
                "Use another key for another request.",
            )


def get_pipeline_name(approval: Approval) -> str | None:
    """Return the name of the pipeline that waits: ours, or an external one; None if that gave no name."""
    return approval.pipeline or (approval.action.pipeline if approval.action else None)


def make_scope(approval: Approval) -> dict[str, str | None]:
    """Return the repository and the pipeline that an approval belongs to, for `identity.model.Caller`.

    An external pipeline chooses its name itself, so its approval belongs to no pipeline (None).
    """
    return make_image_scope(approval.repository, approval.id, approval.pipeline)


def make_image_scope(repository: str, approval: ApprovalId, pipeline: str | None) -> dict[str, str | None]:
    """Return what `make_scope` does, of an approval of an image. `pipeline` is as in `Approval`."""
    action = approval.action
    return {"repository": repository, "pipeline": (pipeline or action.pipeline) if action else None}


def _require_name(field: str, text: str | None, is_required: bool) -> None:
    text = text or ""
    if (is_required and not text) or len(text) > NAME_LIMIT or not text.isprintable():
        raise UsageError(
            f"{text[:NAME_LIMIT]!r} is not a {field}", f"Give {'1' if is_required else '0'} to {NAME_LIMIT} characters."
        )


def _make_slug(text: str) -> str:
    """Return what people recognise, without what has a meaning in a URL's path; the mark tells all apart."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:60].strip(".-") or "-"
