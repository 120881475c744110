"""The registry's proxy on the wire: no request reaches a manifest in another way than the one that is judged."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urljoin

import httpx
import pytest
from tests.scanner.images import make
from tests.scenarios import slow_http
from tests.scenarios.pull_site import Site, make_image, pull_site, read_refusal

from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.delivery.registry_access import PULL, PUSH, Access
from dockgate.services.registry.registry_pulls import PulledManifest, RegistryPulls
from dockgate.shared.digest import compute_digest
from dockgate.web.registry_proxy import MAX_VERDICTS, MAX_VERDICTS_EACH, RegistryNames, RegistryProxy

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pull_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.mark.parametrize(
    "path",
    [
        "/v2/gated/app/manifests/{digest}/",
        "/v2/gated/app//manifests/secret",
        "//v2/gated/app/manifests/secret",
        "/v2//gated/app/manifests/secret",
        "/v2/open/../gated/app/manifests/secret",
        "/v2/open/..%2fgated/app/manifests/secret",
        "/v2/open/%2e%2e/gated/app/manifests/secret",
        "/v2/gated%2fapp/manifests/secret",
        "/v2/gated%2Fapp/manifests/secret",
        "/v2/gated/app/./manifests/secret",
        "/v2/gated/app/manifests/./secret",
        "/v2/gated/app/manifests%2fsecret",
        "/v2/gated/app/%6danifests/secret",
        "/v2/gated/app/manifests/%73ecret",
        "/v2/gated/app/manifests/secret%00",
        "/v2/gated/app/manifests/secret%0a",
        "/v2/gated/app/manifests/secret;x",
        "/v2/gated/app/manifests/secret#x",
        "/v2/gated/app/manifests\\secret",
        "/V2/gated/app/manifests/secret",
        "/v2/Gated/App/manifests/secret",
        "/v2/gated/app/MANIFESTS/secret",
        "/v2/gated/app/manifests/{DIGEST}",
        "/v2/gated/app/manifests/md5:" + "0" * 32,
        "/v2/gated/app/manifests/tarsum.v1+sha256:" + "0" * 64,
        "/v2/gated/app/blobs/sha1:" + "0" * 40,
        "/v2/gated/app/manifests/secret?x=/v2/open/app/manifests/1",
        "/v2/gated/app/blobs/{digest}",
        "/v2/gated/app/blobs/uploads/../../manifests/secret",
        "http://{address}/v2/gated/app/manifests/secret",
        "/v2/_catalog",
        "/debug/vars",
    ],
)
def test_no_other_spelling_reaches_a_manifest(site: Site, path: str) -> None:
    image = make_image("secret")
    if image.digest not in site.server.platforms:
        site.push("gated/app", "secret", image)
    path = path.format(digest=image.digest, DIGEST=image.digest.upper(), address=site.address)
    token = site.issue_token("gated/app")["Authorization"]
    for method in ("GET", "HEAD", "get", "POST"):
        head = f"{method} {path} HTTP/1.1\r\nHost: {site.address}\r\nAuthorization: {token}\r\nConnection: close\r\n"
        answer = site.send_bytes(f"{head}Accept: {make.MANIFEST}\r\nContent-Length: 0\r\n\r\n".encode())
        assert int(answer.split(b" ")[1]) in (400, 401, 403, 404, 405), answer
        assert image.blobs[image.digest] not in answer
        assert image.digest.encode() not in answer.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding:\tchunked\r\nTransfer-Encoding: x",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length : 5",
        "Content-Length: 5\r\n Transfer-Encoding: chunked",
    ],
)
def test_no_request_hides_in_another(site: Site, headers: str) -> None:
    image = make_image("secret")
    if image.digest not in site.server.platforms:
        site.push("gated/app", "secret", image)
    token = site.issue_token("gated/app", PULL, PUSH)["Authorization"]
    common = f"Host: {site.address}\r\nAuthorization: {token}\r\n"
    smuggled_request = f"GET /v2/gated/app/manifests/secret HTTP/1.1\r\n{common}Connection: close\r\n\r\n"
    for start in ("POST /v2/gated/app/blobs/uploads/", "GET /v2/"):
        answer = site.send_bytes(f"{start} HTTP/1.1\r\n{common}{headers}\r\n\r\n0\r\n\r\n{smuggled_request}".encode())
        assert image.blobs[image.digest] not in answer
        assert image.digest.encode() not in answer


def test_headers_of_the_connection_and_of_proxies_are_dropped(site: Site) -> None:
    upload = site.ask(
        *("POST", "open/app", "blobs/uploads/", PULL, PUSH),
        headers={
            "X-Forwarded-Host": "evil.example",
            "X-Forwarded-Proto": "https",
            "Forwarded": "host=evil.example",
            "Connection": "close, Authorization",
            "X-HTTP-Method-Override": "DELETE",
            "Upgrade": "h2c",
        },
    )
    assert upload.status_code == 202
    assert upload.headers["Location"].startswith("/v2/open/app/blobs/uploads/")
    repeated_headers = [("Authorization", "Bearer x"), *site.issue_token("open/app").items()]
    assert slow_http.get(f"http://{site.address}/v2/open/app/tags/list", headers=repeated_headers).status_code == 400


def test_tokens_are_demanded_and_come_from_the_public_url(site: Site) -> None:
    for path in ("", "gated/app/manifests/1", "gated/app/tags/list", "gated/app/blobs/uploads/"):
        for method in ("GET", "POST") if path.endswith("uploads/") else ("GET",):
            answer = slow_http.request(method, f"http://{site.address}/v2/{path}")
            assert answer.status_code == 401
            assert f'realm="{site.server.url}/registry/token"' in answer.headers["WWW-Authenticate"]
    big = slow_http.post(f"http://{site.address}/v2/gated/app/blobs/uploads/", content=b"x" * (8 << 20))
    assert big.status_code == 401
    digest = site.push_approved_image("gated/app", "kept")
    assert site.ask("DELETE", "gated/app", f"manifests/{digest}", PULL, PUSH).status_code in (401, 405)
    assert site.ask("PATCH", "gated/app", f"manifests/{digest}", PULL, PUSH).status_code == 405
    assert site.pull("gated/app", digest).status_code == 200
    assert site.ask("GET", "gated/other", f"manifests/{digest}").status_code == 404


def test_uploads_in_chunks_resume_and_blobs_have_ranges(site: Site) -> None:
    data = bytes(range(256)) * 4096
    upload = site.ask("POST", "gated/app", "blobs/uploads/", PULL, PUSH)
    headers, at = site.issue_token("gated/app", PULL, PUSH), 0
    upload_url = urljoin(f"http://{site.address}", upload.headers["Location"])
    for size in (1 << 18, 1 << 19):
        chunk = data[at : at + size]
        span = {"Content-Range": f"{at}-{at + size - 1}", "Content-Type": "application/octet-stream"}
        content: Any = chunk if at == 0 else iter([chunk[:1000], chunk[1000:]])  # with a length, and without one
        response = slow_http.request("PATCH", upload_url, content=content, headers={**headers, **span})
        assert (response.status_code, response.headers["Range"]) == (202, f"0-{at + size - 1}"), response.text
        upload_url, at = urljoin(upload_url, response.headers["Location"]), at + size
    assert slow_http.get(upload_url, headers=headers).status_code == 204
    completed_upload = slow_http.put(
        httpx.URL(upload_url).copy_add_param("digest", compute_digest(data)), content=data[at:], headers=headers
    )
    assert completed_upload.status_code == 201, completed_upload.text
    path = f"blobs/{compute_digest(data)}"
    assert site.ask("GET", "gated/app", path).content == data
    assert int(site.ask("HEAD", "gated/app", path).headers["Content-Length"]) == len(data)
    part = site.ask("GET", "gated/app", path, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, data[100:200])
    mount = f"blobs/uploads/?mount={compute_digest(data)}&from=gated/app"
    assert site.ask("POST", "open/app", mount, PULL, PUSH).status_code == 401  # no right to pull there


def test_builders_may_look_whether_they_have_pushed_an_image(site: Site) -> None:
    digest = site.push("gated/app", "again", make_image("again"))
    head = site.ask("HEAD", "gated/app", "manifests/again", PULL, PUSH)
    assert (head.status_code, head.headers["Docker-Content-Digest"]) == (200, digest)
    read_refusal(site.ask("GET", "gated/app", "manifests/again", PULL, PUSH))
    forged_token = RegistryTokens(site.server.folder / "other").issue_repository_token("gated/app", "pull,push")
    url = f"http://{site.address}/v2/gated/app/manifests/again"
    assert slow_http.head(url, headers={"Authorization": f"Bearer {forged_token}"}).status_code == 401


class SlowPulls:
    """Judges one image only when it may end, all others at once."""

    def __init__(self, slow: str) -> None:
        self._slow = slow
        self.may_end = threading.Event()
        self.waiting = 0

    def is_gated(self, _: str) -> bool:
        return True

    def is_recorded(self, *_: str) -> bool:
        return True

    def find_objection(self, manifest: PulledManifest) -> None:
        if manifest.digest == self._slow:
            self.waiting += 1
            assert self.may_end.wait(60)


def test_a_caller_whose_pulls_take_long_leaves_verdicts_to_others(site: Site) -> None:
    slow = site.push("gated/slow", "1", make_image("slow"))
    site.push("gated/quick", "1", make_image("quick"))
    pulls = SlowPulls(slow)
    proxy = RegistryProxy(cast(RegistryPulls, pulls), site.tokens, RegistryNames(site.inside, "", site.address, "", ""))

    def make_headers(who: str) -> dict[str, str]:
        access = [Access("repository", name, (PULL,)) for name in ("gated/slow", "gated/quick")]
        return {"Accept": make.MANIFEST, "Authorization": f"Bearer {site.tokens.issue_token(who, access)}"}

    async def play() -> None:
        transport = httpx.ASGITransport(proxy)
        async with httpx.AsyncClient(transport=transport, base_url="http://registry", timeout=60) as client:
            path = "/v2/gated/slow/manifests/1"
            waiting = [
                asyncio.create_task(client.get(path, headers=make_headers("mallory"))) for _ in range(MAX_VERDICTS * 2)
            ]
            while pulls.waiting < MAX_VERDICTS_EACH:
                await asyncio.sleep(0.01)
            assert (await client.get("/v2/gated/quick/manifests/1", headers=make_headers("ada"))).status_code == 200
            assert pulls.waiting == MAX_VERDICTS_EACH
            pulls.may_end.set()
            assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
        await proxy({"type": "lifespan"}, make_no_headers, ignore_change)

    async def make_no_headers() -> dict[str, str]:
        return {}

    async def ignore_change(_: object) -> None:
        pass

    try:
        asyncio.run(play())
    finally:
        pulls.may_end.set()
