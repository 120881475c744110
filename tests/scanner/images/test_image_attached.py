"""What is attached to an image: by the referrers API, by its tag, and as cosign does it; nothing of it is trusted."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.docker_registry import Running, run_registry
from tests.scanner.images import make
from tests.scanner.images.webserver import Answer, Request, as_json, serve

from dockgate.scanner.images.attached_documents import SIZE_LIMIT, TOTAL_LIMIT, read_documents
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import UnavailableError

IMAGE = make.make_image([{"one": b"1"}])
TAG = IMAGE.digest.replace(":", "-")
EMPTY = "application/vnd.oci.empty.v1+json"
OPENVEX = "application/vnd.openvex+json"
DSSE = "application/vnd.dsse.envelope.v1+json"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def make_manifest(
    *documents: bytes, kind: str = OPENVEX, subject: str = IMAGE.digest
) -> tuple[bytes, dict[str, bytes]]:
    """A manifest that refers to the image, and its blobs by digest."""
    blobs = {compute_digest(data): data for data in (b"{}", *documents)}
    layers = [{"mediaType": kind, "digest": compute_digest(data), "size": len(data)} for data in documents]
    body = {
        "schemaVersion": 2,
        "mediaType": make.MANIFEST,
        "artifactType": kind,
        "config": {"mediaType": EMPTY, "digest": compute_digest(b"{}"), "size": 2},
        "layers": layers,
        "subject": {"mediaType": make.MANIFEST, "digest": subject, "size": 1},
    }
    return json.dumps(body).encode(), blobs


def index(*manifests: bytes, kind: str = OPENVEX) -> bytes:
    entries = [
        {"mediaType": make.MANIFEST, "artifactType": kind, "digest": compute_digest(manifest), "size": len(manifest)}
        for manifest in manifests
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": make.INDEX, "manifests": entries}).encode()


def put(running: Running, repository: str, tag: str, body: bytes, blobs: dict[str, bytes], kind: str) -> None:
    with httpx.Client(base_url=f"{running.url}/v2/{repository}") as client:
        for name, data in blobs.items():
            upload_url = client.post("/blobs/uploads/").raise_for_status().headers["Location"]
            client.put(httpx.URL(upload_url).copy_add_param("digest", name), content=data).raise_for_status()
        for name in (compute_digest(body), tag):
            client.put(f"/manifests/{name}", content=body, headers={"Content-Type": kind}).raise_for_status()


@pytest.mark.real
def test_a_registry_without_the_api_keeps_referrers_and_attestations_under_tags(running: Running) -> None:
    running.push("team/app", "1", IMAGE)
    reference = f"{running.address}/team/app@{IMAGE.digest}"
    assert read_documents(reference) == []
    body, blobs = make_manifest(b'{"vex": 1}')
    put(running, "team/app", "ignored", body, blobs, make.MANIFEST)
    put(running, "team/app", TAG, index(body), {}, make.INDEX)
    signed_manifest, signed_blobs = make_manifest(b'{"signed": 1}', b'{"signed": 2}', kind=DSSE)
    put(running, "team/app", f"{TAG}.att", signed_manifest, signed_blobs, make.MANIFEST)
    assert read_documents(reference) == [b'{"vex": 1}', b'{"signed": 1}', b'{"signed": 2}']


def serve_answers(answers: dict[str, Any], status: int = 200) -> Callable[[Request], Answer]:
    """A registry with the referrers API; `answers` are by path below the repository."""

    def answer(request: Request) -> Answer:
        path = request.path.removeprefix("/v2/team/app/")
        if path == f"referrers/{IMAGE.digest}" and status != 200:
            return as_json({}, status)
        data = answers.get(path)
        if data is None:
            return as_json({"errors": []}, 404)
        return Answer(200, data, {"Content-Type": make.INDEX if path.startswith("referrers") else make.MANIFEST})

    return answer


def map_paths(body: bytes, blobs: dict[str, bytes]) -> dict[str, bytes]:
    return {f"manifests/{compute_digest(body)}": body, **{f"blobs/{name}": data for name, data in blobs.items()}}


def test_the_api_is_asked_first() -> None:
    body, blobs = make_manifest(b'{"vex": 1}')
    answers = {f"referrers/{IMAGE.digest}": index(body), **map_paths(body, blobs)}
    with serve(serve_answers(answers)) as server:
        assert read_documents(f"{server.address}/team/app@{IMAGE.digest}") == [b'{"vex": 1}']


def test_what_is_broken_or_refers_to_another_image_is_left_out() -> None:
    foreign, foreign_blobs = make_manifest(b'{"other": 1}', subject="sha256:" + "0" * 64)
    fine, blobs = make_manifest(b'{"vex": 1}', b'{"changed": 1}', b'{"picture": 1}')
    referrers = json.loads(index(foreign, fine, b"missing"))
    referrers["manifests"] += [{"artifactType": OPENVEX, "digest": "../../etc", "size": 1}, 7, {"digest": None}]
    answers = {
        f"referrers/{IMAGE.digest}": json.dumps(referrers).encode(),
        **map_paths(foreign, foreign_blobs),
        **map_paths(fine, blobs),
    }
    answers["blobs/" + compute_digest(b'{"changed": 1}')] = b'{"CHANGED": 1}'
    with serve(serve_answers(answers)) as server:
        assert read_documents(f"{server.address}/team/app@{IMAGE.digest}") == [b'{"vex": 1}', b'{"picture": 1}']


def test_a_layer_without_a_sha256_is_not_asked_for() -> None:
    body, _ = make_manifest(b'{"vex": 1}')
    document = json.loads(body)
    document["layers"][0]["digest"] = "nope:../../x"
    odd = json.dumps(document).encode()
    answers = {f"referrers/{IMAGE.digest}": index(odd), **map_paths(odd, {})}
    with serve(serve_answers(answers)) as server:
        assert read_documents(f"{server.address}/team/app@{IMAGE.digest}") == []
        assert not [request for request in server.requests if "/blobs/" in request.path]


def test_a_document_without_end_is_not_read() -> None:
    body, blobs = make_manifest(b'{"vex": 1}')
    large = json.loads(body)
    large["layers"][0]["size"] = SIZE_LIMIT + 1
    large_document = json.dumps(large).encode()
    answers = {f"referrers/{IMAGE.digest}": index(large_document), **map_paths(large_document, blobs)}
    with serve(serve_answers(answers)) as server:
        assert read_documents(f"{server.address}/team/app@{IMAGE.digest}") == []


def test_documents_that_are_large_together_are_not_all_read() -> None:
    contents = [json.dumps({"vex": number}).ljust(SIZE_LIMIT).encode() for number in range(TOTAL_LIMIT // SIZE_LIMIT)]
    body, blobs = make_manifest(b'{"first": 1}', *contents, b'{"last": 1}')
    answers = {f"referrers/{IMAGE.digest}": index(body), **map_paths(body, blobs)}
    with serve(serve_answers(answers)) as server:
        documents = read_documents(f"{server.address}/team/app@{IMAGE.digest}")
    assert documents == [b'{"first": 1}', *contents[:-1], b'{"last": 1}']


def test_a_registry_that_denies_access_is_reported() -> None:
    with serve(serve_answers({}, 403)) as server, pytest.raises(UnavailableError, match="403"):
        read_documents(f"{server.address}/team/app@{IMAGE.digest}")
