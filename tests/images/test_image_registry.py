"""Registries: a real one for all that goes right, and a written one for all that may go wrong."""

import base64
import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.images import make
from tests.images.webserver import Answer, Request, as_json, serve
from tests.registryd import PASSWORD, SERVICE, USER, Certificates, certificates, free_port, registry, token

from dockgate.core.errors import DeniedError, ImageError, NotFoundError, UnavailableError, UsageError
from dockgate.images import Opened, open_images
from dockgate.images.auth import Authorizer
from dockgate.images.credentials import Credentials
from dockgate.images.image import read_images
from dockgate.images.reference import parse_remote
from dockgate.images.registry import RegistryOrigin
from dockgate.images.transport import LONGEST_WAIT, Transport

IMAGE = make.image([{"one": b"1"}, {"two": b"2" * 3000}])
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
LOGIN = Credentials(USER, PASSWORD)


@pytest.fixture(autouse=True)
def _no_settings_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextmanager
def opening(
    reference: str, credentials: Credentials | None = None, pauses: list[float] | None = None
) -> Iterator[Opened]:
    """As `open_images` does it, with credentials given and without pauses."""
    named = parse_remote(reference)
    transport = Transport(named.registry, None, False, (pauses if pauses is not None else []).append)
    authorizer = Authorizer(transport, named.registry, named.repository, lambda: credentials)
    origin = RegistryOrigin(named, transport, authorizer)
    try:
        digest, data = origin.root()
        yield Opened(digest, read_images(origin, digest, data, None), origin.close)
    finally:
        origin.close()


def files(opened: Opened) -> list[str]:
    return [entry.path for layer in opened.images[0].layers for entry in layer.entries()]


def stored(image: make.Image = IMAGE) -> Callable[[Request], Answer]:
    """A registry that holds the image as team/app:1, and checks nothing."""

    def answer(request: Request) -> Answer:
        kind, name = request.path.removeprefix("/v2/team/app/").split("/")
        data = image.blobs.get(image.digest if name == "1" else name)
        if data is None:
            return as_json({"errors": [{"code": f"{kind.upper()[:-1]}_UNKNOWN", "message": "not known"}]}, 404)
        return Answer(200, data)

    return answer


# --- the real registry -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("pem"))


@pytest.mark.real
def test_an_index_is_read_by_tag_and_by_digest(tmp_path: Path) -> None:
    index = make.index([IMAGE, make.image([], platform="linux/arm64/v8")], attested=True)
    with registry(tmp_path) as running:
        running.push("team/app", "1", index)
        for reference in ("team/app:1", f"team/app@{index.digest}", f"team/app:other@{index.digest}"):
            with open_images(f"{running.address}/{reference}", ["all"]) as opened:
                assert opened.digest == index.digest
                assert [image.platform for image in opened.images] == ["linux/amd64", "linux/arm64/v8"]
                assert files(opened) == ["one", "two"]


@pytest.mark.real
def test_what_a_registry_does_not_have_is_told(tmp_path: Path) -> None:
    with registry(tmp_path) as running:
        running.push("team/app", "1", IMAGE)
        for reference in ("team/app:2", "team/other:1", f"team/app@{make.sha256(b'other')}"):
            with pytest.raises(NotFoundError, match=reference) as caught:
                open_images(f"{running.address}/{reference}")
            assert caught.value.advice


@pytest.mark.real
def test_a_layer_that_a_registry_lost_or_broke_is_named(tmp_path: Path) -> None:
    with registry(tmp_path) as running:
        running.push("team/app", "1", IMAGE)
        hexes = [digest.removeprefix("sha256:") for digest in IMAGE.layers]
        lost, broken = (tmp_path / f"data/docker/registry/v2/blobs/sha256/{one[:2]}/{one}/data" for one in hexes)
        lost.unlink()
        broken.write_bytes(make.compress(make.tar({"two": b"3" * 3000})))
        with open_images(f"{running.address}/team/app:1") as opened:
            for layer in opened.images[0].layers:
                with pytest.raises(ImageError, match=layer.digest):
                    list(layer.entries())


