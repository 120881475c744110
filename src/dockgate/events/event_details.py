"""Read the details of events, whatever their shape. Pure."""

import json
from collections.abc import Mapping
from sys import intern
from typing import Any

from dockgate.shared.wording import shorten_text, to_one_line


def read_vulnerabilities(detail: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    """Names and severities (None where unknown): of texts, or of objects with `id` and `severity`.

    At most 100.
    """
    values = detail.get("vulnerabilities") or detail.get("vulnerability") or ()
    nested_details = detail.get("packageVulnerabilityDetails")
    if not values and isinstance(nested_details, Mapping):
        values = {"id": nested_details.get("vulnerabilityId"), "severity": detail.get("severity")}
    names: dict[str, str | None] = {}
    for value in (values if isinstance(values, list | tuple) else [values])[:100]:
        name = value.get("id") if isinstance(value, Mapping) else value
        if name:
            severity = value.get("severity") if isinstance(value, Mapping) else None
            names.setdefault(
                intern(shorten_text(to_one_line(str(name)), 60)), intern(str(severity)) if severity else None
            )
    return tuple(names), tuple(names.values())


def read_image_resource(detail: Mapping[str, Any]) -> Mapping[str, Any]:
    """The image that an `Inspector2 Finding` is about, or None."""
    resources = detail.get("resources")
    value: object = resources[0] if isinstance(resources, list) and resources else None
    for name in ("details", "awsEcrContainerImage"):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def read_text(detail: Mapping[str, Any], *names: str) -> str | None:
    """Return the first field of these that has a value, in one line, None without any.

    Others than texts are returned as JSON.
    """
    value = next((detail[name] for name in names if detail.get(name)), "")
    return to_one_line(value if isinstance(value, str) else json.dumps(value, default=str)) or None


def read_reason(detail: Mapping[str, Any]) -> str | None:
    """Return why it happened, in the words of the event, None if it does not say.

    If several parts failed, it is the reason of the first.
    """
    if text := read_text(detail, "summary", "reason"):
        return text
    parts = detail.get("parts")
    part = parts[0] if isinstance(parts, list) and parts else None
    return read_text(part, "reason") if isinstance(part, Mapping) else None


def format_kind(kind: str) -> str:
    """ "service.at_risk" as "service at risk"."""
    return kind.replace(".", " ").replace("_", " ")
