"""Read the notifications of registries: the pushes and deletions that they report."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from dockgate.delivery.model import REPOSITORY
from dockgate.events import pushes
from dockgate.events.ports import PushNotificationFormat, RegistryDeletion, RegistryPush
from dockgate.scanner.registry_reference import TAG
from dockgate.shared.digest import PATTERN
from dockgate.shared.errors import DeniedError, NotFoundError, UsageError


def read_reports(form: str, registry: str | None, document: Callable[[], Any]) -> list[RegistryPush | RegistryDeletion]:
    """The pushes and deletions that a notification reports. UsageError for an invalid one."""
    try:
        reports = list(get_format(form).read(document()))
        for report in reports:
            _check(report, registry)
    except (AttributeError, KeyError, LookupError, TypeError, ValueError, RecursionError) as error:
        problem = f"not a notification of {form}: {type(error).__name__}: {error}"
        raise UsageError(problem, "Use the URL that `dockgate registry hook` prints for this registry.") from None
    return reports


def _check(report: RegistryPush | RegistryDeletion, registry: str | None) -> None:
    """ValueError unless each field follows the grammar: they become part of requests to a registry."""
    if registry and report.registry and report.registry != registry:
        raise DeniedError(
            f"a notification of {report.registry} has the secret of {registry}",
            "Each registry has a secret of its own: `dockgate registry hook`.",
        )
    push = report if isinstance(report, RegistryPush) else None
    for subject, text, pattern in (
        ("repository", report.repository, REPOSITORY),
        ("tag", report.tag or "", f"(?:{TAG})?"),
        ("digest", report.digest or "", f"(?:{PATTERN})?" if push else PATTERN),
    ):
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text[:100]!r} is not a {subject}")
    if push and (not (push.tag or push.digest) or len(push.id or "") > 1000):
        raise ValueError("it has neither tag nor digest")


_load_formats = cache(pushes.load)


def get_format(form: str) -> PushNotificationFormat:
    """Return the format of notifications with this name. NotFoundError lists those that exist."""
    formats = _load_formats()
    if form not in formats:
        raise NotFoundError(f"there is no format {form!r} of notifications", f"Use one of: {', '.join(formats)}.")
    return formats[form]
