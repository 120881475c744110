"""Notifications of pushes, from any registry: who may send them, and what follows."""

import base64
import binascii
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from dockgate.aws.messages import Record, body
from dockgate.delivery.approval_request import is_qualified, qualified
from dockgate.delivery.model import REPOSITORY
from dockgate.events import pushes
from dockgate.events.ports import Pushed, Pushes
from dockgate.scanner.images.ecr import region_of
from dockgate.services.server import Server
from dockgate.shared.digest import PATTERN
from dockgate.shared.errors import DeniedError, NotFoundError, UsageError

OUR_OWN, ECR = "distribution", "ecr"
_TAG = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_HOST = r"[A-Za-z0-9.-]+(:[0-9]{1,5})?"


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a registry has to send its notifications (`url`), and the `authorization` header that it has to send with
    them. A sender that can set no header takes `url_with_secret`: the same as a password in the URL."""

    format: str
    registry: str
    url: str
    authorization: str
    url_with_secret: str


def hook(server: Server, form: str, registry: str) -> Hook:
    """NotFoundError for an unknown format, UsageError for what is no registry."""
    _format(form)
    if not re.fullmatch(_HOST, registry) or not is_qualified(f"{registry}/image"):
        raise UsageError(f"{registry!r} is no registry", "Give its host as in references: harbor.example.org.")
    url, secret = f"{server.url}/registry/{form}/{registry}", server.hooks.secret(form, registry)
    scheme, _, rest = url.partition("://")
    return Hook(form, registry, url, f"Bearer {secret}", f"{scheme}://{registry.partition(':')[0]}:{secret}@{rest}")


def changed(server: Server, form: str, registry: str) -> Hook:
    """The hook with a new secret; the one that the registry had is none from now on. Raises as `hook` does."""
    hook(server, form, registry)
    server.hooks.change(form, registry)
    return hook(server, form, registry)


def require_secret(server: Server, form: str, registry: str, authorization: str) -> None:
    """Raise DeniedError unless the header has the secret of this registry, "" for our own."""
    known = server.hooks.secret(form, registry) if registry else server.hooks.own
    if not _shows(authorization, known):
        raise DeniedError("the registry's notification came without our secret", "`dockgate registry hook` tells it.")


def arrived(server: Server, form: str, registry: str, authorization: str, sent: bytes) -> None:
    """Takes a notification of a foreign registry, or, with `registry` "", of our own.

    DeniedError without its secret, or when it tells of another registry; UsageError for what is no notification;
    UnavailableError makes the sender try again.
    """
    require_secret(server, form, registry, authorization)
    for one in _told(form, registry, lambda: json.loads(sent)):
        _take(server, form, registry, one)


def queued(server: Server, text: str) -> None:
    """Takes an event of Amazon ECR that came by a queue, on its own or inside a message of Amazon SNS: who may put
    messages there is for the queue to say.

    UsageError for what is no such event; other events are none of our business, and nothing follows.
    """
    event = body(Record({"body": text}))
    for one in _told(ECR, "", lambda: event):
        if not region_of(one.registry):
            raise UsageError(f"that is no event of Amazon ECR: {one.registry[:100]!r} is no registry of its")
        _take(server, ECR, one.registry, one)


def _told(form: str, registry: str, document: Callable[[], Any]) -> list[Pushed]:
    """The pushes that a notification tells of."""
    try:
        told = list(_format(form).read(document()))
        for one in told:
            _check(one, registry)
    except (AttributeError, KeyError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"that is no notification of {form}: {type(error).__name__}: {error}") from None
    return told


def _take(server: Server, form: str, registry: str, pushed: Pushed) -> None:
    if not registry:
        repository = qualified(pushed.repository, server.parts.registry.address)
        server.engine.image_pushed(pushed.id, repository, pushed.digest, pushed.tag, pushed.by)
        return
    repository, digest = f"{registry}/{pushed.repository}", pushed.digest
    if not digest:
        _, digest = server.parts.resolve_image(f"{repository}:{pushed.tag}")
    event = pushed.id or f"{pushed.repository}:{pushed.tag}@{digest}"
    server.engine.image_pushed(f"{form}/{registry}/{event}", repository, digest, pushed.tag)


def _check(pushed: Pushed, registry: str) -> None:
    """What a notification says goes into requests to a registry: only what its grammar allows."""
    if registry and pushed.registry and pushed.registry != registry:
        raise DeniedError(
            f"the secret of {registry} came with a notification of {pushed.registry}",
            "Each registry has a secret of its own: `dockgate registry hook`.",
        )
    for what, text, pattern in (
        ("repository", pushed.repository, REPOSITORY),
        ("tag", pushed.tag, f"(?:{_TAG})?"),
        ("digest", pushed.digest, f"(?:{PATTERN})?"),
    ):
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text[:100]!r} is no {what}")
    if not (pushed.tag or pushed.digest) or len(pushed.id) > 1000:
        raise ValueError("it names neither tag nor digest")


_known = cache(pushes.load)


def _format(form: str) -> Pushes:
    known = _known()
    if form not in known:
        raise NotFoundError(f"there is no format {form!r} of notifications", f"There are: {', '.join(known)}.")
    return known[form]


def _shows(given: str, secret: str) -> bool:
    """The secret alone, as a bearer token, or as a password (RFC 7617): senders differ in what they can be told."""
    kind, _, value = given.partition(" ")
    if kind.lower() == "bearer":
        given = value
    elif kind.lower() == "basic":
        try:
            given = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            given = ""
    return hmac.compare_digest(given.encode(errors="replace"), secret.encode())
