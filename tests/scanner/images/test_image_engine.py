"""Images in an engine's store: which engine is asked, how, and the error when there is none."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.scanner.images import make
from tests.scanner.images.webserver import Answer, Request, serve

from dockgate.scanner.images.engine import open_engine_source
from dockgate.scanner.images.reference import EngineReference
from dockgate.shared.errors import DockgateError, ImageError, NotFoundError, UnavailableError

IMAGE = make.make_image([{"one": b"1"}])


def save_image(folder: Path) -> bytes:
    make.write_oci_archive(folder / "saved.tar", {"localhost/app:1": IMAGE})
    return (folder / "saved.tar").read_bytes()


def serve_bytes(data: bytes) -> Callable[[Request], Answer]:
    return lambda request: Answer(200, data)


def write_podman(folder: Path, text: str) -> dict[str, str]:
    """An environment in which podman is a shell script."""
    (folder / "bin").mkdir()
    (folder / "bin/podman").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "bin/podman").chmod(0o755)
    return {"PATH": f"{folder}/bin:{os.environ['PATH']}"}


def digest(reference: EngineReference, environment: dict[str, str], system: Path) -> str:
    origin = open_engine_source(reference, environment, system)
    try:
        return origin.read_root()[0]
    finally:
        origin.close()


@pytest.mark.parametrize(
    ("engine", "socket_path", "path"),
    [
        ("docker", "docker.sock", "/images/team/app:1/get"),
        (
            "podman",
            "podman/podman.sock",
            "/v4.0.0/libpod/images/export?format=oci-archive&ociAcceptUncompressedLayers=true&references=team/app%3A1",
        ),
    ],
)
@pytest.mark.parametrize("folder_kind", ["system", "user", "variable"])
def test_an_engine_is_found_and_asked_for_the_image(
    engine: str, socket_path: str, path: str, folder_kind: str, tmp_path: Path
) -> None:
    for folder in ("system", "user"):
        (tmp_path / folder / socket_path).parent.mkdir(parents=True)
    environment = {"XDG_RUNTIME_DIR": f"{tmp_path}/user", "PATH": ""}
    listening = tmp_path / "elsewhere.sock" if folder_kind == "variable" else tmp_path / folder_kind / socket_path
    if folder_kind == "variable":
        environment["DOCKER_HOST" if engine == "docker" else "CONTAINER_HOST"] = f"unix://{listening}"
    with serve(serve_bytes(save_image(tmp_path)), listening) as server:
        assert digest(EngineReference(engine, "team/app:1"), environment, tmp_path / "system") == IMAGE.digest
    assert server.requests[-1].path.replace("%3A", ":") == path.replace("%3A", ":")


def test_podman_is_run_where_no_service_listens(tmp_path: Path) -> None:
    save_image(tmp_path)
    (tmp_path / "podman").mkdir()
    with serve(serve_bytes(b""), tmp_path / "podman/podman.sock"):
        pass  # which leaves the socket behind, as services do
    environment = write_podman(
        tmp_path, f'[ "$1" = image ] || exit 1; echo "$@" > {tmp_path}/arguments; cat {tmp_path}/saved.tar'
    )
    assert digest(EngineReference("podman", "app"), environment, tmp_path) == IMAGE.digest
    assert (tmp_path / "arguments").read_text() == "image save --quiet --uncompressed --format oci-archive app\n"


def test_all_images_of_a_manifest_list_are_read(tmp_path: Path) -> None:
    save_image(tmp_path)
    environment = write_podman(
        tmp_path,
        f"""case "$1 $2" in
