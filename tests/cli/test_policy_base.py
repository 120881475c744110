"""`dockgate policy base`: a base image, by its layers, as the rule `base_image` wants it."""

from pathlib import Path

import pytest
from tests.cli import layouts
from tests.cli.conftest import Dockgate
from tests.cli.test_scan import Run, run
from tests.gate.samples import RULES
from tests.scanner.images import make

from dockgate.gate.definitions.policy import read_named_policy

__all__ = ["run"]

BASE = {"etc/os-release": b"ID=debian\n"}
ARM = {"etc/os-release": b"ID=debian\nVERSION_ID=13\n"}


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_policy_base_prints_a_rule_with_the_diff_ids_of_every_platform(
    dockgate: Dockgate, tmp_path: Path, compression: make.Compression
) -> None:
    """Whatever compressed them, and whatever the config says they are."""
    lied = {"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64] * 2}}
    images = [
        make.make_image([BASE, {"a": b"1"}], compression=compression, config=lied),
        make.make_image([ARM], platform="linux/arm64", compression=compression),
    ]
    make.write_layout(tmp_path / "layout", {"13": make.index(images)})
    result = dockgate("policy", "base", f"oci:{tmp_path / 'layout'}", "--name", "debian: 13", "--until", "2026-12-31")
    assert result.code == 0, result.err
    rule = read_named_policy(result.out, "ours", RULES).rules["base_image"][0]
    layers = [
        [make.compute_sha256(make.pack_tar(entry)) for entry in (BASE, {"a": b"1"})],
        [make.compute_sha256(make.pack_tar(ARM))],
    ]
    assert rule["images"] == [
        {"name": "debian: 13", "until": "2026-12-31", "platform": "linux/amd64", "layers": layers[0]},
        {"name": "debian: 13", "until": "2026-12-31", "platform": "linux/arm64", "layers": layers[1]},
    ]


def test_one_platform_can_be_selected(dockgate: Dockgate, tmp_path: Path) -> None:
    images = [make.make_image([BASE]), make.make_image([ARM], platform="linux/arm64")]
    make.write_layout(tmp_path / "layout", {"13": make.index(images)})
    result = dockgate("policy", "base", f"oci:{tmp_path / 'layout'}", "--platform", "linux/arm64")
    assert result.out.count("- name:") == 1
    assert make.compute_sha256(make.pack_tar(ARM)) in result.out


def test_a_layer_that_does_not_match_its_digest_is_refused(dockgate: Dockgate, tmp_path: Path) -> None:
    image = make.make_image([BASE])
    make.write_layout(tmp_path / "layout", {"13": image})
    blob = tmp_path / "layout" / "blobs" / image.layers[0].replace(":", "/")
    blob.write_bytes(make.compress(make.pack_tar(ARM)))
    assert dockgate("policy", "base", f"oci:{tmp_path / 'layout'}").code == 2


def test_a_root_folder_has_no_layers(dockgate: Dockgate, tmp_path: Path) -> None:
    result = dockgate("policy", "base", f"dir:{tmp_path}")
    assert (result.code, "has no layers" in result.err) == (2, True)


def test_the_gate_accepts_the_printed_base_image_only(run: Run, tmp_path: Path) -> None:
    """Recompressed by another builder, on another base, squashed, and with layers whose config lies."""
    base = {name: text.encode() for name, text in layouts.make_debian_files(openssl="3.5.4-1").items()}
    make.write_layout(tmp_path / "base", {"13": make.make_image([base])})
    own_files = {"app/run": b"1"}
    zeros = {"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64] * 2}}
    claimed_config = {"rootfs": {"type": "layers", "diff_ids": [make.compute_sha256(make.pack_tar(base))]}}
    images = {
        "same": (make.make_image([base, own_files]), 0),
        "zstd": (make.make_image([base, own_files], compression="zstd"), 0),
        "config-lies": (make.make_image([base, own_files], config=zeros), 3),
        "squashed": (make.make_image([{**base, **own_files}]), 1),
        "claimed": (make.make_image([{**base, **own_files}], config=claimed_config), 1),
        "above": (make.make_image([own_files, base]), 1),
    }
    make.write_layout(tmp_path / "layout", {name: layers for name, (layers, _) in images.items()})
    policy_file = tmp_path / "strict.yaml"
    policy_file.write_text(run("policy", "base", f"oci:{tmp_path / 'base'}").out)
    for name, (_, code) in images.items():
        for _ in range(2):  # read, and remembered
            result = run("gate", f"oci:{tmp_path / 'layout'}:{name}", "--policy", str(policy_file))
            assert result.code == code, f"{name}: {result.out}{result.err}"
        assert ("do not match an allowed base image" in result.out) == (code == 1)
