"""An image whose layers are not what its manifest and config say of them is undetermined."""

from dataclasses import replace

import pytest
from tests.scanner.layers import DEBIAN, ECOSYSTEMS, FakeImage, FakeLayer, make_file, make_stanza, make_status

from dockgate.scanner.integrity.layer_verification import COMPRESSIONS
from dockgate.scanner.inventory import combine_facts
from dockgate.scanner.layer_reader import read_layer
from dockgate.scanner.model import Inventory

CONTENT = [make_file("etc/os-release", DEBIAN), make_status(make_stanza("bash", "5"))]
A = FakeLayer("sha256:1", CONTENT, holds="sha256:a")
B = FakeLayer("sha256:2", [make_file("x")], holds="sha256:b")


def make_inventory(
    *layers: FakeLayer, diff_ids: tuple[str, ...] = ("sha256:a", "sha256:b"), is_verified: bool = True
) -> Inventory:
    image = FakeImage([replace(layer, content_digest=None) for layer in layers], diff_ids=diff_ids)
    facts = [read_layer(layer, ECOSYSTEMS, should_hash=is_verified) for layer in image.layers]
    return combine_facts(image, facts, ECOSYSTEMS, should_hash=is_verified)


def list_reasons(result: Inventory) -> list[tuple[str, str]]:
    return [(entry.layer or "", entry.reason) for entry in result.unread]


@pytest.mark.parametrize("is_verified", [True, False])
def test_an_image_that_is_what_it_says_is_read(*, is_verified: bool) -> None:
    result = make_inventory(A, B, is_verified=is_verified)
    assert result.unread == ()
    assert result.diff_ids == (("sha256:a", "sha256:b") if is_verified else ())


@pytest.mark.parametrize("diff_ids", [(), ("sha256:a",), ("sha256:a", "sha256:b", "sha256:c")])
@pytest.mark.parametrize("is_verified", [True, False])
def test_as_many_layers_as_diff_ids(diff_ids: tuple[str, ...], *, is_verified: bool) -> None:
    result = list_reasons(make_inventory(A, B, diff_ids=diff_ids, is_verified=is_verified))
    assert ("", f"The image has 2 layers, and its config names {len(diff_ids)} of them by diff_id.") in result


@pytest.mark.parametrize("diff_ids", [("sha256:b", "sha256:a"), ("sha256:a", "sha256:c"), ("sha256:a", "")])
def test_content_is_checked_against_its_diff_id(diff_ids: tuple[str, ...]) -> None:
    result = list_reasons(make_inventory(A, B, diff_ids=diff_ids))
    assert "The layer's uncompressed content has the digest sha256:b; the config says" in result[-1][1]
    assert result[-1][0] == "sha256:2"
    assert make_inventory(A, B, diff_ids=diff_ids, is_verified=False).unread == ()  # a scan does without


def test_a_verdict_needs_content_that_was_hashed() -> None:
    image = FakeImage([A], diff_ids=("sha256:a",))
    facts = [replace(read_layer(A, ECOSYSTEMS), diff_id="")]
    result = combine_facts(image, facts, ECOSYSTEMS, should_hash=True)
    assert list_reasons(result) == [("sha256:1", "The digest of the layer's uncompressed content was not verified.")]


@pytest.mark.parametrize("media_type", COMPRESSIONS)
@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_a_layers_compression_is_that_of_its_media_type(media_type: str, compression: str) -> None:
    layer = replace(A, media_type=media_type, compression=compression)
    result = list_reasons(make_inventory(layer, diff_ids=("sha256:a",)))
    assert bool(result) == (COMPRESSIONS[media_type] != compression)


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "application/octet-stream",
        "application/vnd.in-toto+json",
        "application/vnd.dev.cosign.simplesigning.v1+json",
        "application/vnd.oci.empty.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "application/vnd.oci.image.layer.v1.tar+encrypted",
        "application/vnd.oci.image.layer.v1.tar.gzip",
        "application/vnd.oci.image.layer.v2.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+xz",
        "application/vnd.oci.image.layer.v1.tar+gzip ",
        "APPLICATION/VND.OCI.IMAGE.LAYER.V1.TAR+GZIP",
        "application/vnd.docker.image.rootfs.diff.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.zstd",
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.erofs.layer.v1",
        "application/vnd.oci.image.manifest.v1+json",
    ],
)
def test_a_layer_of_a_type_that_not_all_runtimes_unpack(media_type: str) -> None:
    for is_verified in (True, False):
        result = make_inventory(A, replace(B, media_type=media_type), is_verified=is_verified)
        (only,) = list_reasons(result)
        assert only == ("sha256:2", f"The layer has the media type {media_type!r}, which not all runtimes unpack.")


def test_a_layer_that_could_not_be_read_has_one_reason() -> None:
    layer = FakeLayer("sha256:2", [make_file("x"), make_file("x/y")], holds="sha256:b")
    assert len(list_reasons(make_inventory(A, layer))) == 1


def test_a_folder_has_no_config_to_be_checked_against() -> None:
    folder = FakeLayer(None, CONTENT, media_type=None, compression=None, holds="")
    image = FakeImage([folder])
    assert combine_facts(image, [read_layer(folder, ECOSYSTEMS)], ECOSYSTEMS, should_hash=True).unread == ()
