"""Which images a reference resolves to: indexes, platforms, attestations, and documents that lie."""

import json
import platform
from pathlib import Path
from typing import Any

import pytest
from tests.scanner.images import make

from dockgate.scanner.images import open_images
from dockgate.shared.errors import ImageError, NotFoundError

AMD, ARM, ARM7 = (
    make.make_image([{"arch": name.encode()}], platform=name)
    for name in ("linux/amd64", "linux/arm64/v8", "linux/arm/v7")
)
HERE = {"x86_64": AMD, "aarch64": ARM}


def choose_images(folder: Path, image: make.Image, platforms: list[str] | None = None) -> list[str]:
    make.write_layout(folder, {"latest": image})
    with open_images(f"oci:{folder}", platforms) as opened_images:
        assert opened_images.digest == image.digest
        return [image.digest for image in opened_images.images if image.digest]


def make_document(**fields: Any) -> make.Image:
    """Some other JSON in the place of a manifest."""
    data = json.dumps({"schemaVersion": 2, **fields}).encode()
    return make.Image(make.compute_sha256(data), "", "", [], [], {**AMD.blobs, make.compute_sha256(data): data})


def make_entry(image: make.Image, media_type: str = make.MANIFEST, **fields: Any) -> dict[str, Any]:
    return make.make_descriptor(image.blobs[image.digest], media_type, **fields)


def test_an_index_resolves_to_the_image_of_this_machine(tmp_path: Path) -> None:
    assert choose_images(tmp_path, make.index([AMD, ARM, ARM7])) == [HERE[platform.machine()].digest]


def test_all_platforms_can_be_had_in_the_order_of_the_index(tmp_path: Path) -> None:
    assert choose_images(tmp_path, make.index([ARM, AMD, ARM7]), ["all"]) == [ARM.digest, AMD.digest, ARM7.digest]


@pytest.mark.parametrize(
    ("platforms", "images"),
    [
        (["linux/arm64"], [ARM]),
        (["linux/arm64/v8"], [ARM]),
        (["linux/arm"], [ARM7]),
        (["linux/arm/v7", "linux/amd64"], [AMD, ARM7]),
    ],
)
def test_platforms_are_chosen_by_name(tmp_path: Path, platforms: list[str], images: list[make.Image]) -> None:
    assert choose_images(tmp_path, make.index([AMD, ARM, ARM7]), platforms) == [image.digest for image in images]


@pytest.mark.parametrize(("system", "architecture"), [("linux", "x86_64"), ("Linux", "AMD64"), ("linux", "x86-64")])
def test_other_names_of_a_platform_are_chosen_with_it(tmp_path: Path, system: str, architecture: str) -> None:
    """containerd selects such an entry, and its first one of several."""
    second = make.make_image([{"second": b""}])
    entries = [make_entry(AMD, platform={"os": "linux", "architecture": "amd64"})]
    entries += [make_entry(second, platform={"os": system, "architecture": architecture})]
    index = make_document(mediaType=make.INDEX, manifests=entries)
    index.blobs.update(second.blobs)
    assert choose_images(tmp_path, index, ["linux/amd64"]) == [AMD.digest, second.digest]


@pytest.mark.parametrize("platforms", [["linux/s390x"], ["linux/amd64", "windows/amd64"], ["linux/arm/v6"]])
def test_a_missing_platform_is_reported_with_the_available_ones(tmp_path: Path, platforms: list[str]) -> None:
    with pytest.raises(NotFoundError, match="it has: linux/amd64, linux/arm/v7, linux/arm64/v8") as error_info:
        choose_images(tmp_path, make.index([AMD, ARM, ARM7]), platforms)
    assert platforms[-1] in str(error_info.value)


def test_an_index_without_this_machines_platform_is_no_guess(tmp_path: Path) -> None:
    foreign = make.make_image([], platform="linux/s390x")
    with pytest.raises(NotFoundError, match="it has: linux/s390x"):
        choose_images(tmp_path, make.index([foreign]))


def test_a_single_image_is_taken_whatever_its_platform(tmp_path: Path) -> None:
    assert choose_images(tmp_path, ARM7) == [ARM7.digest]


def test_attestations_are_put_aside(tmp_path: Path) -> None:
    assert choose_images(tmp_path, make.index([AMD, ARM], has_attestations=True), ["all"]) == [AMD.digest, ARM.digest]


