"""Manifests, indexes and configs that lie: there is no image to judge, and no verdict of approval."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.hostile.images import DEBIAN, GZIP, PLAIN, ZSTD, Check
from tests.scanner.images import make
from tests.scanner.images.make import Folder

Document = dict[str, Any]


def scan_changed(check: Check, change: Callable[[Document], object], *, part: str = "manifest") -> str:
    """An honest image whose manifest or config was changed, its digests following the change."""
    base = make.make_image([DEBIAN])
    manifest = json.loads(base.blobs[base.digest])
    config = json.loads(base.blobs[base.config])
    change(config if part == "config" else manifest)
    blobs = dict(base.blobs)
    if part == "config":
        data = json.dumps(config).encode()
        blobs[make.compute_sha256(data)] = data
        manifest["config"] = make.make_descriptor(data, make.CONFIG)
    data = json.dumps(manifest).encode()
    blobs[make.compute_sha256(data)] = data
    make.write_layout(check.folder, {"latest": make.Image(make.compute_sha256(data), "", "x", [], [], blobs)})
    return f"oci:{check.folder}"


def change_first_layer(manifest: Document, **fields: object) -> object:
    manifest["layers"][0] |= fields
    return manifest


MANIFESTS: dict[str, tuple[Callable[[Document], object], str]] = {
    "a negative size": (lambda document: change_first_layer(document, size=-1), "the size -1"),
    "a size that is not a number": (lambda document: change_first_layer(document, size="9"), "the size '9'"),
    "a size without end": (lambda document: change_first_layer(document, size=1e300), "the size 1e+300"),
    "a digest that leads out": (
        lambda document: change_first_layer(document, digest="sha256:../../../etc/passwd"),
        "digest",
    ),
    "a digest of another kind": (lambda document: change_first_layer(document, digest="md5:" + "0" * 32), "digest"),
    "layers that are none": (lambda document: document.update(layers={"a": 1}), "are not a list"),
    "layers without end": (lambda document: document.update(layers=document["layers"] * 2000), "at most 1024 are read"),
    "an index and an image at once": (lambda document: document.update(manifests=[]), "an index and an image at once"),
    "two readings": (lambda document: document.update(LAYERS=[]), "can be read in two ways"),
    "no config": (lambda document: document.pop("config"), "broken"),
    "a config of gigabytes": (lambda document: document["config"].update(size=10**10), "manifest states"),
    "a config that is a layer": (
        lambda document: document.update(config=document["layers"][0]),
        "is not a container image",
    ),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_lies_is_refused(check: Check, name: str) -> None:
    change, complaint = MANIFESTS[name]
    check.require_refusal(scan_changed(check, change), complaint)


def test_a_config_that_lies_is_refused_or_says_nothing(check: Check) -> None:
    check.require_refusal(
        scan_changed(check, lambda document: document.update(os=[], architecture={}), part="config"),
        "names no operating",
    )
    history = [{"created_by": "\x1b[2J" * 9, "comment": {}, "empty_layer": []}] * 5000
    subjects = {"history": history, "created": "\x07" * 9999, "config": {"User": [], "Labels": [{}]}}
    result = check.run_within_bounds(
        "gate", scan_changed(check, lambda document: document.update(subjects), part="config")
    )
    assert result.code == 0
    assert "\\u0007" not in result.out


def test_an_index_that_lies_is_refused(check: Check) -> None:
    """An index of indexes without end, of itself, of more images than real ones have, and of none."""
    honest = make.make_image([DEBIAN])
    inner = make.index([honest])
    deep = inner
    for _ in range(5):
        data = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": make.INDEX,
                "manifests": [make.make_descriptor(deep.blobs[deep.digest], make.INDEX)],
            }
        ).encode()
        deep = make.Image(make.compute_sha256(data), "", "", [], [], {**deep.blobs, make.compute_sha256(data): data})
    make.write_layout(check.folder, {"latest": deep})
    check.require_refusal(f"oci:{check.folder}", "is nested too deeply")
    make.write_layout(check.folder, {"latest": make.index([honest] * 300)})
    check.require_refusal(f"oci:{check.folder}", "more than 256 manifests")
    make.write_layout(check.folder, {"latest": make.index([])})
    for command in ("scan", "gate"):
        assert check.run_within_bounds(command, f"oci:{check.folder}").code == 2


def test_a_platform_that_is_called_an_attestation_is_not_passed_over(check: Check) -> None:
    """Runtimes run what the index says is of their platform, whatever annotations call it."""
    broken_image = make.make_image([DEBIAN, b"noise" * 1000])
    index = make.index([broken_image])
    document = json.loads(index.blobs[index.digest])
    document["manifests"][0]["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
    data = json.dumps(document).encode()
    image = make.Image(make.compute_sha256(data), "", "", [], [], {**index.blobs, make.compute_sha256(data): data})
    make.write_layout(check.folder, {"latest": image})
    assert list(check(f"oci:{check.folder}").unread_paths) == ["/"]


def test_the_worst_platform_of_an_index_decides(check: Check) -> None:
    honest, broken_image = make.make_image([DEBIAN]), make.make_image([DEBIAN, b"noise" * 1000], platform="linux/arm64")
    make.write_layout(check.folder, {"latest": make.index([honest, broken_image])})
    result = check.run_within_bounds("gate", f"oci:{check.folder}")
    assert (result.code, list(result.unread_paths)) == (3, ["/"])


# --- layers that are not what manifest and config say of them ----------------------------------------------------

WHITEOUT = make.pack_tar({"var/lib/dpkg/.wh.status": b"", "var/lib/dpkg/status.d/": Folder()})
IN_TOTO = "application/vnd.in-toto+json"


def add_layer(check: Check, blob: bytes, media_type: str, *diff_ids: str) -> str:
    """An honest image with one more layer, whose diff_ids are these behind the first."""
    base = make.make_image([DEBIAN])
    manifest, config = (json.loads(base.blobs[digest]) for digest in (base.digest, base.config))
    manifest["layers"].append(make.make_descriptor(blob, media_type))
    config["rootfs"]["diff_ids"] += diff_ids
    new_config = json.dumps(config).encode()
    manifest["config"] = make.make_descriptor(new_config, make.CONFIG)
    document = json.dumps(manifest).encode()
    blobs = {**base.blobs, **{make.compute_sha256(data): data for data in (blob, new_config, document)}}
    make.write_layout(check.folder, {"latest": make.Image(make.compute_sha256(document), "", "x", [], [], blobs)})
    return f"oci:{check.folder}"


ADDED = make.pack_tar({"srv/a": b"1"})
OTHER_LAYER = make.compute_sha256(b"another layer, which the runtime has already")
LAYERS: dict[str, tuple[bytes, str, tuple[str, ...], str]] = {
    "another layer's diff_id": (make.compress(ADDED), GZIP, (OTHER_LAYER,), "uncompressed content has the digest"),
    "the blob's digest as diff_id": (
        make.compress(ADDED),
        GZIP,
        (make.compute_sha256(make.compress(ADDED)),),
        "the digest",
    ),
    "no diff_id": (make.compress(ADDED), GZIP, (), "2 layers, and its config names 1"),
    "two diff_ids": (make.compress(ADDED), GZIP, (make.compute_sha256(ADDED),) * 2, "2 layers, and its config names 3"),
    "a diff_id of another kind": (make.compress(ADDED), GZIP, (f"sha512:{'0' * 128}",), "the config says sha512"),
    "whiteouts in what is not a layer": (
        WHITEOUT,
        IN_TOTO,
        (make.compute_sha256(WHITEOUT),),
        "not all runtimes unpack",
    ),
    "whiteouts in what is not a layer, not counted": (WHITEOUT, IN_TOTO, (), "not all runtimes unpack"),
    "gzip in a plain layer": (make.compress(ADDED), PLAIN, (make.compute_sha256(ADDED),), "the compression 'gzip'"),
    "zstd in a gzip layer": (
        make.compress(ADDED, "zstd"),
        GZIP,
        (make.compute_sha256(ADDED),),
        "the compression 'zstd'",
    ),
    "a plain layer as gzip": (ADDED, GZIP, (make.compute_sha256(ADDED),), "the compression 'none'"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_with_another_diff_id_is_never_approved(check: Check, name: str) -> None:
    blob, media_type, diff_ids, complaint = LAYERS[name]
    reference = add_layer(check, blob, media_type, *diff_ids)
    for _ in range(2):  # read, then out of the cache
        result = check.run_within_bounds("gate", reference)
        assert result.code == 3, result.err
        assert complaint in result.out


def test_a_layer_with_its_diff_id_is_approved(check: Check) -> None:
    for compression, kind in (("gzip", GZIP), ("zstd", ZSTD), ("none", PLAIN)):
        reference = add_layer(check, make.compress(ADDED, compression), kind, make.compute_sha256(ADDED))  # type: ignore[arg-type]
        assert check.run_within_bounds("scan", reference).code == 0
        assert check.run_within_bounds("gate", reference).code == 0
