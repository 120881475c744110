"""What references mean."""

from pathlib import Path

import pytest
from tests.scanner.images import make

from dockgate.scanner.images.reference import (
    EngineReference,
    FileReference,
    FolderReference,
    StdinReference,
    parse_reference,
)
from dockgate.scanner.registry_reference import RegistryReference, is_loopback_registry
from dockgate.shared.errors import UsageError

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("debian", RegistryReference("docker.io", "library/debian", "latest")),
        ("debian:13-slim", RegistryReference("docker.io", "library/debian", "13-slim")),
        ("team/app", RegistryReference("docker.io", "team/app", "latest")),
        ("docker.io/debian", RegistryReference("docker.io", "library/debian", "latest")),
        ("index.docker.io/team/app", RegistryReference("docker.io", "team/app", "latest")),
        (f"debian@{DIGEST}", RegistryReference("docker.io", "library/debian", None, DIGEST)),
        ("localhost/app", RegistryReference("localhost", "app", "latest")),
        ("127.0.0.1:5000/team/app:1", RegistryReference("127.0.0.1:5000", "team/app", "1")),
        ("[::1]:5000/app:1", RegistryReference("[::1]:5000", "app", "1")),
        ("ghcr.io/a/b/c__d.e-f", RegistryReference("ghcr.io", "a/b/c__d.e-f", "latest")),
        (f"host:443/name:tag@{DIGEST}", RegistryReference("host:443", "name", "tag", DIGEST)),
    ],
)
def test_references_to_registries_are_parsed(text: str, meaning: RegistryReference) -> None:
    assert parse_reference(text) == meaning


@pytest.mark.parametrize("text", ["127.0.0.1:5000/team/app:1", f"host:443/name:tag@{DIGEST}"])
def test_a_name_in_full_is_printed_as_it_was_given(text: str) -> None:
    assert str(parse_reference(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two words",
        "tab\tbed",
        "app:",
        "app:ta:g",
        "app:-tag",
        "app@sha256:12",
        f"app@{DIGEST.upper()}",
        f"app@md5:{'a' * 32}",
        "app@",
        "../no/such/folder",
        "/no/such/file.tar",
        "a..b/c",
        "a//b",
        "-app",
        "host:port/app",
        "--help:5000/app",
        "host-:5000/app",
        "x/" * 130 + "x",
    ],
)
def test_an_invalid_image_reference_is_refused_with_advice(text: str) -> None:
    with pytest.raises(UsageError) as error_info:
        parse_reference(text)
    assert error_info.value.advice


@pytest.mark.parametrize("prefix", ["", "/", "dir:", "oci:", "oci-archive:"])
@pytest.mark.parametrize("text", ["a" * 5000, "\ud800", "a\0b"], ids=["too long", "surrogate", "NUL"])
def test_an_invalid_path_is_refused_with_advice(prefix: str, text: str) -> None:
    with pytest.raises(UsageError) as error_info:
        parse_reference(prefix + text)
    assert error_info.value.advice


def test_capitals_are_answered_with_the_right_name() -> None:
    with pytest.raises(UsageError) as error_info:
        parse_reference("ghcr.io/Team/App:V1")
    assert "ghcr.io/team/app:V1" in str(error_info.value.advice)


def test_paths_that_exist_win_over_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make.write_image_layout(tmp_path / "folder", [])
    (tmp_path / "file.tar").write_bytes(b"")
    (tmp_path / "debian").mkdir()
    assert parse_reference("folder") == FileReference(Path("folder"))
    assert parse_reference("./folder") == FileReference(Path("folder"))
    assert parse_reference("file.tar") == FileReference(Path("file.tar"))
    assert parse_reference("debian") == RegistryReference("docker.io", "library/debian", "latest")


@pytest.mark.parametrize("text", ["no.tar", "no/such.tar.gz", "no.tgz", "bom.json", "out.d/app.tar"])
def test_a_file_that_is_not_there_is_not_looked_for_in_a_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out.d").mkdir()
    with pytest.raises(UsageError, match=f"there is no file '{text}'") as error_info:
        parse_reference(text)
    meant = str(error_info.value.advice).rpartition(" ")[2].rstrip(".")
    assert str(parse_reference(meant)) == meant
    assert parse_reference("quay.io/team/app.tar") == RegistryReference("quay.io", "team/app.tar", "latest")


def test_a_local_image_is_picked_by_tag_name_or_digest(tmp_path: Path) -> None:
    folder, file = tmp_path / "a:b@c", tmp_path / "x.tar"
    make.write_image_layout(folder, [])
    file.write_bytes(b"")
    assert parse_reference(f"oci:{folder}") == FileReference(folder)
    assert parse_reference(f"oci:{folder}:latest") == FileReference(folder, "latest")
    assert parse_reference(f"oci:{folder}@{DIGEST}") == FileReference(folder, None, DIGEST)
    assert parse_reference(f"docker-archive:{file}:localhost:5000/app:1") == FileReference(file, "localhost:5000/app:1")


@pytest.mark.parametrize("text", ["oci:", "oci:/no/such", "oci-archive:/no/such.tar", "docker-archive:/:x"])
def test_a_missing_local_image_is_reported(text: str) -> None:
    with pytest.raises(UsageError, match="there is no"):
        parse_reference(text)


def test_a_folder_that_is_not_a_layout_is_reported(tmp_path: Path) -> None:
    for text in (f"oci:{tmp_path}", str(tmp_path)):
        with pytest.raises(UsageError, match="without an oci-layout") as error_info:
            parse_reference(text)
        assert f"dir:{tmp_path}" in str(error_info.value.advice)


def test_what_is_no_image_file_is_named_by_what_stands_before_it(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    assert parse_reference("-") == StdinReference()
    assert parse_reference(f"dir:{tmp_path}/a b") == FolderReference(tmp_path / "a b")
    assert (
        parse_reference("podman:app") == parse_reference("containers-storage:app") == EngineReference("podman", "app")
    )
    assert (
        parse_reference("docker:app:1") == parse_reference("docker-daemon:app:1") == EngineReference("docker", "app:1")
    )
    assert parse_reference("docker:5000/app") == RegistryReference("docker:5000", "app", "latest")
    assert str(parse_reference(f"docker:127.0.0.1:5000/app@{DIGEST}")) == f"docker:127.0.0.1:5000/app@{DIGEST}"


@pytest.mark.parametrize(
    "text", ["dir:", "dir:/no/such", "podman:", "docker:-v", "docker://ghcr.io/app", "podman:a/../b"]
)
def test_what_could_not_be_there_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(UsageError) as error_info:
        parse_reference(text)
    assert error_info.value.advice


def test_only_this_machine_is_loopback() -> None:
    loopback_hosts, other_hosts = (
        ("localhost", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"),
        ("localhost.evil.test", "128.0.0.1"),
    )
    assert [is_loopback_registry(item) for item in (*loopback_hosts, *other_hosts)] == [True] * 4 + [False] * 2
