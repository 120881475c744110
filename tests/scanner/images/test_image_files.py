"""Layout folders and archives: picking an image, and files that are not whole."""

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from tests.scanner.images import make
from tests.scanner.images.make import Symlink

from dockgate.scanner.images import open_images
from dockgate.shared.errors import DockgateError, ImageError, NotFoundError, UnavailableError

NO_IMAGE = make.pack_tar({"a": b""})
FIRST, TWO = make.make_image([{"one": b"1"}]), make.make_image([{"two": b"2"}])


def digest(reference: str, platforms: list[str] | None = None) -> str | None:
    with open_images(reference, platforms) as opened_images:
        return opened_images.digest


def list_files(reference: str) -> list[str]:
    with open_images(reference) as opened_images:
        return [entry.path for layer in opened_images.images[0].layers for entry in layer.read_entries()]


@pytest.mark.parametrize("path", ["manifest.json", "./manifest.json"])
def test_a_file_that_an_archive_has_twice_is_refused(tmp_path: Path, path: str) -> None:
    """skopeo takes the first; `docker load` unpacks them, so that the last stays."""
    file = tmp_path / "a.tar"
    make.write_docker_archive(file, {"one:1": FIRST})
    with tarfile.open(file, "a") as archive:
        entry = tarfile.TarInfo(path)
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"[]"))
    with pytest.raises(ImageError, match=r"has manifest\.json twice"):
        digest(f"docker-archive:{file}")


# --- layouts -----------------------------------------------------------------------------------------------------


def test_a_layout_with_several_images_wants_a_tag_or_a_digest(tmp_path: Path) -> None:
    make.write_layout(tmp_path, {"1": FIRST, "docker.io/team/two:2": TWO})
    assert digest(f"oci:{tmp_path}:1") == FIRST.digest
    assert digest(f"oci:{tmp_path}:docker.io/team/two:2") == TWO.digest
    assert digest(f"oci:{tmp_path}@{TWO.digest}") == TWO.digest
    with pytest.raises(NotFoundError, match="several images") as error_info:
        digest(str(tmp_path))
    assert "1, docker.io/team/two:2" in str(error_info.value.advice)


def test_a_missing_tag_is_reported_with_the_available_ones(tmp_path: Path) -> None:
    make.write_layout(tmp_path, {"1": FIRST})
    with pytest.raises(NotFoundError, match="no image") as error_info:
        digest(f"oci:{tmp_path}:2")
    assert "It has: 1" in str(error_info.value.advice)


def test_nameless_entries_of_a_layout_are_an_index(tmp_path: Path) -> None:
    make.write_layout(tmp_path, {"": FIRST})
    entries = [make.make_descriptor(item.blobs[item.digest], make.MANIFEST) for item in (FIRST, TWO)]
    make.write_layout(tmp_path, {"": TWO})
    data = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    (tmp_path / "index.json").write_bytes(data)
    assert digest(f"oci:{tmp_path}", ["all"]) == make.compute_sha256(data)


@pytest.mark.parametrize("missing_digest", [FIRST.digest, FIRST.config, FIRST.layers[0]])
def test_a_missing_blob_is_named(tmp_path: Path, missing_digest: str) -> None:
    make.write_layout(tmp_path, {"": FIRST})
    (tmp_path / "blobs" / missing_digest.replace(":", "/")).unlink()
    with pytest.raises(ImageError, match=f"lacks the blob {missing_digest}"):
        list_files(f"oci:{tmp_path}")


def test_a_blob_that_is_no_file_is_not_opened(tmp_path: Path) -> None:
    make.write_layout(tmp_path, {"": FIRST})
    blob = tmp_path / "blobs" / FIRST.layers[0].replace(":", "/")
    blob.unlink()
    os.mkfifo(blob)
    with pytest.raises(ImageError, match="lacks the blob"):
        list_files(f"oci:{tmp_path}")


@pytest.mark.parametrize("name", ["Config", "Layers", "RepoTags"])
def test_a_docker_archive_that_can_be_read_in_two_ways_is_refused(tmp_path: Path, name: str) -> None:
    for duplicate_key in (name.lower(), name.upper()):
        make.write_docker_archive(tmp_path / "a.tar", {"app:1": FIRST})
        with tarfile.open(tmp_path / "a.tar") as archive:
            entries: dict[str, make.Content] = {
                member.name: file.read() for member in archive if (file := archive.extractfile(member))
            }
        manifest = json.loads(entries["manifest.json"])  # type: ignore[arg-type]
        manifest[0][duplicate_key] = manifest[0][name]
        entries["manifest.json"] = json.dumps(manifest).encode()
        (tmp_path / "a.tar").write_bytes(make.pack_tar(entries))
        with pytest.raises(ImageError, match="two ways"):
            digest(f"docker-archive:{tmp_path / 'a.tar'}")


