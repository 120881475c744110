"""The rows of a report on exposure: one for each image, place and package.

Those that are unknown follow.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dockgate.shared.wording import describe_caveat

COLUMNS = (
    "answer",
    "image",
    "repository",
    "tag",
    "in_place_since",
    "in_place_until",
    "package",
    "version",
    "purl",
    "ecosystem",
    "platform",
    "origin",
    "layer",
    "vulnerability",
    "severity",
    "fixed_in",
    "exposed_since",
    "exposed_until",
    "ended_by",
    "closed_at",
    "closed_because",
    "services",
    "cannot_be_judged",
    "pipelines",
    "waived_by",
    "reason",
)

# The answers of rows without an image, by the kind of a caveat (`services.exposure.caveats.CaveatKind`).
_CAVEATS = {"UnknownName": "unknown", "Limited": "not searched", "LeftOut": "left out", "StaleCatalogues": "outdated"}


def build_rows(exposure: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the rows of an answer of the server (`services.exposure.answer.Exposure` as JSON).

    A reason why the answer is unknown for every image, or no all-clear, is a row without an image.
    """
    for caveat in exposure["caveats"]:
        yield _build_row({"answer": _CAVEATS.get(caveat["kind"], "unknown"), "reason": describe_caveat(caveat)})
    for image in exposure["images"]:
        common_columns = {
            "answer": "contains it",
            "image": image["digest"],
            "services": " ".join(service["task_definition"] for service in image["services"]),
            "cannot_be_judged": "; ".join(describe_unjudged(image)),
            "pipelines": " ".join(image["pipelines"]),
        }
        for location in image["places"] or [None]:
            for package in image["packages"]:
                yield _build_row(common_columns | _describe_location(location) | _describe_package(package, location))
    if exposure["unknown"]["reason"]:
        yield _build_row({"answer": "unknown", "reason": exposure["unknown"]["reason"]})
    for image in exposure["unknown"]["images"]:
        yield _build_row(
            {
                "answer": "unknown",
                "image": image["digest"],
                "repository": image["repository"],
                "tag": image["tag"],
                "reason": image["reason"],
            }
        )


def describe_unjudged(image: Mapping[str, Any]) -> Iterator[str]:
    """Yield since when an image cannot be judged, and why each service that runs it cannot."""
    if image["cannot_judge_since"]:
        yield f"{image['status']} is the last verdict: cannot be judged since {image['cannot_judge_since']}"
    for service in image["services"]:
        if service["cannot_judge"]:
            yield f"{service['task_definition']} cannot be judged: {service['cannot_judge']}"


def _describe_location(location: Mapping[str, Any] | None) -> dict[str, str | None]:
    if location is None:
        return {}
    return {
        "repository": location["repository"],
        "tag": location["tag"],
        "in_place_since": location["since"],
        "in_place_until": location["until"],
    }


def _describe_package(package: Mapping[str, Any], location: Mapping[str, Any] | None) -> dict[str, str | None]:
    applied_waivers = [
        entry for entry in package["waived"] if location is None or entry["repository"] == location["repository"]
    ]
    life = package["life"]
    closed_period = life[-1] if life and not life[-1]["is_open"] else None
    return {
        "package": package["name"],
        "version": package["version"],
        "purl": package["purl"],
        "ecosystem": package["ecosystem"],
        "platform": package["platform"],
        "origin": package["origin"],
        "layer": package["layer"],
        "vulnerability": package["vulnerability"],
        "severity": package["severity"],
        "fixed_in": package["fixed"],
        "exposed_since": package["since"],
        "exposed_until": package["until"],
        "ended_by": package["ended_by"],
        "closed_at": closed_period["at"] if closed_period else None,
        "closed_because": closed_period["why"] if closed_period else None,
        "waived_by": "; ".join(f"{entry['owner']} ({entry['kind']} {entry['by']})" for entry in applied_waivers),
        "reason": "; ".join(entry["reason"] for entry in applied_waivers),
    }


def _build_row(values: Mapping[str, str | None]) -> dict[str, str]:
    return {column: values.get(column) or "" for column in COLUMNS}
