"""Documents that registries and runtimes, whose JSON knows no case, would read otherwise than we do."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.scanner.images import make

from dockgate.scanner.images import open_images
from dockgate.scanner.manifest import CONFIG_NAMES, NAMES, Index, Manifest, load_object, parse_manifest
from dockgate.shared.errors import ImageError

DIGEST = "sha256:" + "a" * 64
CONFIG = {"mediaType": make.CONFIG, "digest": DIGEST, "size": 1}
LAYER = {"digest": DIGEST, "size": 1}
MANIFEST = {"schemaVersion": 2, "config": CONFIG, "layers": [LAYER]}
INDEX = {"schemaVersion": 2, "manifests": [{**LAYER, "platform": {"os": "linux", "architecture": "amd64"}}]}


def encode_document(document: object) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "document",
    [
        encode_document({**MANIFEST, "LAYERS": []}),
        encode_document({**MANIFEST, "Layers": []}),
        encode_document({**MANIFEST, "layer\u017f": []}),
        encode_document({**MANIFEST, "Manifests": []}),
        encode_document({**MANIFEST, "MediaType": "x"}),
        encode_document({**MANIFEST, "config": {**CONFIG, "Digest": DIGEST}}),
        encode_document({**MANIFEST, "layers": [LAYER, {"digest": DIGEST, "size": 1, "SIZE": 2}]}),
        encode_document({**MANIFEST, "x": 1, "X": 2}),
        encode_document(MANIFEST)[:-1] + b', "layers": []}',
        encode_document(MANIFEST)[:-1] + b', "annotations": {"a": "", "a": "b"}}',
        encode_document({**MANIFEST, "layers": [{**LAYER, "URLs": ["http://127.0.0.1/"]}]}),
        encode_document({**INDEX, "manifestS": []}),
        encode_document({"manifests": [{**LAYER, "Platform": {"os": "linux", "architecture": "amd64"}}]}),
        encode_document({"manifests": [{**LAYER, "platform": {"os": "linux", "architecture": "amd64", "OS": "x"}}]}),
    ],
    ids=range(14),
)
def test_a_manifest_that_can_be_read_in_two_ways_is_refused(document: bytes) -> None:
    with pytest.raises(ImageError, match="read in two ways"):
        parse_manifest(document, DIGEST)


def test_an_image_that_has_runtimes_request_urls_is_refused() -> None:
    """podman and containerd fetch a layer from its URLs first, whatever its media type, and from any host."""
    for part in ({"config": {**CONFIG, "urls": ["http://127.0.0.1/"]}}, {"layers": [{**LAYER, "urls": ["x"]}]}):
        with pytest.raises(ImageError, match="from a URL"):
            parse_manifest(encode_document(MANIFEST | part), DIGEST)
    without = encode_document({**MANIFEST, "layers": [{**LAYER, "urls": []}]})
    assert isinstance(parse_manifest(without, DIGEST), Manifest)


@pytest.mark.parametrize("extra_config", [{"OS": "linux"}, {"RootFS": {}}, {"rootfs": {"Diff_IDs": []}}])
def test_a_config_that_can_be_read_in_two_ways_is_refused(tmp_path: Path, extra_config: dict[str, Any]) -> None:
    make.write_layout(tmp_path, {"": make.make_image([{"a": b""}], config=extra_config)})
    with pytest.raises(ImageError, match="read in two ways"), open_images(f"oci:{tmp_path}"):
        pass


def test_names_chosen_by_users_may_differ_by_case_alone() -> None:
    annotated_layer = {**LAYER, "annotations": {"OS": "x", "os": "y", "Digest": "z"}}
    assert isinstance(
        parse_manifest(
            encode_document({**MANIFEST, "annotations": {"a": "", "A": ""}, "layers": [annotated_layer]}), DIGEST
        ),
        Manifest,
    )
    assert isinstance(parse_manifest(encode_document({"manifests": [annotated_layer]}), DIGEST), Index)
    run = {"Labels": {"Name": "", "name": "", "OS": ""}, "Volumes": {"/A": {}, "/a": {}}, "ExposedPorts": None}
    config = {"os": "linux", "architecture": "amd64", "config": run, "container_config": run, "Size": 1}
    assert load_object(encode_document(config), "A config", CONFIG_NAMES) == config


def test_documents_nested_deeply_are_refused_or_read() -> None:
    with pytest.raises(ImageError):
        parse_manifest(b'{"a":' * 100_000, DIGEST)
    assert load_object(b'{"a":' * 500 + b"1" + b"}" * 500, "It", NAMES)