@pytest.mark.real
def test_basic_credentials_come_from_the_users_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with registry(tmp_path / "registry", password=True) as running:
        running.push("team/app", "1", IMAGE)
        reference = f"{running.address}/team/app:1"
        with pytest.raises(DeniedError) as caught:
            open_images(reference)
        assert f"login {running.address}" in caught.value.advice
        file = tmp_path / "auth.json"
        for password, works in (("wrong", False), (PASSWORD, True)):
            auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
            file.write_text(f'{{"auths": {{"{running.address}": {{"auth": "{auth}"}}}}}}')
            monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
            if works:
                with open_images(reference) as opened:
                    assert files(opened) == ["one", "two"]
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
        return as_json({"token": token(pem, "team/app", ["pull"], -90 if len(server.requests) == 1 else 60)})

    with (
        serve(issue) as server,
        registry(tmp_path, certificates=pem, realm=f"http://{server.address}/?account=x") as run,
    ):
        run.headers["Authorization"] = "Bearer " + token(pem, "team/app", ["pull", "push"])
        run.push("team/app", "1", IMAGE)
        with opening(f"{run.address}/team/app:1", LOGIN) as opened:
            assert files(opened) == ["one", "two"]
        assert len(server.requests) == 2
        with pytest.raises(DeniedError, match="token server"), opening(f"{run.address}/team/app:1"):
            pass


@pytest.mark.real
def test_a_certificate_is_trusted_by_the_bundle_that_names_its_authority(tmp_path: Path, pem: Certificates) -> None:
    with registry(tmp_path, certificates=pem) as running:
        running.push("team/app", "1", IMAGE)
        reference = f"{running.address}/team/app:1"
        with open_images(reference, ca_bundle=pem.authority) as opened:
            assert files(opened) == ["one", "two"]
        with pytest.raises(UnavailableError, match="not trusted") as caught:
            open_images(reference)
        assert "--ca-bundle" in caught.value.advice


@pytest.mark.real
def test_a_certificate_is_trusted_by_the_environments_bundle(
    tmp_path: Path, pem: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pem.authority))
    with registry(tmp_path, certificates=pem) as running:
        running.push("team/app", "1", IMAGE)
        with open_images(f"{running.address}/team/app:1") as opened:
            assert files(opened) == ["one", "two"]


def test_a_bundle_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("no PEM")
    for name in ("bundle", "missing"):
        with pytest.raises(UsageError, match="CA bundle"):
            open_images("registry.test/app", ca_bundle=tmp_path / name)


# --- registries that fail ----------------------------------------------------------------------------------------


def test_a_registry_that_is_down_is_tried_a_few_times() -> None:
    pauses: list[float] = []
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(UnavailableError, match=f"{address} cannot be reached"), opening(f"{address}/a", pauses=pauses):
        pass
    assert len(pauses) == 3
    assert pauses == sorted(pauses)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_registry_that_stumbles_is_asked_again(status: int) -> None:
    pauses: list[float] = []

    def answer(request: Request) -> Answer:
        return Answer(status, headers={"Retry-After": "7"}) if len(server.requests) % 3 else stored()(request)

    with serve(answer) as server, opening(f"{server.address}/team/app:1", pauses=pauses) as opened:
        assert files(opened) == ["one", "two"]
    assert pauses == [7.0] * 8


def test_a_registry_that_keeps_failing_is_given_up() -> None:
    with serve(lambda request: Answer(503)) as server:
        with pytest.raises(UnavailableError, match="answers 503"), opening(f"{server.address}/team/app:1"):
            pass
    assert len(server.requests) == 4


def test_a_pause_that_is_asked_for_has_a_bound() -> None:
    pauses: list[float] = []
    for value in ("86400", "Fri, 31 Dec 2199 23:59:59 GMT"):
        with serve(lambda request, value=value: Answer(429, headers={"Retry-After": value})) as server:  # type: ignore[misc]
            with pytest.raises(UnavailableError, match="how often"), opening(f"{server.address}/a", pauses=pauses):
                pass
    assert pauses == [LONGEST_WAIT] * 6


