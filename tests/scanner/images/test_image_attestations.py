"""What is left out of an index's images: attestation manifests, proven by what they hold, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
from tests.scanner.images import make

from dockgate.scanner.images import attestation_check, open_images
from dockgate.shared.errors import ImageError, NotFoundError

AMD = make.make_image([{"etc/os-release": b"ID=debian\n"}])
HIDDEN = make.make_image([{"etc/os-release": b"ID=alpine\n"}], platform="unknown/unknown")
RUNNABLE = make.make_image([{"etc/os-release": b"ID=alpine\n"}])
UNKNOWN = {"os": "unknown", "architecture": "unknown"}


def make_entry(image: make.Image, **fields: Any) -> dict[str, Any]:
    return make.make_descriptor(image.blobs[image.digest], make.MANIFEST, **fields)


AMD_ENTRY = make_entry(AMD, platform={"os": "linux", "architecture": "amd64"})
MARKS = make.make_attestation_entry(b"", AMD.digest)["annotations"]


def read(folder: Path, *entries: dict[str, Any], blobs: dict[str, bytes]) -> list[str]:
    """The digests that are judged of an index of AMD and these entries."""
    make.write_layout(folder, {"latest": make.make_index([AMD_ENTRY, *entries], {**AMD.blobs, **blobs})})
    with open_images(f"oci:{folder}", ["all"]) as opened_images:
        return [image.digest for image in opened_images.images if image.digest]


@pytest.mark.parametrize("artifact", [False, True], ids=["image form", "artifact form"])
def test_attestation_manifests_of_both_forms_are_left_out(tmp_path: Path, artifact: bool) -> None:
    manifest, blobs = make.make_attestation(artifact=artifact)
    assert read(tmp_path, make.make_attestation_entry(manifest, AMD.digest), blobs=blobs) == [AMD.digest]


@pytest.mark.parametrize(
    "listed_entry",
    [
        make_entry(HIDDEN),
        make_entry(HIDDEN, platform=UNKNOWN),
        make_entry(HIDDEN, platform=UNKNOWN, annotations=MARKS),
        make_entry(HIDDEN, annotations=MARKS),
        make_entry(RUNNABLE, platform=UNKNOWN, annotations=MARKS),
        make_entry(RUNNABLE, platform=UNKNOWN),
        make_entry(HIDDEN, platform={"os": "linux", "architecture": "amd64"}, annotations=MARKS),
    ],
    ids=[
        "its config alone calls it unknown",
        "index and config call it unknown",
        "with the marks of an attestation",
        "with the marks and no platform",
        "an image for this machine with the marks",
        "an image for this machine",
        "a platform twice",
    ],
)
def test_an_image_behind_the_marks_of_an_attestation_is_judged(tmp_path: Path, listed_entry: dict[str, Any]) -> None:
    blobs = {**HIDDEN.blobs, **RUNNABLE.blobs}
    assert read(tmp_path, listed_entry, blobs=blobs) == [AMD.digest, listed_entry["digest"]]


def test_a_digest_that_is_listed_as_an_image_too_is_judged(tmp_path: Path) -> None:
    manifest, blobs = make.make_attestation()
    mark = make.make_attestation_entry(manifest, AMD.digest)
    for twice in ([mark, {**mark, "platform": {"os": "linux", "architecture": "arm64"}}], [mark, AMD_ENTRY, mark]):
        judged_digests = read(tmp_path, *twice, blobs=blobs)
        assert (make.compute_sha256(manifest) in judged_digests) == (twice[1] is not AMD_ENTRY)


def test_an_image_in_a_nested_index_is_judged_and_may_be_attested_there(tmp_path: Path) -> None:
    manifest, blobs = make.make_attestation()
    inner = make.make_index([make_entry(RUNNABLE, platform=UNKNOWN, annotations=MARKS)], RUNNABLE.blobs)
    nested_index = make.make_descriptor(inner.blobs[inner.digest], make.INDEX)
    mark = make.make_attestation_entry(manifest, AMD.digest)
    assert read(tmp_path, nested_index, mark, blobs={**inner.blobs, **blobs}) == [AMD.digest, RUNNABLE.digest]


def make_broken_attestation(name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """An attestation with one thing wrong: its entry, and its blobs."""
    manifest, blobs = make.make_attestation()
    listed_entry = make.make_attestation_entry(manifest, AMD.digest)
    match name:
        case "of another image":
            listed_entry = make.make_attestation_entry(manifest, RUNNABLE.digest)
        case "of itself":
            listed_entry = make.make_attestation_entry(manifest, make.compute_sha256(manifest))
        case "without a mark":
            del listed_entry["annotations"]
        case "of another type":
            listed_entry["annotations"] = {**MARKS, "vnd.docker.reference.type": "other"}
        case "a layer as a tar":
            manifest, blobs = make.make_attestation(kind="application/vnd.oci.image.layer.v1.tar")
            listed_entry = make.make_attestation_entry(manifest, AMD.digest)
        case "a config for linux":
            manifest, blobs = make.make_attestation(platform="linux/amd64")
            listed_entry = make.make_attestation_entry(manifest, AMD.digest)
        case "a tar called a statement":
            manifest, blobs = make.make_attestation(make.pack_tar({"usr/bin/evil": b"x"}))
            listed_entry = make.make_attestation_entry(manifest, AMD.digest)
        case "other JSON":
            manifest, blobs = make.make_attestation(b'{"_type": "other"}')
            listed_entry = make.make_attestation_entry(manifest, AMD.digest)
        case "JSON and more":
            manifest, blobs = make.make_attestation(b'{"_type": "https://in-toto.io/Statement/v1"}\0')
            listed_entry = make.make_attestation_entry(manifest, AMD.digest)
        case "docker's manifest type":
            listed_entry["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json"
    return listed_entry, blobs


@pytest.mark.parametrize(
    "name",
    [
        "of another image",
        "of itself",
        "without a mark",
        "of another type",
        "a layer as a tar",
        "a config for linux",
        "a tar called a statement",
        "other JSON",
        "JSON and more",
        "docker's manifest type",
    ],
)
def test_an_attestation_that_is_not_whole_is_judged_as_an_image(tmp_path: Path, name: str) -> None:
    listed_entry, blobs = make_broken_attestation(name)
    assert read(tmp_path, listed_entry, blobs=blobs) == [AMD.digest, listed_entry["digest"]]


def make_artifact(kind: str, artifact_type: str = "") -> make.Image:
    """A manifest that is not an image."""
    config = b"{}"
    document = {
        "schemaVersion": 2,
        "mediaType": make.MANIFEST,
        **({"artifactType": artifact_type} if artifact_type else {}),
        "config": make.make_descriptor(config, kind),
        "layers": [make.make_descriptor(config, "application/vnd.in-toto+json")],
    }
    data = make._encode_json(document)
    return make.Image(
        make.compute_sha256(data),
        "",
        "",
        [],
        [],
        {make.compute_sha256(data): data, make.compute_sha256(config): config},
    )


@pytest.mark.parametrize(
    ("image", "extra_fields"),
    [
        (make_artifact("application/vnd.oci.empty.v1+json", "application/vnd.example"), {}),
        (make_artifact("application/vnd.oci.empty.v1+json", "application/vnd.example"), {"annotations": MARKS}),
        (make_artifact("application/vnd.oci.empty.v1+json"), {"platform": UNKNOWN, "annotations": MARKS}),
        (make_artifact("application/vnd.cncf.helm.config.v1+json"), {"platform": UNKNOWN, "annotations": MARKS}),
        (make_artifact("application/vnd.cncf.helm.config.v1+json"), {"mediaType": "application/vnd.example"}),
        (
            make_artifact("application/vnd.oci.empty.v1+json", "application/vnd.docker.attestation.manifest.v1+json"),
            {"platform": UNKNOWN, "annotations": MARKS},
        ),
    ],
    ids=["artifact", "marked artifact", "no artifact type", "chart", "unknown media type", "no statement"],
)
def test_what_is_neither_image_nor_attestation_makes_the_index_unreadable(
    tmp_path: Path, image: make.Image, extra_fields: dict[str, Any]
) -> None:
    with pytest.raises(ImageError, match="is not a container image"):
        read(tmp_path, {**make_entry(image), **extra_fields}, blobs=image.blobs)


def test_an_index_of_attestations_alone_has_no_image(tmp_path: Path) -> None:
    manifest, blobs = make.make_attestation()
    mark = make.make_attestation_entry(manifest, make.compute_sha256(manifest))
    make.write_layout(tmp_path, {"latest": make.make_index([mark], blobs)})
    with open_images(f"oci:{tmp_path}", ["all"]) as opened_images:
        assert [image.digest for image in opened_images.images] == [make.compute_sha256(manifest)]
    make.write_layout(tmp_path, {"latest": make.make_index([], {})})
    with pytest.raises(NotFoundError):
        open_images(f"oci:{tmp_path}", ["all"])


def test_statements_are_read_once_and_within_bounds(tmp_path: Path) -> None:
    """Many manifests that name one blob cost its bytes once; a size that is a lie costs nothing."""
    statement = b'{"_type": "https://in-toto.io/Statement/v1", "pad": "' + b"x" * 1000 + b'"}'
    marks = []
    blobs: dict[str, bytes] = {}
    for number in range(50):
        manifest, statement_blobs = make.make_attestation(statement)
        manifest = manifest[:-1] + f',"annotations":{{"n":"{number}"}}}}'.encode()
        blobs |= statement_blobs | {make.compute_sha256(manifest): manifest}
        marks.append(make.make_attestation_entry(manifest, AMD.digest))
    assert read(tmp_path, *marks, blobs=blobs) == [AMD.digest]
    manifest, statement_blobs = make.make_attestation(statement)
    large = manifest.replace(f'"size": {len(statement)}'.encode(), b'"size": 999999999999')
    assert large != manifest
    huge = make.make_attestation_entry(large, AMD.digest)
    judged_digests = read(tmp_path, huge, blobs=statement_blobs | {make.compute_sha256(large): large})
    assert judged_digests == [AMD.digest, make.compute_sha256(large)]
    assert attestation_check.TOTAL_LIMIT < 999999999999