"manifest exists") exit 0 ;;
"manifest push") echo "$3 $4 $5" > {tmp_path}/arguments; cp {tmp_path}/saved.tar "${{6#oci-archive:}}" ;;
*) echo "$@" >&2; exit 125 ;;
esac""",
    )
    assert digest(EngineReference("podman", "list"), environment, tmp_path) == IMAGE.digest
    assert (tmp_path / "arguments").read_text() == "--quiet --all list\n"


def test_the_error_of_a_failed_podman_push_is_reported(tmp_path: Path) -> None:
    environment = write_podman(tmp_path, '[ "$2" = exists ] || { echo no room >&2; exit 125; }')
    with pytest.raises(UnavailableError, match=r"podman cannot save list \(it says: no room\)"):
        open_engine_source(EngineReference("podman", "list"), environment, tmp_path)


def test_a_socket_that_would_hand_out_one_image_of_a_list_is_not_accepted(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        return (
            Answer(204, b"")
            if request.path.endswith("/manifests/team/list/exists")
            else Answer(200, save_image(tmp_path))
        )

    environment = {"CONTAINER_HOST": f"unix://{tmp_path}/podman.sock"}
    with (
        serve(answer, tmp_path / "podman.sock"),
        pytest.raises(UnavailableError, match="podman:team/list is a manifest list") as error_info,
    ):
        open_engine_source(EngineReference("podman", "team/list"), environment, tmp_path)
    assert "podman manifest push --all team/list oci-archive:FILE" in str(error_info.value.advice)


def test_a_missing_engine_is_reported_with_alternatives(tmp_path: Path) -> None:
    for engine, start in (("podman", "podman system service"), ("docker", "Start docker")):
        with pytest.raises(UnavailableError, match=f"{engine} does not run here") as error_info:
            open_engine_source(EngineReference(engine, "app"), {"PATH": ""}, tmp_path)
        assert start in str(error_info.value.advice)
        assert "save the image to a file" in str(error_info.value.advice)


@pytest.mark.parametrize("host", ["tcp://10.0.0.1:2375", "ssh://ada:secret@example.org/run/podman.sock", "unix://x"])
def test_a_remote_engine_is_refused_without_naming_its_address(host: str, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="DOCKER_HOST names a remote engine") as error_info:
        open_engine_source(EngineReference("docker", "app"), {"DOCKER_HOST": host}, tmp_path)
    assert host not in error_info.value.full_message


def test_a_named_engine_that_is_missing_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"absent\.sock cannot be reached"):
        open_engine_source(
            EngineReference("podman", "app"), {"CONTAINER_HOST": f"unix://{tmp_path}/absent.sock"}, tmp_path
        )


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (404, "No such image: app", NotFoundError, "docker has no image app in its store"),
        (400, "app: image not known", NotFoundError, "docker has no image app in its store"),
        (500, "disk\x1b[31m broken", UnavailableError, r"answers 500 \(it says: disk\[31m broken\)"),
    ],
)
def test_a_refusal_by_an_engine_is_reported(
    status: int, body: str, kind: type[DockgateError], message: str, tmp_path: Path
) -> None:
    refusal = Answer(status, json.dumps({"message": body}).encode())
    with serve(lambda request: refusal, tmp_path / "docker.sock"), pytest.raises(kind, match=message):
        open_engine_source(EngineReference("docker", "app"), {}, tmp_path)


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"message": 1}' + b" " * 2**17])
def test_a_refusal_of_unknown_form_is_reported_without_its_text(body: bytes, tmp_path: Path) -> None:
    with (
        serve(lambda request: Answer(500, body), tmp_path / "docker.sock"),
        pytest.raises(UnavailableError, match=r"answers 500$"),
    ):
        open_engine_source(EngineReference("docker", "app"), {}, tmp_path)


def test_an_answer_that_breaks_off_is_no_broken_image(tmp_path: Path) -> None:
    data = save_image(tmp_path)
    with (
        serve(lambda request: Answer(200, data, cut=600), tmp_path / "docker.sock"),
        pytest.raises(UnavailableError, match="cannot be reached"),
    ):
        open_engine_source(EngineReference("docker", "app"), {}, tmp_path)


def test_an_answer_that_is_not_an_archive_is_reported(tmp_path: Path) -> None:
    with (
        serve(serve_bytes(b""), tmp_path / "docker.sock"),
        pytest.raises(ImageError, match="docker:app contains no image"),
    ):
        open_engine_source(EngineReference("docker", "app"), {}, tmp_path)


def test_the_error_of_a_failed_podman_is_reported(tmp_path: Path) -> None:
    environment = write_podman(tmp_path, "echo one >&2; echo Error: no room >&2; exit 125")
    with pytest.raises(UnavailableError, match=r"podman cannot save app \(it says: Error: no room\)"):
        open_engine_source(EngineReference("podman", "app"), environment, tmp_path)


def test_half_an_archive_is_not_taken_for_one(tmp_path: Path) -> None:
    save_image(tmp_path)
    with pytest.raises(UnavailableError, match="podman cannot save"):
        open_engine_source(
            EngineReference("podman", "app"), write_podman(tmp_path, f"cat {tmp_path}/saved.tar; exit 1"), tmp_path
        )
