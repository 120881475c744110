"""Registries: a real one for all that goes right, and a written one for all that may go wrong."""

import base64
import gzip
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.docker_registry import PASSWORD, SERVICE, USER, Certificates, make_certificates, run_registry, sign_token
from tests.ports import find_free_port
from tests.scanner.images import make
from tests.scanner.images.client import BASIC, IMAGE, LOGIN, list_files, open_remote, serve_image
from tests.scanner.images.webserver import Answer, Request, as_json, serve

from dockgate.scanner.images import open_images
from dockgate.scanner.images.transport import LONGEST_WAIT
from dockgate.shared.errors import DeniedError, ImageError, NotFoundError, UnavailableError, UsageError

# --- the real registry -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("pem"))


@pytest.mark.real
def test_an_index_is_read_by_tag_and_by_digest(tmp_path: Path) -> None:
    index = make.index([IMAGE, make.make_image([], platform="linux/arm64/v8")], has_attestations=True)
    with run_registry(tmp_path) as running:
        running.push("team/app", "1", index)
        for reference in ("team/app:1", f"team/app@{index.digest}", f"team/app:other@{index.digest}"):
            with open_images(f"{running.address}/{reference}", ["all"]) as opened_images:
                assert opened_images.digest == index.digest
                assert [image.platform for image in opened_images.images] == ["linux/amd64", "linux/arm64/v8"]
                assert list_files(opened_images) == ["one", "two"]


@pytest.mark.real
def test_an_image_that_a_registry_lacks_is_reported(tmp_path: Path) -> None:
    with run_registry(tmp_path) as running:
        running.push("team/app", "1", IMAGE)
        for reference in ("team/app:2", "team/other:1", f"team/app@{make.compute_sha256(b'other')}"):
            with pytest.raises(NotFoundError, match=reference) as error_info:
                open_images(f"{running.address}/{reference}")
            assert error_info.value.advice


@pytest.mark.real
def test_a_layer_that_a_registry_lost_or_broke_is_named(tmp_path: Path) -> None:
    with run_registry(tmp_path) as running:
        running.push("team/app", "1", IMAGE)
        hexes = [digest.removeprefix("sha256:") for digest in IMAGE.layers]
        lost_blob, broken_blob = (
            tmp_path / f"data/docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data" for digest in hexes
        )
        lost_blob.unlink()
        broken_blob.write_bytes(make.compress(make.pack_tar({"two": b"3" * 3000})))
        with open_images(f"{running.address}/team/app:1") as opened_images:
            for layer in opened_images.images[0].layers:
                with pytest.raises(ImageError, match=layer.digest):
                    list(layer.read_entries())


@pytest.mark.real
def test_basic_credentials_come_from_the_users_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_registry(tmp_path / "registry", password=True) as running:
        running.push("team/app", "1", IMAGE)
        reference = f"{running.address}/team/app:1"
        with pytest.raises(DeniedError) as error_info:
            open_images(reference)
        assert f"login {running.address}" in str(error_info.value.advice)
        file = tmp_path / "auth.json"
        for password, works in (("wrong", False), (PASSWORD, True)):
            auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
            file.write_text(f'{{"auths": {{"{running.address}": {{"auth": "{auth}"}}}}}}')
            monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
            if works:
                with open_images(reference) as opened_images:
                    assert list_files(opened_images) == ["one", "two"]
            else:
                with pytest.raises(DeniedError):
                    open_images(reference)


@pytest.mark.real
def test_tokens_are_fetched_for_pulling_alone_and_renewed(tmp_path: Path, pem: Certificates) -> None:
    def issue(request: Request) -> Answer:
        query = parse_qs(urlsplit(request.path).query)
        if request.headers.get("Authorization") != BASIC:
            return Answer(401)
        assert query == {"service": [SERVICE], "scope": ["repository:team/app:pull"], "account": ["x"]}
        # The first is too old already, and counts as refused: the registry allows no more than a minute.
        return as_json({"token": sign_token(pem, "team/app", ["pull"], -90 if len(server.requests) == 1 else 60)})

    with (
        serve(issue) as server,
        run_registry(tmp_path, certificates=pem, realm=f"http://{server.address}/?account=x") as run,
    ):
        run.headers["Authorization"] = "Bearer " + sign_token(pem, "team/app", ["pull", "push"])
        run.push("team/app", "1", IMAGE)
        with open_remote(f"{run.address}/team/app:1", LOGIN) as opened_images:
            assert list_files(opened_images) == ["one", "two"]
        assert len(server.requests) == 2
        with pytest.raises(DeniedError, match="token server"), open_remote(f"{run.address}/team/app:1"):
            pass


@pytest.mark.real
def test_a_certificate_is_trusted_by_the_bundle_that_names_its_authority(tmp_path: Path, pem: Certificates) -> None:
    with run_registry(tmp_path, certificates=pem) as running:
        running.push("team/app", "1", IMAGE)
        reference = f"{running.address}/team/app:1"
        with open_images(reference, ca_bundle=pem.authority) as opened_images:
            assert list_files(opened_images) == ["one", "two"]
        with pytest.raises(UnavailableError, match="not trusted") as error_info:
            open_images(reference)
        assert "--ca-bundle" in str(error_info.value.advice)


@pytest.mark.real
def test_a_bundle_that_is_replaced_is_read_again(tmp_path: Path, pem: Certificates) -> None:
    bundle, another_authority = tmp_path / "bundle", make_certificates(tmp_path / "another_authority")
    bundle.write_bytes(another_authority.authority.read_bytes())
    with run_registry(tmp_path, certificates=pem) as running:
        running.push("team/app", "1", IMAGE)
        reference = f"{running.address}/team/app:1"
        with pytest.raises(UnavailableError, match="not trusted"):
            open_images(reference, ca_bundle=bundle)
        replacement = tmp_path / "new"
        replacement.write_bytes(pem.authority.read_bytes())
        replacement.replace(bundle)
        with open_images(reference, ca_bundle=bundle) as opened_images:
            assert list_files(opened_images) == ["one", "two"]


