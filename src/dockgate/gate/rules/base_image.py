"""Only allowed base images."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from dockgate.gate import patterns
from dockgate.gate.model import Violation
from dockgate.gate.rule import Rule, RuleDependency, RuleInput, RuleOutcomes
from dockgate.gate.rules._settings import (
    TEXT_SCHEMA,
    build_list_schema,
    build_object_schema,
    make_refusal,
    read_digest,
    read_text_list,
    require_known_keys,
    select_mappings,
)
from dockgate.scanner.model import Inventory
from dockgate.shared.digest import PATTERN
from dockgate.shared.errors import DefinitionError
from dockgate.shared.interfaces import override
from dockgate.shared.timestamps import parse_time
from dockgate.shared.wording import join_words
from dockgate.vulnerabilities.model import UndeterminedFact

_NAMES = "patterns of names"
_IMAGE_KEYS = ("name", "layers", "platform", "until")
_MAX_LAYERS = 500  # of one base image
_MAX_NAMES = 8  # in a message

_NAME_ADVICE = "Build the image with the annotation org.opencontainers.image.base.name, or set `images`."


class BaseImage(Rule):
    """Settings: `allowed`, `images`, or both; then both must hold.

    `allowed`: patterns (`gate.patterns`), one of which must match the whole name of the base image. The name comes from
    the image's manifest, config or history: "docker.io/library/debian:13".

    `images`: base images by their layers, each a mapping of `name`, `layers` (sha256 digests, base first), and
    optionally `platform` ("linux/amd64") and `until` (the last moment at which it is allowed). The image's lowest
    layers must be exactly the layers of one of them. A layer is identified by its diff_id, the digest of the
    uncompressed tar, which survives recompression by registries and builders; the digest of the compressed blob is
    accepted too.
    """

    name = "base_image"
    dependency = RuleDependency.IMAGE
    schema: Mapping[str, Any] = {
        "properties": {
            "allowed": build_list_schema(TEXT_SCHEMA),
            "images": build_list_schema(
                build_object_schema(
                    {
                        "name": TEXT_SCHEMA,
                        "layers": build_list_schema(
                            {"type": "string", "pattern": f"^{PATTERN}$"}, maxItems=_MAX_LAYERS
                        ),
                        "platform": TEXT_SCHEMA,
                        "until": {"type": "string"},
                    },
                    required_keys=["name", "layers"],
                )
            ),
        },
        "anyOf": [{"required": ["allowed"]}, {"required": ["images"]}],
    }

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, ("allowed", "images"))
        if not raw.keys() & {"allowed", "images"}:
            raise DefinitionError(
                f"base_image: no base image is allowed; set allowed, a list of {_NAMES}, or images, a list of base "
                "images with their layers"
            )
        full: dict[str, object] = {}
        if "allowed" in raw:
            full["allowed"] = read_text_list("allowed", raw["allowed"], _NAMES)
        if "images" in raw:
            images = raw["images"]
            if not isinstance(images, (list, tuple)) or not images:
                raise make_refusal("images", images, "a list of base images, each with name and layers")
            full["images"] = [_parse_image(f"images.{index}", image) for index, image in enumerate(images)]
        return full

    @override
    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        sentences = []
        if isinstance(patterns := settings.get("allowed"), (list, tuple)):
            sentences.append(f"The base image is named {join_words(patterns)}.")
        if images := select_mappings(settings.get("images", ())):
            names = [
                str(image["name"]) + (f" until {image['until']}" if image.get("until") else "") for image in images
            ]
            sentences.append(f"The lowest layers are exactly those of {join_words(names)}.")
        return sentences

    @override
    def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> RuleOutcomes:
        if "allowed" in settings:
            yield from self._judge_name(
                rule_input.inventory.base, read_text_list("allowed", settings["allowed"], _NAMES)
            )
        if "images" in settings:
            yield from self._judge_layers(rule_input, select_mappings(settings["images"]))

    @override
    def list_change_times(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterable[datetime]:
        ends = (parse_time(str(image.get("until"))) for image in select_mappings(settings.get("images")))
        return [end for end in ends if end is not None]

    def _judge_name(self, base: str | None, allowed_patterns: Sequence[str]) -> RuleOutcomes:
        if not base:
            yield UndeterminedFact("/", "The base image is not known.", advice=_NAME_ADVICE)
        elif not any(patterns.is_match(base, pattern) for pattern in allowed_patterns):
            yield Violation(self.name, f"The base image {base} is not allowed; allowed: {', '.join(allowed_patterns)}")

    def _judge_layers(self, rule_input: RuleInput, images: Sequence[Mapping[str, Any]]) -> RuleOutcomes:
        inventory = rule_input.inventory
        if rule_input.is_external or not inventory.layers:
            reason = "The base image is not known: the digests of the image's layers are missing."
            yield UndeterminedFact("/", reason, advice="Scan the image with Dockgate, which reads its layers.")
            return
        candidates = [image for image in images if image.get("platform", inventory.platform) == inventory.platform]
        answers = [(image, _has_base(inventory, image["layers"])) for image in candidates]
        matching = [image for image, answer in answers if answer is True]
        if any(not _is_past(image.get("until"), rule_input.now) for image in matching):
            return
        if any(answer is None and not _is_past(image.get("until"), rule_input.now) for image, answer in answers):
            reason = "The base image is not known: the diff_ids of the image's layers were not verified."
            advice = "Scan the image with Dockgate from its registry, which verifies its layers."
            yield UndeterminedFact("/", reason, advice=advice)
        elif matching:
            latest_image = max(matching, key=lambda image: str(image["until"]))
            yield Violation(
                self.name, f"The base image {latest_image['name']} was allowed until {latest_image['until']}"
            )
        else:
            names = list(dict.fromkeys(str(image["name"]) for image in images))
            omission = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
            listed_names = ", ".join(names[:_MAX_NAMES])
            yield Violation(
                self.name, f"The lowest layers do not match an allowed base image: {listed_names}{omission}"
            )


RULE: Rule = BaseImage()


def _has_base(inventory: Inventory, base_layers: Sequence[str]) -> bool | None:
    """Return whether the lowest layers are the base image's; None if a deciding digest was not verified."""
    if len(base_layers) > len(inventory.layers):
        return False
    diff_ids = inventory.diff_ids or ("",) * len(inventory.layers)
    layers = list(zip(inventory.layers, diff_ids, strict=True))[: len(base_layers)]
    pairs = zip(base_layers, layers, strict=True)
    differing = [diff_id for digest, (blob, diff_id) in pairs if digest not in (blob, diff_id)]
    if any(differing):
        return False
    return None if differing else True