def test_a_manifest_that_does_not_match_is_refused() -> None:
    other = {**IMAGE.blobs, IMAGE.digest: IMAGE.blobs[IMAGE.digest] + b" "}
    lying = make.Image(IMAGE.digest, "", IMAGE.config, IMAGE.layers, IMAGE.diff_ids, other)
    with serve(stored(lying)) as server:
        with pytest.raises(ImageError, match="does not match"), opening(f"{server.address}/team/app@{IMAGE.digest}"):
            pass

    def stating(request: Request) -> Answer:
        return Answer(200, IMAGE.blobs[IMAGE.digest], {"Docker-Content-Digest": make.sha256(b"other")})

    with serve(stating) as server:
        with pytest.raises(ImageError, match="does not match the digest"), opening(f"{server.address}/team/app:1"):
            pass


def test_a_manifest_without_end_is_refused() -> None:
    with serve(lambda request: Answer(200, b" " * (2**22 + 1))) as server:
        with pytest.raises(ImageError, match="larger than"), opening(f"{server.address}/team/app:1"):
            pass


def test_a_connection_that_breaks_off_is_no_broken_image() -> None:
    image = make.image([{"one": b"1"}, {"two": bytes(range(256)) * 100}], compression="none")
    with serve(lambda request: cut(stored(image)(request), request.path.endswith(image.layers[1]))) as server:
        with opening(f"{server.address}/team/app:1") as opened:
            with pytest.raises(UnavailableError, match="cannot be reached"):
                files(opened)


def cut(answer: Answer, wanted: bool) -> Answer:
    answer.cut = 1000 if wanted else 0
    return answer


def test_a_body_that_is_compressed_on_the_way_is_not_the_blob() -> None:
    def answer(request: Request) -> Answer:
        assert request.headers["Accept-Encoding"] == "identity"
        given = stored()(request)
        if request.path.endswith(IMAGE.layers[0]):
            return Answer(200, gzip.compress(given.body), {"Content-Encoding": "gzip"})
        return given

    with serve(answer) as server, opening(f"{server.address}/team/app:1") as opened:
        with pytest.raises(ImageError, match=IMAGE.layers[0]):
            files(opened)


def test_what_the_registry_says_of_an_error_is_passed_on() -> None:
    with serve(stored()) as server:
        with pytest.raises(NotFoundError, match="MANIFEST_UNKNOWN, not known"), opening(f"{server.address}/team/app:9"):
            pass
    with serve(lambda request: as_json({"errors": [{"code": "DENIED", "message": "a\x1b[31mb"}]}, 403)) as server:
        with pytest.raises(DeniedError) as caught, opening(f"{server.address}/team/app:9"):
            pass
    assert "DENIED, a[31mb" in str(caught.value)


# --- secrets -----------------------------------------------------------------------------------------------------


def challenged(answer: Callable[[Request], Answer], challenge: str, header: str) -> Callable[[Request], Answer]:
    """A registry that wants this Authorization header."""

    def checked(request: Request) -> Answer:
        if request.headers.get("Authorization") != header:
            return Answer(401, headers={"WWW-Authenticate": challenge})
        return answer(request)

    return checked


def test_a_blob_elsewhere_is_fetched_without_the_secret() -> None:
    def redirecting(request: Request) -> Answer:
        if "/blobs/" in request.path:
            return Answer(307, headers={"Location": f"http://{storage.address}{request.path}?signed=1"})
        return stored()(request)

    def store(request: Request) -> Answer:
        return stored()(Request("GET", request.path.partition("?")[0], {}))

    with serve(store) as storage, serve(challenged(redirecting, 'Basic realm="x"', BASIC)) as server:
        with opening(f"{server.address}/team/app:1", LOGIN) as opened:
            assert files(opened) == ["one", "two"]
    assert len(storage.requests) == 3
    assert [request.headers.get("Authorization") for request in storage.requests] == [None] * 3


def test_a_blob_at_another_path_of_the_registry_is_fetched_with_it() -> None:
    def redirecting(request: Request) -> Answer:
        if request.path.startswith("/v2/team/app/blobs"):
            return Answer(302, headers={"Location": request.path.replace("/v2/", "/moved/")})
        return stored()(Request("GET", request.path.replace("/moved/", "/v2/"), {}))

    with serve(challenged(redirecting, 'Basic realm="x"', BASIC)) as server:
        with opening(f"{server.address}/team/app:1", LOGIN) as opened:
            assert files(opened) == ["one", "two"]


