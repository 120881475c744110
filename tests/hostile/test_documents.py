"""Manifests, indexes and configs that lie: there is no image to judge, and no verdict of approval."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.hostile.images import DEBIAN, Check
from tests.images import make

Document = dict[str, Any]


def changed(check: Check, change: Callable[[Document], object], *, what: str = "manifest") -> str:
    """An honest image whose manifest or config was changed, its digests following the change."""
    base = make.image([DEBIAN])
    manifest = json.loads(base.blobs[base.digest])
    config = json.loads(base.blobs[base.config])
    change(config if what == "config" else manifest)
    blobs = dict(base.blobs)
    if what == "config":
        data = json.dumps(config).encode()
        blobs[make.sha256(data)] = data
        manifest["config"] = make.descriptor(data, make.CONFIG)
    data = json.dumps(manifest).encode()
    blobs[make.sha256(data)] = data
    make.write_layout(check.folder, {"latest": make.Image(make.sha256(data), "", "x", [], [], blobs)})
    return f"oci:{check.folder}"


def layers(manifest: Document, **fields: object) -> object:
    manifest["layers"][0] |= fields
    return manifest


MANIFESTS: dict[str, tuple[Callable[[Document], object], str]] = {
    "a negative size": (lambda one: layers(one, size=-1), "the size -1"),
    "a size that is no number": (lambda one: layers(one, size="9"), "the size '9'"),
    "a size without end": (lambda one: layers(one, size=1e300), "the size 1e+300"),
    "a digest that leads out": (lambda one: layers(one, digest="sha256:../../../etc/passwd"), "digest"),
    "a digest of another kind": (lambda one: layers(one, digest="md5:" + "0" * 32), "digest"),
    "layers that are none": (lambda one: one.update(layers={"a": 1}), "are no list"),
    "layers without end": (lambda one: one.update(layers=one["layers"] * 2000), "at most 1024 are read"),
    "an index and an image at once": (lambda one: one.update(manifests=[]), "an index and an image at once"),
    "two readings": (lambda one: one.update(LAYERS=[]), "can be read in two ways"),
    "no config": (lambda one: one.pop("config"), "broken"),
    "a config of gigabytes": (lambda one: one["config"].update(size=10**10), "manifest says"),
    "a config that is a layer": (lambda one: one.update(config=one["layers"][0]), "is no container image"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_lies_is_refused(check: Check, name: str) -> None:
    change, complaint = MANIFESTS[name]
    check.refused(changed(check, change), complaint)


def test_a_config_that_lies_is_refused_or_says_nothing(check: Check) -> None:
    check.refused(changed(check, lambda one: one.update(os=[], architecture={}), what="config"), "names no operating")
    history = [{"created_by": "\x1b[2J" * 9, "comment": {}, "empty_layer": []}] * 5000
    told = {"history": history, "created": "\x07" * 9999, "config": {"User": [], "Labels": [{}]}}
    ran = check.ends("gate", changed(check, lambda one: one.update(told), what="config"))
    assert ran.code == 0
    assert "\\u0007" not in ran.out


def test_an_index_that_lies_is_refused(check: Check) -> None:
    """An index of indexes without end, of itself, of more images than anybody builds for, and of none."""
    honest = make.image([DEBIAN])
    inner = make.index([honest])
    deep = inner
    for _ in range(5):
        data = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": make.INDEX,
                "manifests": [make.descriptor(deep.blobs[deep.digest], make.INDEX)],
            }
        ).encode()
        deep = make.Image(make.sha256(data), "", "", [], [], {**deep.blobs, make.sha256(data): data})
    make.write_layout(check.folder, {"latest": deep})
    check.refused(f"oci:{check.folder}", "too deep in other indexes")
    make.write_layout(check.folder, {"latest": make.index([honest] * 300)})
    check.refused(f"oci:{check.folder}", "more than 256 manifests")
    make.write_layout(check.folder, {"latest": make.index([])})
    for command in ("scan", "gate"):
        assert check.ends(command, f"oci:{check.folder}").code == 2


def test_a_platform_that_is_called_an_attestation_is_not_passed_over(check: Check) -> None:
    """Runtimes run what the index says is of their platform, whatever annotations call it."""
    broken = make.image([DEBIAN, b"noise" * 1000])
    index = make.index([broken])
    document = json.loads(index.blobs[index.digest])
    document["manifests"][0]["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
    data = json.dumps(document).encode()
    image = make.Image(make.sha256(data), "", "", [], [], {**index.blobs, make.sha256(data): data})
    make.write_layout(check.folder, {"latest": image})
    assert list(check(f"oci:{check.folder}").unread) == ["/"]


def test_the_worst_platform_of_an_index_decides(check: Check) -> None:
    honest, broken = make.image([DEBIAN]), make.image([DEBIAN, b"noise" * 1000], platform="linux/arm64")
    make.write_layout(check.folder, {"latest": make.index([honest, broken])})
    ran = check.ends("gate", f"oci:{check.folder}")
    assert (ran.code, list(ran.unread)) == (3, ["/"])
