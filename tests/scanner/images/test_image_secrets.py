"""Where credentials go and where they do not, and the ways to a registry."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.ports import find_free_port
from tests.scanner.images.client import BASIC, LOGIN, list_files, open_remote, serve_image
from tests.scanner.images.webserver import Answer, Request, as_json, serve

from dockgate.scanner.images import open_images
from dockgate.scanner.images.auth import Authorizer
from dockgate.scanner.images.credentials import Credentials
from dockgate.scanner.images.transport import Transport
from dockgate.shared.errors import DeniedError, UnavailableError, UsageError

# --- secrets -----------------------------------------------------------------------------------------------------


def require_header(answer: Callable[[Request], Answer], challenge: str, header: str) -> Callable[[Request], Answer]:
    """A registry that wants this Authorization header."""

    def check_header(request: Request) -> Answer:
        if request.headers.get("Authorization") != header:
            return Answer(401, headers={"WWW-Authenticate": challenge})
        return answer(request)

    return check_header


def test_a_blob_elsewhere_is_fetched_without_the_secret() -> None:
    def redirect_blob(request: Request) -> Answer:
        if "/blobs/" in request.path:
            return Answer(307, headers={"Location": f"http://{storage.address}{request.path}?signed=1"})
        return serve_image()(request)

    def store(request: Request) -> Answer:
        return serve_image()(Request("GET", request.path.partition("?")[0], {}))

    with (
        serve(store) as storage,
        serve(require_header(redirect_blob, 'Basic realm="x"', BASIC)) as server,
        open_remote(f"{server.address}/team/app:1", LOGIN) as opened_images,
    ):
        assert list_files(opened_images) == ["one", "two"]
    assert len(storage.requests) == 3
    assert [request.headers.get("Authorization") for request in storage.requests] == [None] * 3


def test_a_blob_at_another_path_of_the_registry_is_fetched_with_it() -> None:
    def redirect_blob(request: Request) -> Answer:
        if request.path.startswith("/v2/team/app/blobs"):
            return Answer(302, headers={"Location": request.path.replace("/v2/", "/moved/")})
        return serve_image()(Request("GET", request.path.replace("/moved/", "/v2/"), {}))

    with (
        serve(require_header(redirect_blob, 'Basic realm="x"', BASIC)) as server,
        open_remote(f"{server.address}/team/app:1", LOGIN) as opened_images,
    ):
        assert list_files(opened_images) == ["one", "two"]


@pytest.mark.parametrize("location", ["/v2/loop", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://[", "//:0"])
def test_redirects_that_lead_nowhere_end(location: str) -> None:
    with (
        serve(lambda request: Answer(307, headers={"Location": location})) as server,
        pytest.raises(UnavailableError),
        open_remote(f"{server.address}/team/app:1"),
    ):
        pass
    assert len(server.requests) <= 6


@pytest.mark.parametrize(
    "realm", ["", "/token", "ftp://tokens.test/", "http://user@127.0.0.1/", "file:///etc/passwd", "https:///x"]
)
def test_a_token_is_fetched_from_no_address_that_is_not_safe(realm: str) -> None:
    with (
        serve(lambda request: Answer(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})) as server,
        pytest.raises(UnavailableError, match="not a safe address"),
        open_remote(f"{server.address}/a", LOGIN),
    ):
        pass
    assert len(server.requests) == 1


def test_a_registry_with_tls_may_not_ask_for_secrets_in_the_clear() -> None:
    transport = Transport("registry.test", None, False)
    authorizer = Authorizer(transport, "registry.test", "team/app", lambda: LOGIN)
    with pytest.raises(UnavailableError, match="not a safe address"):
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
        with (
            serve(require_header(serve_image(), challenge, "Bearer access")) as server,
            open_remote(f"{server.address}/team/app:1", Credentials("", "", "identity")) as opened_images,
        ):
            assert list_files(opened_images) == ["one", "two"]
    assert [request.method for request in tokens.requests] == ["POST"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\nb"}', b"{" * 5000])
def test_a_token_server_that_gives_no_token_is_reported(body: bytes) -> None:
    with serve(lambda request: Answer(200, body)) as tokens:
        challenge = f'Bearer realm="http://{tokens.address}/token"'
        with (
            serve(require_header(serve_image(), challenge, "Bearer access")) as server,
            pytest.raises(UnavailableError, match="gives no token"),
            open_remote(f"{server.address}/team/app:1"),
        ):
            pass


def test_a_registry_that_is_never_content_is_not_asked_for_ever() -> None:
    with serve(lambda request: as_json({"token": f"t{len(tokens.requests)}"})) as tokens:
        challenge = f'Bearer realm="http://{tokens.address}/token"'
        with (
            serve(require_header(serve_image(), challenge, "none")) as server,
            pytest.raises(DeniedError),
            open_remote(f"{server.address}/team/app:1"),
        ):
            pass
    assert len(server.requests) == 3


# --- ways there --------------------------------------------------------------------------------------------------


def test_a_remote_registry_is_read_over_plain_http_only_when_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy replaces the network: it sees where a request goes, and answers for any host, without TLS."""

    def answer_as_proxy(request: Request) -> Answer:
        if request.method == "CONNECT":
            return Answer(200)
        return serve_image()(Request("GET", urlsplit(request.path).path, {}))

    with serve(answer_as_proxy) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://{server.address}")
        monkeypatch.setenv("HTTPS_PROXY", f"http://{server.address}")
        with pytest.raises(UnavailableError, match="does not speak TLS") as error_info:
            open_images("registry.test/team/app:1")
        assert "--insecure" in str(error_info.value.advice)
        assert [request.method for request in server.requests] == ["CONNECT"]
        with open_images("registry.test/team/app:1", is_insecure=True) as opened_images:
            assert list_files(opened_images) == ["one", "two"]
        assert "http://registry.test/v2/team/app/manifests/1" in [request.path for request in server.requests]


def test_this_machine_is_reached_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{find_free_port()}")
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{find_free_port()}")
    with serve(serve_image()) as server, open_remote(f"{server.address}/team/app:1") as opened_images:
        assert list_files(opened_images) == ["one", "two"]


def test_proxy_settings_that_do_not_work_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://proxy.test")
    with pytest.raises(UsageError, match="proxy settings"):
        open_images("registry.test/app")