@pytest.mark.parametrize("location", ["/v2/loop", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://[", "//:0"])
def test_redirects_that_lead_nowhere_end(location: str) -> None:
    with serve(lambda request: Answer(307, headers={"Location": location})) as server:
        with pytest.raises(UnavailableError), opening(f"{server.address}/team/app:1"):
            pass
    assert len(server.requests) <= 6


@pytest.mark.parametrize(
    "realm", ["", "/token", "ftp://tokens.test/", "http://user@127.0.0.1/", "file:///etc/passwd", "https:///x"]
)
def test_a_token_is_fetched_from_no_place_that_is_not_safe(realm: str) -> None:
    with serve(lambda request: Answer(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})) as server:
        with pytest.raises(UnavailableError, match="no safe place"), opening(f"{server.address}/a", LOGIN):
            pass
    assert len(server.requests) == 1


def test_a_registry_with_tls_may_not_ask_for_secrets_in_the_clear() -> None:
    transport = Transport("registry.test", None, False)
    authorizer = Authorizer(transport, "registry.test", "team/app", lambda: LOGIN)
    with pytest.raises(UnavailableError, match="no safe place"):
        authorizer.answer(['Bearer realm="http://127.0.0.1:9/token"'], {})
    transport.close()


def test_an_identity_token_is_traded_for_an_access_token() -> None:
    def issue(request: Request) -> Answer:
        assert parse_qs(request.body.decode()) == {
            "grant_type": ["refresh_token"],
            "client_id": ["dockgate"],
            "service": ["s"],
            "scope": ["repository:team/app:pull"],
            "refresh_token": ["identity"],
        }
        return as_json({"access_token": "access"})

    with serve(issue) as tokens:
        challenge = f'Bearer realm="http://{tokens.address}/token",service="s",scope="repository:*:push"'
        with serve(challenged(stored(), challenge, "Bearer access")) as server:
            with opening(f"{server.address}/team/app:1", Credentials("", "", "identity")) as opened:
                assert files(opened) == ["one", "two"]
    assert [request.method for request in tokens.requests] == ["POST"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\nb"}', b"{" * 5000])
def test_a_token_server_that_gives_no_token_is_told(body: bytes) -> None:
    with serve(lambda request: Answer(200, body)) as tokens:
        challenge = f'Bearer realm="http://{tokens.address}/token"'
        with serve(challenged(stored(), challenge, "Bearer access")) as server:
            with pytest.raises(UnavailableError, match="gives no token"), opening(f"{server.address}/team/app:1"):
                pass


def test_a_registry_that_is_never_content_is_not_asked_for_ever() -> None:
    with serve(lambda request: as_json({"token": f"t{len(tokens.requests)}"})) as tokens:
        challenge = f'Bearer realm="http://{tokens.address}/token"'
        with serve(challenged(stored(), challenge, "none")) as server:
            with pytest.raises(DeniedError), opening(f"{server.address}/team/app:1"):
                pass
    assert len(server.requests) == 3


# --- ways there --------------------------------------------------------------------------------------------------


def test_a_registry_elsewhere_is_not_spoken_to_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy stands for the network: it sees where a request goes, and answers for any host."""

    def proxy(request: Request) -> Answer:
        if request.method == "GET":
            return stored()(Request("GET", urlsplit(request.path).path, {}))
        return Answer(502)

    with serve(proxy) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://{server.address}")
        monkeypatch.setenv("HTTPS_PROXY", f"http://{server.address}")
        with pytest.raises(UnavailableError), opening("registry.test/team/app:1"):
            pass
    assert [request.method for request in server.requests if request.method == "GET"] == []


def test_this_machine_is_reached_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    with serve(stored()) as server, opening(f"{server.address}/team/app:1") as opened:
        assert files(opened) == ["one", "two"]


def test_proxy_settings_that_do_not_work_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://proxy.test")
    with pytest.raises(UsageError, match="proxy settings"):
        open_images("registry.test/app")
