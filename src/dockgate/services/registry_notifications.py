"""Notifications of pushes: which registries may send them, and what each reports."""

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
from dockgate.delivery.model import REPOSITORY
from dockgate.delivery.ports import ImageResolver
from dockgate.events import pushes
from dockgate.events.ports import Pushed, Pushes
from dockgate.scanner.images.ecr import region_of
from dockgate.services.registry_pushes import RegistryPushes
from dockgate.services.webhook_secrets import WebhookSecrets
from dockgate.shared.digest import PATTERN
from dockgate.shared.errors import DeniedError, NotFoundError, UsageError
from dockgate.shared.references import RepositoryReference, own_repository

OUR_OWN, ECR = "distribution", "ecr"
_TAG = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_HOST = r"[A-Za-z0-9.-]+(:[0-9]{1,5})?"


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a registry sends its notifications (`url`), and the `authorization` header that it sends with them.

    A sender that can set no header uses `url_with_secret`, which has the secret as its password.
    """

    format: str
    registry: str
    url: str
    authorization: str
    url_with_secret: str


class RegistryNotifications:
    """Receives notifications. `url` is the server's own, `registry` the address of our own registry."""

    def __init__(
        self, pushes: RegistryPushes, secrets: WebhookSecrets, resolve_image: ImageResolver, url: str, registry: str
    ) -> None:
        self._pushes = pushes
        self._secrets = secrets
        self._resolve_image = resolve_image
        self._url = url
        self._registry = registry

    def hook(self, form: str, registry: str) -> Hook:
        """Return where this registry sends its notifications.

        NotFoundError for an unknown format, UsageError for an invalid registry.
        """
        _format(form)
        if not re.fullmatch(_HOST, registry) or RepositoryReference.parse(f"{registry}/image").is_own:
            raise UsageError(f"{registry!r} is not a registry", "Give its host as in references: harbor.example.org.")
        url, secret = f"{self._url}/registry/{form}/{registry}", self._secrets.secret(form, registry)
        scheme, _, rest = url.partition("://")
        with_secret = f"{scheme}://{registry.partition(':')[0]}:{secret}@{rest}"
        return Hook(form, registry, url, f"Bearer {secret}", with_secret)

    def rotate_secret(self, form: str, registry: str) -> Hook:
        """Return the hook with a new secret; the old secret ends now. Raises what `hook` raises."""
        self.hook(form, registry)
        self._secrets.change(form, registry)
        return self.hook(form, registry)

    def require_secret(self, form: str, registry: str, authorization: str) -> None:
        """Raise DeniedError unless the header has the secret of this registry, "" for our own."""
        secret = self._secrets.secret(form, registry) if registry else self._secrets.own
        if not _has_secret(authorization, secret):
            raise DeniedError(
                "the registry's notification came without our secret", "`dockgate registry hook` prints it."
            )

    def receive(self, form: str, registry: str, authorization: str, sent: bytes) -> None:
        """Record the pushes that a notification reports. `registry` is "" for our own.

        DeniedError without the secret, or for a push to another registry; UsageError for an invalid notification;
        UnavailableError makes the sender try again.
        """
        self.require_secret(form, registry, authorization)
        for push in _read_pushes(form, registry, lambda: json.loads(sent)):
            self._record(form, registry, push)

    def receive_ecr_event(self, text: str) -> None:
        """Record the push that an event of Amazon ECR reports.

        The event comes by a queue, alone or inside a message of Amazon SNS. The queue decides who may send to it.
        Raises UsageError for an invalid event; events about anything but pushes are ignored.
        """
        event = body(Record({"body": text}))
        for push in _read_pushes(ECR, "", lambda: event):
            if not region_of(push.registry):
                raise UsageError(f"not an event of Amazon ECR: {push.registry[:100]!r} is not a registry of ECR")
            self._record(ECR, push.registry, push)

    def _record(self, form: str, registry: str, push: Pushed) -> None:
        if not registry:
            repository = own_repository(push.repository, self._registry)
            self._pushes.record(push.id, repository, push.digest, push.tag, push.by)
            return
        repository, digest = f"{registry}/{push.repository}", push.digest
        if not digest:
            _, digest = self._resolve_image(f"{repository}:{push.tag}")
        event = push.id or f"{push.repository}:{push.tag}@{digest}"
        self._pushes.record(f"{form}/{registry}/{event}", repository, digest, push.tag)


def _read_pushes(form: str, registry: str, document: Callable[[], Any]) -> list[Pushed]:
    """The pushes that a notification reports. UsageError for an invalid one."""
    try:
        reported = list(_format(form).read(document()))
        for push in reported:
            _check(push, registry)
    except (AttributeError, KeyError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"not a notification of {form}: {type(error).__name__}: {error}") from None
    return reported


def _check(pushed: Pushed, registry: str) -> None:
    """ValueError unless each field follows the grammar: they become part of requests to a registry."""
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
            raise ValueError(f"{text[:100]!r} is not a {what}")
    if not (pushed.tag or pushed.digest) or len(pushed.id) > 1000:
        raise ValueError("it has neither tag nor digest")


_formats = cache(pushes.load)


def _format(form: str) -> Pushes:
    formats = _formats()
    if form not in formats:
        raise NotFoundError(f"there is no format {form!r} of notifications", f"There are: {', '.join(formats)}.")
    return formats[form]


def _has_secret(authorization: str, secret: str) -> bool:
    """Whether the header contains the secret.

    Senders differ: it is alone, a bearer token, or a password (RFC 7617).
    """
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        authorization = value
    elif kind.lower() == "basic":
        try:
            authorization = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            authorization = ""
    return hmac.compare_digest(authorization.encode(errors="replace"), secret.encode())
