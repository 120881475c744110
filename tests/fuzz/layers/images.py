"""Build whole images around a case's layers: manifest, config and blobs, with at most one error."""

import hashlib
import json
from collections.abc import Sequence
from random import Random
from typing import Any

from tests.fuzz.layers import evidence, generate
from tests.fuzz.layers.generate import Case
from tests.fuzz.layers.recipe import make_layer_bytes, make_tar_bytes

OCI, DOCKER = "application/vnd.oci.image.", "application/vnd.docker."
_TYPES = {
    "none": f"{OCI}layer.v1.tar",
    "gzip": f"{OCI}layer.v1.tar+gzip",
    "zstd": f"{OCI}layer.v1.tar+zstd",
    "docker": f"{DOCKER}image.rootfs.diff.tar.gzip",
}
_ODD_TYPES = (
    "application/octet-stream", "application/vnd.oci.image.layer.v1.tar+bzip2", "", "application/x-tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "application/vnd.in-toto+json", "text/plain",
    "application/vnd.oci.image.layer.v1.tar+encrypted", "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "application/vnd.oci.image.layer.v1.tar ",
    "application/vnd.oci.image.config.v1+json", "Application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.", "application/vnd.oci.empty.v1+json",
    "application/vnd.oci.image.layer.v1.tar+zstd:chunked",
    "application/vnd.docker.image.rootfs.diff.tar.zstd", "application/vnd.oci.image.layer.v1.tar+gzip; x=y",
    "application/vnd.dev.cosign.simplesigning.v1+json", "application/vnd.oci.image.layer.v1.squashfs",
)  # fmt: skip


def generate_case(seed: int) -> Case:
    """Generate a case whose `image` describes what is odd: `types` and `diffs` of all layers."""
    chance = Random(seed)  # noqa: S311 - repeatable
    new_case = generate.generate_case(seed)
    if chance.random() < 0.5:  # nothing but the image is odd
        new_case["layers"] = [generate.generate_layer(chance, new_case["base"], bare=True) for _ in new_case["layers"]]
    packs = ["gzip", *(layer.get("pack", "gzip") for layer in new_case["layers"])]
    kind = "docker" if chance.random() < 0.3 else "oci"
    if kind == "docker":
        for layer in new_case["layers"]:
            layer["pack"] = "gzip"
        packs = [packs[0], *("gzip" for _ in new_case["layers"])]
    types = [
        _TYPES["docker" if kind == "docker" and pack == "gzip" else pack if pack in _TYPES else "gzip"]
        for pack in packs
    ]
    diffs: list[Any] = ["right"] * len(packs)
    image: dict[str, Any] = {"kind": kind, "types": types, "diffs": diffs}
    for _ in range(chance.choice((0, 1, 1, 1, 2))):
        _change(image, new_case, chance)
    new_case["image"] = image
    return new_case


def _change(image: dict[str, Any], case: Case, chance: Random) -> None:
    types, diffs = image["types"], image["diffs"]
    at = chance.randrange(len(types))
    choice = chance.randrange(13)
    if choice <= 2:
        types[at] = chance.choice(_ODD_TYPES)
    elif choice == 3:
        types[at] = chance.choice(list(_TYPES.values()))
    elif choice == 4:
        diffs[min(at, len(diffs) - 1)] = chance.choice(("zeros", "blob", 0, "upper", "text"))
    elif choice == 5 and len(diffs) > 1:
        del diffs[min(at, len(diffs) - 1)]
    elif choice == 6:
        diffs.insert(at, chance.choice(("right", 0, "zeros")))
    elif choice == 7:
        chance.shuffle(diffs)
    elif choice == 8:
        types[at] = chance.choice(_ODD_TYPES)
        if len(diffs) > 1:
            del diffs[min(at, len(diffs) - 1)]
    elif choice == 9:
        case["layers"].append(case["layers"][0])
        types.append(types[1])
        diffs.append("right")
    elif choice == 10:
        image["size"] = [at, chance.choice((-1, 1))]
    elif choice == 11:
        image["drop"] = chance.choice(("rootfs", "diff_ids", "type", "history", "layers"))
    else:
        image["kind"] = chance.choice(("oci", "docker", "untyped"))


def make_blobs(case: Case) -> tuple[list[bytes], str]:
    """Return the blobs, the manifest first, and the manifest's digest."""
    layers = [{**evidence.BASES[case["base"]], "pack": "gzip"}, *case["layers"]]
    image = case.get("image") or {"kind": "oci", "types": [_TYPES[item.get("pack", "gzip")] for item in layers]}
    packed_layers = [make_layer_bytes(layer) for layer in layers]
    diffs = _list_diff_ids(
        image.get("diffs", ["right"] * len(layers)), [make_tar_bytes(layer) for layer in layers], packed_layers
    )
    config: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": diffs},
        "history": [{"created_by": "case"} for _ in layers],
    }
    drop = image.get("drop")
    if drop in ("rootfs", "history"):
        del config[drop]
    elif drop in ("diff_ids", "type"):
        del config["rootfs"][drop]
    data = json.dumps(config).encode()
    docker = image["kind"] == "docker"
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": f"{DOCKER}distribution.manifest.v2+json" if docker else f"{OCI}manifest.v1+json",
        "config": make_descriptor(data, f"{DOCKER}container.image.v1+json" if docker else f"{OCI}config.v1+json"),
        "layers": [make_descriptor(blob, kind) for blob, kind in zip(packed_layers, image["types"], strict=False)],
    }
    if image["kind"] == "untyped":
        del manifest["mediaType"]
    if "size" in image:
        at, size_change = image["size"]
        manifest["layers"][min(at, len(packed_layers) - 1)]["size"] += size_change
    if drop == "layers":
        manifest["layers"] = manifest["layers"][:-1]
    document = json.dumps(manifest).encode()
    return [document, data, *packed_layers], digest(document)


def _list_diff_ids(layers: Sequence[Any], tars: Sequence[bytes], packed_layers: Sequence[bytes]) -> list[str]:
    diffs = []
    for at, layer in enumerate(layers):
        index = min(at, len(tars) - 1)
        right = digest(tars[index])
        if layer == "zeros":
            diffs.append("sha256:" + "0" * 64)
        elif layer == "blob":
            diffs.append(digest(packed_layers[index]))
        elif layer == "upper":
            diffs.append(right.upper().replace("SHA256", "sha256"))
        elif layer == "text":
            diffs.append("text")
        elif isinstance(layer, int):
            diffs.append(digest(tars[layer]))
        else:
            diffs.append(right)
    return diffs


def make_descriptor(data: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest(data), "size": len(data)}


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
