"""Artifacts of one blob in a registry: pushed, pulled, refused."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.docker_registry import PASSWORD, USER, Running, run_registry
from tests.scanner.images.make import make_image
from tests.scanner.images.webserver import Answer, Request, serve

from dockgate.scanner.images import open_images
from dockgate.scanner.images.artifact import pull_artifact, push_artifact
from dockgate.shared.errors import (
    DeniedError,
    DockgateError,
    ImageError,
    NotAnImageError,
    NotFoundError,
    UnavailableError,
)

KIND = "application/vnd.test.v1"
LIMIT = 10_000_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(os.urandom(3_000_000))
    return tmp_path / "file"


@pytest.mark.real
def test_what_is_pushed_is_pulled_by_tag_and_by_digest(running: Running, file: Path, tmp_path: Path) -> None:
    name = f"{running.address}/team/thing"
    digest = push_artifact(f"{name}:1", KIND, file, {"a": "b"})
    assert push_artifact(f"{name}:1", KIND, file, {"a": "b"}) == digest
    for reference in (f"{name}:1", f"{name}@{digest}"):
        assert pull_artifact(reference, KIND, tmp_path / "back", limit=LIMIT) == digest
        assert (tmp_path / "back").read_bytes() == file.read_bytes()


@pytest.mark.real
def test_its_manifest_is_an_oci_artifacts(running: Running, file: Path) -> None:
    digest = push_artifact(f"{running.address}/team/thing:2", KIND, file, {"a": "b"})
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    answer = httpx.get(f"{running.url}/v2/team/thing/manifests/2", headers=accept)
    assert "sha256:" + hashlib.sha256(answer.content).hexdigest() == digest
    manifest = answer.json()
    assert manifest["artifactType"] == KIND
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert [layer["size"] for layer in manifest["layers"]] == [3_000_000]
    assert manifest["annotations"] == {"a": "b"}


@pytest.mark.real
def test_an_artifact_is_distinguished_from_an_unreadable_image(running: Running, file: Path) -> None:
    reference = f"{running.address}/team/thing:3"
    push_artifact(reference, KIND, file, {})
    with pytest.raises(NotAnImageError, match="not a container image"):
        open_images(reference)


@pytest.mark.real
def test_an_artifact_of_another_type_is_refused(running: Running, file: Path, tmp_path: Path) -> None:
    running.push("team/app", "1", make_image([{"etc/hostname": b"x"}]))
    with pytest.raises(ImageError, match="not an artifact of the type"):
        pull_artifact(f"{running.address}/team/app:1", KIND, tmp_path / "back", limit=LIMIT)
    push_artifact(f"{running.address}/team/thing:3", KIND, file, {})
    with pytest.raises(ImageError, match="not an artifact of the type"):
        pull_artifact(f"{running.address}/team/thing:3", "application/vnd.other.v1", tmp_path / "back", limit=LIMIT)
    with pytest.raises(ImageError, match="larger than"):
        pull_artifact(f"{running.address}/team/thing:3", KIND, tmp_path / "back", limit=1000)
    with pytest.raises(NotFoundError):
        pull_artifact(f"{running.address}/team/thing:none", KIND, tmp_path / "back", limit=LIMIT)


@pytest.mark.real
def test_an_artifact_is_denied_without_credentials(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_registry(tmp_path / "registry", password=True) as running:
        reference = f"{running.address}/team/thing:1"
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
        (tmp_path / "auth.json").write_text("{}")
        with pytest.raises(DeniedError, match="cannot be written with these credentials"):
            push_artifact(reference, KIND, file, {})
        entry = {"username": USER, "password": PASSWORD}
        (tmp_path / "auth.json").write_text(json.dumps({"auths": {running.address: entry}}))
        digest = push_artifact(reference, KIND, file, {})
        assert pull_artifact(reference, KIND, tmp_path / "back", limit=LIMIT) == digest
        entry["password"] = "wrong"
        (tmp_path / "auth.json").write_text(json.dumps({"auths": {running.address: entry}}))
        with pytest.raises(DeniedError):
            push_artifact(reference, KIND, file, {})


# --- registries that misbehave -----------------------------------------------------------------------------------

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize("layer", [1, {}, {"digest": "sha256:x", "size": 1}, {"digest": DIGEST, "size": -1}])
def test_a_manifest_that_names_no_blob_is_refused(layer: object, tmp_path: Path) -> None:
    manifest = {"artifactType": KIND, "layers": [layer]}
    with serve(lambda request: Answer(body=json.dumps(manifest).encode())) as server, pytest.raises(DockgateError):
        pull_artifact(f"{server.address}/a:1", KIND, tmp_path / "back", limit=LIMIT)


@pytest.mark.parametrize("body", [b"other", b"longer than declared"])
def test_a_blob_that_is_another_is_refused(body: bytes, tmp_path: Path) -> None:
    manifest = {"artifactType": KIND, "layers": [{"digest": DIGEST, "size": 5}]}

    def answer(request: Request) -> Answer:
        return Answer(body=body if "/blobs/" in request.path else json.dumps(manifest).encode())

    with serve(answer) as server, pytest.raises(ImageError, match=f"blob {DIGEST}"):
        pull_artifact(f"{server.address}/a:1", KIND, tmp_path / "back", limit=LIMIT)


@pytest.mark.parametrize(
    "answers", [{"POST": 202}, {"POST": 500}, {"POST": 404}, {"POST": 403}, {"HEAD": 200, "PUT": 400}]
)
def test_a_registry_that_takes_no_artifacts_is_reported(answers: dict[str, int], file: Path) -> None:
    with (
        serve(lambda request: Answer(answers.get(request.method, 404))) as server,
        pytest.raises((UnavailableError, DeniedError), match=f"{server.address}") as error_info,
    ):
        push_artifact(f"{server.address}/a:1", KIND, file, {})
    assert error_info.value.advice


def test_credentials_stay_with_the_registry_when_the_upload_goes_elsewhere(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(lambda request: Answer(201)) as storage:

        def answer(request: Request) -> Answer:
            if request.path != "/v2/" and "Authorization" not in request.headers:
                return Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            if request.method == "POST":
                return Answer(202, headers={"Location": f"http://{storage.address}/upload?state=1"})
            return Answer(404 if request.method == "HEAD" else 201)

        with serve(answer) as server:
            auths = {server.address: {"username": USER, "password": PASSWORD}}
            (tmp_path / "auth.json").write_text(json.dumps({"auths": auths}))
            monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
            push_artifact(f"{server.address}/a:1", KIND, file, {})
    assert [request.body for request in storage.requests] == [b"{}", file.read_bytes()]
    assert not any("Authorization" in request.headers for request in storage.requests)
    assert all(request.path.startswith("/upload?state=1&digest=sha256:") for request in storage.requests)
