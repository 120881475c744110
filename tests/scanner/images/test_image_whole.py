"""Archives that come on standard input or are compressed as a whole: put into a file that has no name."""

import io
import lzma
import os
import resource
import signal
from pathlib import Path

import pytest
from tests.scanner.images import make
from tests.scanner.images.client import list_files, open_remote, serve_image
from tests.scanner.images.webserver import serve

from dockgate.scanner.images import open_images
from dockgate.scanner.images.inflate import LayerLimits
from dockgate.scanner.images.spool import spool
from dockgate.shared.errors import ImageError, UnavailableError, UsageError

IMAGE = make.make_image([{"one": b"1"}])


def archive(folder: Path, form: str = "oci") -> bytes:
    write = {"oci": make.write_oci_archive, "docker": make.write_docker_archive}[form]
    write(folder / "made.tar", {"app:1": IMAGE})
    return (folder / "made.tar").read_bytes()


def list_names(reference: str, data: bytes | None = None) -> list[str]:
    with open_images(reference, stdin=io.BytesIO(data) if data is not None else None) as opened_images:
        return [entry.path for layer in opened_images.images[0].layers for entry in layer.read_entries()]


@pytest.mark.parametrize("form", ["oci", "docker"])
@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_an_archive_may_be_compressed_as_a_whole(form: str, compression: make.Compression, tmp_path: Path) -> None:
    data = make.compress(archive(tmp_path, form), compression)
    (tmp_path / "image").write_bytes(data)
    assert list_names(str(tmp_path / "image")) == list_names(f"{form}-archive:{tmp_path}/image:app:1") == ["one"]
    assert list_names("-", data) == ["one"]


def test_temporary_files_of_an_image_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    before = len(os.listdir("/proc/self/fd"))
    with open_images("-", stdin=io.BytesIO(archive(tmp_path))):
        assert list((tmp_path / "tmp").iterdir()) == []
        assert len(os.listdir("/proc/self/fd")) == before + 1
    for data in (b"", b"no tar" * 200, make.compress(make.pack_tar({"a": b""}))):
        with pytest.raises(ImageError):
            open_images("-", stdin=io.BytesIO(data))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_terminal_is_no_standard_input_for_an_archive() -> None:
    leader, follower = os.openpty()
    try:
        with (
            os.fdopen(follower, "rb", buffering=0) as terminal,
            pytest.raises(UsageError, match="terminal") as error_info,
        ):
            open_images("-", stdin=terminal)
        assert "podman save" in str(error_info.value.advice)
    finally:
        os.close(leader)


def test_standard_input_that_is_not_an_archive_is_reported() -> None:
    with pytest.raises(ImageError, match="standard input contains no image"):
        list_names("-", make.pack_tar({"a": b""}))
    with pytest.raises(ImageError, match="standard input is compressed with bzip2 or xz"):
        list_names("-", lzma.compress(make.pack_tar({"a": b""})))


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_an_archive_cut_short_before_it_is_inflated_is_reported(compression: make.Compression, tmp_path: Path) -> None:
    data = make.compress(archive(tmp_path), compression)
    with pytest.raises(ImageError):
        list_names("-", data[: len(data) // 2])


def test_an_archive_compressed_twice_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is not a whole tar file"):
        list_names("-", make.compress(make.compress(archive(tmp_path)), "zstd"))


def test_an_archive_that_inflates_without_end_is_refused() -> None:
    bounds = LayerLimits(inflated_bytes=2**24, ratio=10, ratio_from=2**20)
    with pytest.raises(ImageError, match="decompression bomb"):
        spool(io.BytesIO(make.compress(bytes(2**22))), "it", bounds)
    with pytest.raises(ImageError, match="contains more than 16777216 bytes"):
        spool(io.BytesIO(bytes(2**24 + 1)), "it", bounds)


def test_a_missing_temporary_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    with pytest.raises(UnavailableError, match="cannot be written to a temporary file: No such file"):
        open_images("-", stdin=io.BytesIO(archive(tmp_path)))


def test_an_image_of_a_registry_needs_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    archive(tmp_path)
    assert list_names(str(tmp_path / "made.tar")) == ["one"]
    with serve(serve_image()) as server, open_remote(f"{server.address}/team/app:1") as opened_images:
        assert list_files(opened_images) == ["one", "two"]


def test_a_full_disk_is_reported_with_advice() -> None:
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, usual[1]))
    try:
        with pytest.raises(UnavailableError, match="cannot be written to a temporary file") as error_info:
            spool(io.BytesIO(bytes(2**21)), "it")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        signal.signal(signal.SIGXFSZ, handler)
    assert "TMPDIR" in str(error_info.value.advice)


def test_a_pipe_that_breaks_is_no_broken_image() -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            raise OSError(5, "Input/output error")

    with pytest.raises(UnavailableError, match="it cannot be read: Input/output error"):
        spool(Broken(), "it")
