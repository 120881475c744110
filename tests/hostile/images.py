"""Hostile images, and what must hold for all of them."""

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import zstandard
from tests.hostile.running import Dockgate, Ran
from tests.scanner.images import make
from tests.scanner.images.make import Content, Layer

# An honest image, which is approved.
DEBIAN: dict[str, Content] = {
    "etc/os-release": b'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
    "var/lib/dpkg/status": b"Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2-1\n\n",
}

GZIP, ZSTD, PLAIN = (f"application/vnd.oci.image.layer.v1.tar{suffix}" for suffix in ("+gzip", "+zstd", ""))

SECONDS, PEAK = 20, 512


def write_layout(folder: Path, *blobs: bytes, kind: str = GZIP) -> str:
    """An image of the honest layer and of layers that are these blobs, whatever is in them."""
    base = make.make_image([DEBIAN])
    manifest = json.loads(base.blobs[base.digest])
    manifest["layers"] += [make.make_descriptor(blob, get_media_type(blob, kind)) for blob in blobs]
    config = json.loads(base.blobs[base.config])
    diff_ids = {blob: make.compute_sha256(inflate_blob(blob)) for blob in set(blobs)}
    config["rootfs"]["diff_ids"] += [diff_ids[blob] for blob in blobs]
    config_bytes = json.dumps(config).encode()
    manifest["config"] = make.make_descriptor(config_bytes, make.CONFIG)
    document = json.dumps(manifest).encode()
    media_type = {**base.blobs, **{make.compute_sha256(blob): blob for blob in (*blobs, config_bytes, document)}}
    image = make.Image(
        make.compute_sha256(document), "linux/amd64", make.compute_sha256(config_bytes), [], [], media_type
    )
    make.write_layout(folder, {"latest": image})
    return f"oci:{folder}"


def get_media_type(blob: bytes, kind: str) -> str:
    """The media type of a blob by its compression, else the one given."""
    media_type = {b"\x1f\x8b": GZIP, b"\x28\xb5": ZSTD}.get(blob[:2])
    return media_type or (PLAIN if kind in (GZIP, ZSTD) else kind)


def inflate_blob(blob: bytes) -> bytes:
    """What is in a blob; for a broken or large one something else, for it is refused before."""
    try:
        if get_media_type(blob, PLAIN) == GZIP:
            return gzip.decompress(blob)
        if get_media_type(blob, PLAIN) == ZSTD:
            return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(blob), read_across_frames=True).read(2**26)
    except (EOFError, OSError, zlib.error, zstandard.ZstdError):
        return b""
    return blob


def pack_zip(files: Mapping[str, bytes], *, is_packed: bool = True) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if is_packed else zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@dataclass(frozen=True)
class Check:
    """Scans and judges an image, and holds it to what is promised: within bounds of time and memory the commands end by
    themselves, and call it undetermined for a reason that names what could not be read.

    `gate` does all that `scan` does, and then judges; the last of `commands` is `gate`."""

    dockgate: Dockgate
    folder: Path
    seconds: float = SECONDS
    peak: float = PEAK
    commands: tuple[str, ...] = ("gate",)

    def scan_layers(self, *layers: Layer | bytes) -> Ran:
        """Layers above an honest one."""
        make.write_layout(self.folder, {"latest": make.make_image([DEBIAN, *layers])})
        return self(f"oci:{self.folder}")

    def scan_blobs(self, *blobs: bytes, kind: str = GZIP) -> Ran:
        return self(write_layout(self.folder, *blobs, kind=kind))

    def __call__(self, reference: str, *options: str) -> Ran:
        """Run the commands; the result of `gate`."""
        results = [self.run_within_bounds(command, reference, *options) for command in self.commands]
        verdict = results[-1]
        assert {result.code for result in results} == {3}, verdict.out[-2000:] + verdict.err
        assert verdict.unread_paths
        assert all(result.unread_paths == verdict.unread_paths for result in results)
        assert verdict.document["verdict"]["status"] == "Undetermined"
        undetermined_subjects = {
            entry["subject"] for platform in verdict.document["platforms"] for entry in platform["undetermined"]
        }
        assert verdict.unread_paths.keys() <= undetermined_subjects
        return verdict

    def run_within_bounds(self, *command: str) -> Ran:
        """The command, which ends by itself within the bounds, without any fault of its own."""
        result = self.dockgate(*command, "-o", "json")
        assert result.code >= 0, f"killed by signal {-result.code} after {result.seconds:.1f} s"
        assert "Traceback" not in result.err
        assert "internal fault" not in result.err
        assert result.seconds < self.seconds
        assert result.peak < self.peak
        return result

    def require_refusal(self, reference: str, complaint: str) -> None:
        """The commands refuse what is not an image at all, and say why."""
        for command in self.commands:
            result = self.run_within_bounds(command, reference)
            assert (result.code, result.out) == (2, ""), result.out
            assert complaint in result.err