@pytest.mark.parametrize("index", [b"", b"{}", b'{"manifests": []}', b'{"manifests": 1}', b" " * (2**22 + 1)])
def test_a_broken_index_is_reported(tmp_path: Path, index: bytes) -> None:
    make.write_layout(tmp_path, {"": FIRST})
    (tmp_path / "index.json").write_bytes(index)
    with pytest.raises(ImageError):
        digest(f"oci:{tmp_path}")


def test_a_layout_without_index_is_reported(tmp_path: Path) -> None:
    (tmp_path / "oci-layout").write_bytes(b"{}")
    with pytest.raises(ImageError, match=r"no index\.json"):
        digest(f"oci:{tmp_path}")


# --- archives ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed_fields", [{"RepoTags": 1.5}, {"RepoTags": "one:1"}, {"Layers": "ab"}, {"Layers": {"a": 1}}]
)
def test_an_invalid_list_in_a_docker_archive_is_reported(tmp_path: Path, changed_fields: dict[str, object]) -> None:
    manifest = [{"Config": "config.json", "RepoTags": ["one:1"], "Layers": [], **changed_fields}]
    (tmp_path / "a.tar").write_bytes(make.pack_tar({"manifest.json": json.dumps(manifest).encode()}))
    with pytest.raises(ImageError, match="not a list"):
        digest(f"docker-archive:{tmp_path / 'a.tar'}:one:1")


def test_an_image_without_a_name_in_a_docker_archive_is_read(tmp_path: Path) -> None:
    config = FIRST.blobs[FIRST.config]
    manifest = [{"Config": "config.json", "RepoTags": None, "Layers": ["layer.tar"]}]
    entries: dict[str, make.Content] = {
        "config.json": config,
        "layer.tar": FIRST.blobs[FIRST.layers[0]],
        "manifest.json": json.dumps(manifest).encode(),
    }
    (tmp_path / "a.tar").write_bytes(make.pack_tar(entries))
    assert list_files(str(tmp_path / "a.tar")) == ["one"]


def test_an_archive_is_known_by_its_content(tmp_path: Path) -> None:
    make.write_oci_archive(tmp_path / "oci", {"": FIRST})
    make.write_docker_archive(tmp_path / "docker", {"one:1": FIRST})
    assert list_files(str(tmp_path / "oci")) == list_files(str(tmp_path / "docker")) == ["one"]


def test_what_docker_saves_since_25_is_read_as_the_layout_that_it_is(tmp_path: Path) -> None:
    docker_manifest = json.dumps(
        [{"Config": f"blobs/{FIRST.config.replace(':', '/')}", "RepoTags": ["one:1"], "Layers": []}]
    )
    (tmp_path / "saved.tar").write_bytes(
        make.pack_tar({**make.make_layout_files({"1": FIRST}), "manifest.json": docker_manifest.encode()})
    )
    assert digest(f"docker-archive:{tmp_path}/saved.tar") == FIRST.digest


def test_an_archive_that_other_tools_read_as_another_image_is_refused(tmp_path: Path) -> None:
    """Docker before 25, and skopeo's docker-archive, take manifest.json's."""
    docker_manifest = json.dumps(
        [{"Config": f"blobs/{TWO.config.replace(':', '/')}", "RepoTags": ["one:1"], "Layers": []}]
    )
    blobs = {path: data for path, data in make.make_layout_files({"1": TWO}).items() if path.startswith("blobs/")}
    layout = make.make_layout_files({"1": FIRST})
    (tmp_path / "saved.tar").write_bytes(make.pack_tar({**blobs, **layout, "manifest.json": docker_manifest.encode()}))
    with pytest.raises(ImageError, match=f"two sets of images: its index.json does not list {TWO.config}"):
        digest(f"docker-archive:{tmp_path}/saved.tar")


def test_layers_stored_plain_have_the_digest_of_what_is_stored(tmp_path: Path) -> None:
    plain = make.make_image([{"one": b"1"}], compression="none")
    make.write_docker_archive(tmp_path / "saved.tar", {"one:1": plain})
    with open_images(str(tmp_path / "saved.tar")) as opened_images:
        assert [layer.digest for layer in opened_images.images[0].layers] == plain.layers == plain.diff_ids