def test_an_image_that_calls_itself_an_attestation_is_judged_all_the_same(tmp_path: Path) -> None:
    """Runtimes go by the platform: by the annotation alone an image would run unseen."""
    annotations = {"vnd.docker.reference.type": "attestation-manifest"}
    annotated_entry = make_entry(AMD, platform={"os": "linux", "architecture": "amd64"}, annotations=annotations)
    assert choose_images(tmp_path / "named", make_document(manifests=[annotated_entry]), ["all"]) == [AMD.digest]
    assert choose_images(
        tmp_path / "silent", make_document(manifests=[make_entry(AMD, annotations=annotations)]), ["all"]
    ) == [AMD.digest]


def test_an_entry_without_platform_goes_by_its_config(tmp_path: Path) -> None:
    index = make_document(manifests=[make_entry(AMD)])
    assert choose_images(tmp_path, index, ["linux/amd64"]) == [AMD.digest]
    with pytest.raises(NotFoundError):
        choose_images(tmp_path, index, ["linux/arm64"])


def test_what_the_index_says_of_a_platform_decides_as_it_does_for_runtimes(tmp_path: Path) -> None:
    index = make_document(manifests=[make_entry(AMD, platform={"os": "linux", "architecture": "arm64"})])
    assert choose_images(tmp_path, index, ["linux/arm64"]) == [AMD.digest]


def test_an_index_in_an_index_is_looked_into(tmp_path: Path) -> None:
    inner = make.index([AMD, ARM])
    outer = make_document(manifests=[make_entry(inner, make.INDEX)])
    outer.blobs |= inner.blobs
    assert choose_images(tmp_path, outer, ["all"]) == [AMD.digest, ARM.digest]


def test_indexes_in_indexes_have_an_end(tmp_path: Path) -> None:
    index = make.index([AMD])
    for _ in range(4):
        outer = make_document(manifests=[make_entry(index, make.INDEX)])
        outer.blobs |= index.blobs
        index = outer
    with pytest.raises(ImageError, match="too deep"):
        choose_images(tmp_path, index)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "neither an image manifest nor an index"),
        ({"schemaVersion": 1}, "not of schema 2"),
        ({"schemaVersion": 1, "layers": [], "config": {}}, "not of schema 2"),
        ({"layers": [], "config": {}, "fsLayers": []}, "not of schema 2"),
        (
            {"layers": [], "config": {}, "mediaType": "application/x"},
            "states the unsupported media type 'application/x'",
        ),
        ({"manifests": [], "mediaType": 7}, "states the unsupported media type 7"),
        ({"manifests": [], "layers": []}, "at once"),
        ({"manifests": [], "config": {}}, "at once"),
        ({"mediaType": make.MANIFEST, "manifests": []}, "neither"),
        ({"mediaType": make.INDEX, "layers": []}, "neither"),
        ({"manifests": {}}, "not a list"),
        ({"manifests": [1]}, "not a digest"),
        ({"manifests": [{"digest": "sha256:../../etc/passwd", "size": 1}]}, "not a digest"),
        ({"manifests": [{"digest": AMD.digest, "size": -1}]}, "size -1"),
        ({"manifests": [{"digest": AMD.digest}]}, "size None"),
        ({"layers": [], "config": None}, "not a digest"),
        (
            {"layers": [], "config": {"digest": AMD.config, "size": 5, "mediaType": "text/plain"}},
            "is not a container image",
        ),
        (
            {
                "layers": [{"digest": AMD.layers[0], "size": 1}] * 1025,
                "config": {"digest": AMD.config, "size": 5, "mediaType": make.CONFIG},
            },
            "1025 layers",
        ),
    ],
)
def test_documents_that_lie_are_refused(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        choose_images(tmp_path, make_document(**fields))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'"text"'])
def test_documents_that_are_no_json_object_are_refused(tmp_path: Path, data: bytes) -> None:
    image = make.Image(make.compute_sha256(data), "", "", [], [], {make.compute_sha256(data): data})
    with pytest.raises(ImageError, match=r"not (a )?JSON"):
        choose_images(tmp_path, image)


def test_a_document_that_does_not_match_its_digest_is_refused(tmp_path: Path) -> None:
    for broken_digest in (AMD.digest, AMD.config):
        blobs = {
            **AMD.blobs,
            broken_digest: AMD.blobs[broken_digest].replace(b"linux", b"linuX").replace(b"Version", b"versioN"),
        }
        make.write_layout(tmp_path, {"latest": AMD})
        (tmp_path / "blobs" / broken_digest.replace(":", "/")).write_bytes(blobs[broken_digest])
        with pytest.raises(ImageError, match=f"{broken_digest} does not match"):
            open_images(f"oci:{tmp_path}")


def test_a_document_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="larger than 4194304 bytes"):
        choose_images(tmp_path, make_document(padding="x" * 2**22))