@pytest.mark.real
def test_a_certificate_is_trusted_by_the_environments_bundle(
    tmp_path: Path, pem: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pem.authority))
    with run_registry(tmp_path, certificates=pem) as running:
        running.push("team/app", "1", IMAGE)
        with open_images(f"{running.address}/team/app:1") as opened_images:
            assert list_files(opened_images) == ["one", "two"]


def test_an_invalid_bundle_is_reported(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("no PEM")
    for name in ("bundle", "missing"):
        with pytest.raises(UsageError, match="CA bundle"):
            open_images("registry.test/app", ca_bundle=tmp_path / name)


# --- registries that fail ----------------------------------------------------------------------------------------


def test_a_registry_that_is_down_is_tried_a_few_times() -> None:
    pauses: list[float] = []
    address = f"127.0.0.1:{find_free_port()}"
    with (
        pytest.raises(UnavailableError, match=f"{address} cannot be reached"),
        open_remote(f"{address}/a", pauses=pauses),
    ):
        pass
    assert len(pauses) == 3
    assert pauses == sorted(pauses)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_registry_that_stumbles_is_asked_again(status: int) -> None:
    pauses: list[float] = []

    def answer(request: Request) -> Answer:
        return Answer(status, headers={"Retry-After": "7"}) if len(server.requests) % 3 else serve_image()(request)

    with serve(answer) as server, open_remote(f"{server.address}/team/app:1", pauses=pauses) as opened_images:
        assert list_files(opened_images) == ["one", "two"]
    assert pauses == [7.0] * 8


def test_a_registry_that_keeps_failing_is_given_up() -> None:
    with (
        serve(lambda request: Answer(503)) as server,
        pytest.raises(UnavailableError, match="answered 503"),
        open_remote(f"{server.address}/team/app:1"),
    ):
        pass
    assert len(server.requests) == 4


@pytest.mark.parametrize("value", ["86400", "Fri, 31 Dec 2199 23:59:59 GMT"])
def test_a_pause_that_is_asked_for_has_a_bound(value: str) -> None:
    pauses: list[float] = []
    with (
        serve(lambda request: Answer(429, headers={"Retry-After": value})) as server,
        pytest.raises(UnavailableError, match="number of requests"),
        open_remote(f"{server.address}/a", pauses=pauses),
    ):
        pass
    assert pauses == [LONGEST_WAIT] * 3


def test_a_manifest_that_does_not_match_is_refused() -> None:
    mismatched_blobs = {**IMAGE.blobs, IMAGE.digest: IMAGE.blobs[IMAGE.digest] + b" "}
    lying = make.Image(IMAGE.digest, "", IMAGE.config, IMAGE.layers, IMAGE.diff_ids, mismatched_blobs)
    with (
        serve(serve_image(lying)) as server,
        pytest.raises(ImageError, match="does not match"),
        open_remote(f"{server.address}/team/app@{IMAGE.digest}"),
    ):
        pass

    def state_other_digest(request: Request) -> Answer:
        return Answer(200, IMAGE.blobs[IMAGE.digest], {"Docker-Content-Digest": make.compute_sha256(b"other")})

    with (
        serve(state_other_digest) as server,
        pytest.raises(ImageError, match="does not match the digest"),
        open_remote(f"{server.address}/team/app:1"),
    ):
        pass


def test_a_manifest_without_end_is_refused() -> None:
    with (
        serve(lambda request: Answer(200, b" " * (2**22 + 1))) as server,
        pytest.raises(ImageError, match="larger than"),
        open_remote(f"{server.address}/team/app:1"),
    ):
        pass


def test_a_connection_that_breaks_off_is_no_broken_image() -> None:
    image = make.make_image([{"one": b"1"}, {"two": bytes(range(256)) * 100}], compression="none")
    with (
        serve(lambda request: cut(serve_image(image)(request), request.path.endswith(image.layers[1]))) as server,
        open_remote(f"{server.address}/team/app:1") as opened_images,
        pytest.raises(UnavailableError, match="cannot be reached"),
    ):
        list_files(opened_images)


def cut(answer: Answer, is_complete: bool) -> Answer:
    answer.cut = 1000 if is_complete else 0
    return answer


def test_a_body_that_is_compressed_on_the_way_is_not_the_blob() -> None:
    def answer(request: Request) -> Answer:
        assert request.headers["Accept-Encoding"] == "identity"
        response = serve_image()(request)
        if request.path.endswith(IMAGE.layers[0]):
            return Answer(200, gzip.compress(response.body), {"Content-Encoding": "gzip"})
        return response

    with (
        serve(answer) as server,
        open_remote(f"{server.address}/team/app:1") as opened_images,
        pytest.raises(ImageError, match=IMAGE.layers[0]),
    ):
        list_files(opened_images)


def test_what_the_registry_says_of_an_error_is_passed_on() -> None:
    with (
        serve(serve_image()) as server,
        pytest.raises(NotFoundError, match="MANIFEST_UNKNOWN, not known"),
        open_remote(f"{server.address}/team/app:9"),
    ):
        pass
    with (
        serve(lambda request: as_json({"errors": [{"code": "DENIED", "message": "a\x1b[31mb"}]}, 403)) as server,
        pytest.raises(DeniedError) as error_info,
        open_remote(f"{server.address}/team/app:9"),
    ):
        pass
    assert "DENIED, a[31mb" in str(error_info.value)
