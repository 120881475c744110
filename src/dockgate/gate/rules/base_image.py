"""Images that are built on a base image that is not allowed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dockgate.gate import patterns
from dockgate.gate.model import Violation
from dockgate.gate.rule import Facts, Rule
from dockgate.gate.rules._settings import known, refused, words
from dockgate.scanner.model import Inventory
from dockgate.shared.errors import DefinitionError
from dockgate.shared.timestamps import moment
from dockgate.vulnerabilities.model import Undetermined

_NAMES = "patterns of names"
_IMAGE_KEYS = ("name", "layers", "platform", "until")
_DIGEST = "sha256:[0-9a-f]{64}"
_LAYER_LIMIT = 500
"""layers of one base image"""
_SHOWN = 8
"""names in a message"""

_NAME_ADVICE = (
    "Build the image with the annotation org.opencontainers.image.base.name, or list base images by `images`."
)


class BaseImage:
    """Settings: `allowed`, `images`, or both; then both must hold.

    `allowed`: patterns (`core.patterns`) of which one matches the whole name of the base image. The name is what the
    image's manifest, config or history says: "docker.io/library/debian:13".

    `images`: base images by their layers, each a mapping of `name`, `layers` (sha256 digests, base first), and
    optionally `platform` ("linux/amd64") and `until` (the last moment at which it is allowed). The image's lowest
    layers must be exactly the layers of one of them. A layer is named by its diff_id, the digest of the uncompressed
    tar, which survives recompression by registries and builders; the digest of the compressed blob is accepted too.
    """

    name = "base_image"
    always: Mapping[str, object] | None = None
    looks_at: tuple[str, ...] = ()
    schema: Mapping[str, Any] = {
        "properties": {
            "allowed": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            "images": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "minLength": 1},
                        "layers": {
                            "type": "array",
                            "items": {"type": "string", "pattern": f"^{_DIGEST}$"},
                            "minItems": 1,
                            "maxItems": _LAYER_LIMIT,
                        },
                        "platform": {"type": "string", "minLength": 1},
                        "until": {"type": "string"},
                    },
                    "required": ["name", "layers"],
                    "additionalProperties": False,
                },
            },
        },
        "anyOf": [{"required": ["allowed"]}, {"required": ["images"]}],
    }

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, ("allowed", "images"))
        if not given.keys() & {"allowed", "images"}:
            raise DefinitionError(
                f"base_image: nothing allowed; it needs allowed, a list of {_NAMES}, or images, a list of base images "
                "with their layers"
            )
        full: dict[str, object] = {}
        if "allowed" in given:
            full["allowed"] = words("allowed", given["allowed"], _NAMES)
        if "images" in given:
            images = given["images"]
            if not isinstance(images, (list, tuple)) or not images:
                raise refused("images", images, "a list of base images, each with name and layers")
            full["images"] = [_image(f"images.{index}", image) for index, image in enumerate(images)]
        return full

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ()

    def judge(self, facts: Facts, settings: Mapping[str, object]) -> Iterator[Violation | Undetermined]:
        if "allowed" in settings:
            yield from self._judge_name(facts.inventory.base, words("allowed", settings["allowed"], _NAMES))
        if "images" in settings:
            yield from self._judge_layers(facts, _mappings(settings["images"]))

    def _judge_name(self, base: str, allowed: Sequence[str]) -> Iterator[Violation | Undetermined]:
        if not base:
            reason = "It is not known which image this one is built on."
            yield Undetermined("/", reason, advice=_NAME_ADVICE)
        elif not any(patterns.matches(base, pattern) for pattern in allowed):
            yield Violation(self.name, f"The base image {base} is none of those allowed: {', '.join(allowed)}")

    def _judge_layers(self, facts: Facts, images: Sequence[Mapping[str, Any]]) -> Iterator[Violation | Undetermined]:
        inventory = facts.inventory
        if facts.reported or not inventory.layers:
            reason = "The digests of the image's layers are not known, so neither is its base image."
            yield Undetermined("/", reason, advice="Scan the image with Dockgate, which reads its layers.")
            return
        candidates = [one for one in images if one.get("platform", inventory.platform) == inventory.platform]
        answers = [(one, _starts_with(inventory, one["layers"])) for one in candidates]
        matching = [one for one, answer in answers if answer is True]
        if any(not _is_over(one.get("until"), facts.now) for one in matching):
            return
        if any(answer is None and not _is_over(one.get("until"), facts.now) for one, answer in answers):
            yield Undetermined(
                "/",
                "The uncompressed digests (diff_ids) of the image's layers were not verified, so it is not known "
                "whether they are those of an allowed base image.",
                advice="Scan the image with Dockgate from its registry, which verifies its layers.",
            )
        elif matching:
            latest = max(matching, key=lambda one: str(one["until"]))
            yield Violation(self.name, f"The base image {latest['name']} was allowed until {latest['until']}")
        else:
            names = list(dict.fromkeys(str(one["name"]) for one in images))
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            shown = ", ".join(names[:_SHOWN])
            yield Violation(self.name, f"The lowest layers are not those of an allowed base image: {shown}{more}")


RULE: Rule = BaseImage()


def _starts_with(inventory: Inventory, wanted: Sequence[str]) -> bool | None:
    """Whether the lowest layers are the wanted ones; None when a digest that decides it was not verified."""
    if len(wanted) > len(inventory.layers):
        return False
    diff_ids = inventory.diff_ids or ("",) * len(inventory.layers)
    layers = list(zip(inventory.layers, diff_ids, strict=True))[: len(wanted)]
    pairs = zip(wanted, layers, strict=True)
    differing = [diff_id for digest, (blob, diff_id) in pairs if digest not in (blob, diff_id)]
    if any(differing):
        return False
    return None if differing else True


def _is_over(until: object, now: str) -> bool:
    """Whether the time is past. A date alone is its first instant."""
    if until is None:
        return False
    end, here = moment(str(until)), moment(now)
    return end is None or here is None or end <= here


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, (list, tuple)) else []


def _image(key: str, given: object) -> dict[str, object]:
    if not isinstance(given, Mapping):
        raise refused(key, given, "a mapping with name and layers")
    known(given, _IMAGE_KEYS, f"{key}.")
    for name in ("name", "platform"):
        text = given.get(name, None if name == "name" else "any")
        if not isinstance(text, str) or not text.strip():
            raise refused(f"{key}.{name}", text, "a text")
    layers = given.get("layers")
    if not isinstance(layers, (list, tuple)) or not 0 < len(layers) <= _LAYER_LIMIT:
        raise refused(f"{key}.layers", layers, f"a list of 1 to {_LAYER_LIMIT} sha256 digests, base first")
    for index, layer in enumerate(layers):
        if not isinstance(layer, str) or not re.fullmatch(_DIGEST, layer):
            raise refused(f"{key}.layers.{index}", layer, "a digest, sha256: and 64 hexadecimal digits")
    until = given.get("until")
    if until is not None and (not isinstance(until, str) or moment(until) is None):
        raise refused(f"{key}.until", until, "a date, 2026-12-31, or a time in RFC 3339")
    return {**given, "layers": list(layers)}