def test_a_saved_image_has_the_same_digest_each_time_and_another_for_another_image(tmp_path: Path) -> None:
    digests = []
    for at, image in enumerate((FIRST, FIRST, TWO)):
        make.write_docker_archive(tmp_path / f"{at}.tar", {f"name:{at}": image})
        digests.append(digest(str(tmp_path / f"{at}.tar")))
    assert digests[0] == digests[1] != digests[2]


def test_an_archive_with_several_images_wants_a_name(tmp_path: Path) -> None:
    make.write_docker_archive(tmp_path / "saved.tar", {"one:1": FIRST, "two:2": TWO})
    assert list_files(f"docker-archive:{tmp_path}/saved.tar:two:2") == ["two"]
    for name in ("", ":three:3", f"@{FIRST.digest}"):
        with pytest.raises(NotFoundError) as error_info:
            digest(f"docker-archive:{tmp_path}/saved.tar{name}")
        assert "one:1, two:2" in str(error_info.value.advice)


def write_changed_archive(folder: Path, **changes: make.Content | None) -> str:
    """A `docker save` archive with members changed or, by None, left out; "layer" and "config" name the image's own."""
    make.write_docker_archive(folder / "whole.tar", {"one:1": make.make_image([{"one": b"1"}], compression="none")})
    with tarfile.open(folder / "whole.tar") as archive:
        members: dict[str, make.Content] = {
            name: stream.read() for name in archive.getnames() if (stream := archive.extractfile(name))
        }
    names = {"layer": next(iter(members)), "config": list(members)[1], "manifest": "manifest.json"}
    for key, content in changes.items():
        name = names.get(key, key)
        members.pop(name, None)
        if content is not None:
            members[name] = content
    (folder / "changed.tar").write_bytes(make.pack_tar(members))
    return str(folder / "changed.tar")


def test_layers_that_are_links_inside_the_archive_are_found(tmp_path: Path) -> None:
    data = make.pack_tar({"one": b"1"})
    assert list_files(
        write_changed_archive(tmp_path, layer=Symlink("../other/layer.tar"), **{"other/layer.tar": data})
    ) == ["one"]


@pytest.mark.parametrize("target", ["../../etc/passwd", "/etc/passwd", "layer.tar", "../nowhere"])
def test_links_lead_nowhere_else(tmp_path: Path, target: str) -> None:
    with pytest.raises(ImageError, match="lacks the layer"):
        list_files(write_changed_archive(tmp_path, layer=Symlink(target)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": None}, "lacks the layer"),
        ({"config": None}, "lacks "),
        ({"manifest": None}, "contains no image"),
        ({"manifest": b"[]"}, "there is no image"),
        ({"manifest": b"{"}, "manifest.json"),
        ({"manifest": b'[{"Config": 1}]'}, "manifest.json"),
        ({"manifest": b" " * (2**22 + 1)}, "larger than"),
        ({"config": b"{}"}, "does not list its 1 layers"),
        ({"config": b'{"rootfs": {"diff_ids": ["sha256:x"]}}'}, "not a digest"),
        ({"layer": make.pack_tar({"other": b"2"})}, "does not match its digest"),
        ({"layer": b"no tar" * 200}, "not a whole tar file"),
    ],
)
def test_a_broken_archive_is_reported(tmp_path: Path, changes: dict[str, make.Content | None], message: str) -> None:
    with pytest.raises(DockgateError, match=message) as error_info:
        list_files(write_changed_archive(tmp_path, **changes))
    assert isinstance(error_info.value, ImageError | NotFoundError)


@pytest.mark.parametrize("data", [b"hello", b"x" * 5000, gzip.compress(NO_IMAGE, mtime=0), b"", NO_IMAGE])
def test_a_file_that_is_not_an_image_archive_is_reported(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ImageError):
        digest(str(tmp_path / "file"))


def test_an_archive_cut_short_is_reported(tmp_path: Path) -> None:
    make.write_oci_archive(tmp_path / "file", {"": make.make_image([{"big": os.urandom(100_000)}])})
    data = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="truncated"):
        digest(str(tmp_path / "file"))


def test_a_disk_that_fails_is_not_taken_for_a_broken_image(tmp_path: Path) -> None:
    make.write_layout(tmp_path, {"": FIRST})
    with open_images(f"oci:{tmp_path}") as opened_images:
        blob = tmp_path / "blobs" / FIRST.layers[0].replace(":", "/")
        blob.unlink()
        blob.symlink_to("/proc/self/mem")  # a regular file that cannot be read from its beginning
        with pytest.raises(UnavailableError, match="cannot be read"):
            list(opened_images.images[0].layers[0].read_entries())