def _is_past(until: object, now: str) -> bool:
    """Return whether the time has passed. A date without time is its first instant."""
    if until is None:
        return False
    end, judged_at = parse_time(str(until)), parse_time(now)
    return end is None or judged_at is None or end <= judged_at


def _parse_image(key: str, raw: object) -> dict[str, object]:
    if not isinstance(raw, Mapping):
        raise make_refusal(key, raw, "a mapping with name and layers")
    require_known_keys(raw, _IMAGE_KEYS, f"{key}.")
    for name in ("name", "platform"):
        text = raw.get(name, None if name == "name" else "any")
        if not isinstance(text, str) or not text.strip():
            raise make_refusal(f"{key}.{name}", text, "a text")
    layers = raw.get("layers")
    if not isinstance(layers, (list, tuple)) or not 0 < len(layers) <= _MAX_LAYERS:
        raise make_refusal(f"{key}.layers", layers, f"a list of 1 to {_MAX_LAYERS} sha256 digests, base first")
    layers = [read_digest(f"{key}.layers.{index}", layer) for index, layer in enumerate(layers)]
    until = raw.get("until")
    if until is not None and (not isinstance(until, str) or parse_time(until) is None):
        raise make_refusal(f"{key}.until", until, "a date, 2026-12-31, or a time in RFC 3339")
    return {**raw, "layers": layers}
