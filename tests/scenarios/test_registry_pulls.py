"""The pull policy on a real registry: what other machines can pull through the proxy, and what they cannot."""

import json
import socket
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
import uvicorn
from tests.parts import free_port, until
from tests.scanner.images import make
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.planned_images import advisory, planned_inventory
from tests.scenarios.server import ServerSystem

from dockgate.delivery.registries.distribution import DistributionRegistry
from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.delivery.registry_access import PULL, PUSH, SERVER, Access
from dockgate.scanner.model import Inventory
from dockgate.server import connections, registry_service
from dockgate.services import registry_pulls
from dockgate.services.registry_pulls import RegistryPulls
from dockgate.services.registry_tokens import RegistryAccess
from dockgate.shared.digest import digest_of, hex_of
from dockgate.shared.errors import StoreError
from dockgate.vulnerabilities.model import Severity
from dockgate.web.registry_proxy import RegistryNames, RegistryProxy

pytestmark = pytest.mark.real

ASSIGNMENT = """\
kind: PolicyAssignment
name: gated
repositories: ["gated/*"]
policy: default
pull: approved
"""
BAD = PlannedFindings({"CRITICAL": 1})
JSON = "application/json"


class PullSystem(ServerSystem):
    """A server that "scans" an image to the inventories in `platforms`, by digest."""

    platforms: dict[str, list[Inventory]]

    def _read(self, repository: str, digest: str) -> Sequence[Inventory]:
        return self.platforms.get(digest) or super()._read(repository, digest)


@dataclass
class Site:
    """A server whose registry is reached at `address` through the proxy, and at `inside` without."""

    server: PullSystem
    pulls: RegistryPulls
    tokens: RegistryTokens
    address: str
    inside: str
    seconds: float = 0.0

    def token(self, repository: str, *actions: str) -> dict[str, str]:
        token = self.tokens.token("someone", [Access("repository", repository, actions or (PULL,))])
        return {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, repository: str, path: str, *actions: str, **more: Any) -> httpx.Response:
        headers = {"Accept": f"{make.MANIFEST}, {make.INDEX}", **self.token(repository, *actions)}
        url = f"http://{self.address}/v2/{repository}/{path}"
        return slow_http.request(method, url, headers={**headers, **more.pop("headers", {})}, **more)

    def pull(self, repository: str, reference: str, method: str = "GET") -> httpx.Response:
        return self.ask(method, repository, f"manifests/{reference}")

    def upload(self, repository: str, data: bytes) -> str:
        begun = self.ask("POST", repository, "blobs/uploads/", PULL, PUSH)
        assert begun.headers["Location"].startswith("/v2/"), begun.headers
        place = httpx.URL(urljoin(f"http://{self.address}", begun.headers["Location"]))
        put = slow_http.put(
            place.copy_add_param("digest", digest_of(data)), content=data, headers=self.token(repository, PULL, PUSH)
        )
        assert put.status_code == 201, put.text
        return digest_of(data)

    def put(self, repository: str, reference: str, data: bytes) -> str:
        kind = make.INDEX if b'"manifests"' in data else make.MANIFEST
        path = f"manifests/{reference or digest_of(data)}"
        put = self.ask("PUT", repository, path, PULL, PUSH, content=data, headers={"Content-Type": kind})
        assert put.status_code == 201, put.text
        return digest_of(data)

    def push(self, repository: str, tag: str, image: make.Image, plan: PlannedFindings | None = None) -> str:
        """Pushes it through the proxy. A scan will find the plan, in each image of an index."""
        documents = [digest for digest, data in image.blobs.items() if data[:1] == b"{" and b'"schemaVersion"' in data]
        children = [digest for digest in documents if digest != image.digest]
        name = f"{repository}-{tag}".replace("/", "-")
        inventories = [
            replace(planned_inventory(digest, name, plan or PlannedFindings()), platform=f"linux/{number}")
            for number, digest in enumerate(children or [image.digest])
        ]
        self.server.platforms[image.digest] = inventories
        self.server.platforms |= {entry.image: [entry] for entry in inventories}
        for digest, data in image.blobs.items():
            if digest not in documents:
                self.upload(repository, data)
        for digest in children:
            self.put(repository, "", image.blobs[digest])
        return self.put(repository, tag, image.blobs[image.digest])

    def judge(self, repository: str, digest: str) -> str:
        """The answer to a request for an approval."""
        body = {"pipeline": "shop", "stage": "gate", "execution": digest[-12:] + repository, "timeout_seconds": 600}
        image = f"{self.server.registry.address}/{repository}@{digest}"
        created = self.server.post("/approvals", {**body, "image": image})
        return str(self.server.get(f"/approvals/{created['approval']['id']}/answer?wait=20")["state"])

    def approved(self, repository: str, tag: str, image: make.Image | None = None) -> str:
        digest = self.push(repository, tag, image or new_image(f"{repository}:{tag}"))
        assert self.judge(repository, digest) == "Approved"
        return digest

    def raw(self, request: bytes) -> bytes:
        """What comes back for these bytes."""
        host, _, port = self.address.rpartition(":")
        with closing(socket.create_connection((host, int(port)), timeout=10)) as connection:
            connection.sendall(request)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
            return received


def new_image(text: str, **more: Any) -> make.Image:
    return make.image([{"etc/os-release": b"ID=debian\n", "text": text.encode()}], **more)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, inside_port, port = tmp_path_factory.mktemp("site"), free_port(), free_port()
    tokens, inside, address = RegistryTokens(folder / "keys"), f"127.0.0.1:{inside_port}", f"127.0.0.1:{port}"
    PullSystem.platforms = {}
    with PullSystem(folder, access=RegistryAccess(tokens, ["gated/*", "open/*"])) as server:
        realm = "http://127.0.0.1:9/registry/token"
        endpoint = registry_service.Endpoint("registry", "127.0.0.1", inside_port, realm)
        events = f"{server.url}/registry/events"
        child = registry_service.registry(folder, endpoint, tokens.certificate(), events, server.options.secret)
        registry = DistributionRegistry(inside, lambda access: tokens.token(SERVER, access))
        verdicts = server.use_cases.verdicts
        site = Site(server, None, tokens, address, inside)  # type: ignore[arg-type]
        site.pulls = RegistryPulls(
            server.store.verdicts.approved_indexes_with, verdicts.selection, verdicts, registry, lambda: site.seconds
        )
        names = RegistryNames(inside, realm, address, f"{server.url}/registry/token", server.url)
        config = uvicorn.Config(RegistryProxy(site.pulls, tokens, names), port=port, **connections.settings())
        web = uvicorn.Server(config)
        thread = threading.Thread(target=web.run)
        child.start()
        thread.start()
        try:
            until(lambda: web.started)
            server.apply(ASSIGNMENT)
            yield site
        finally:
            web.should_exit = True
            thread.join()
            child.stop()


@pytest.fixture(autouse=True)
def fresh(site: Site) -> None:
    """No answer of an earlier test is remembered."""
    site.seconds += registry_pulls.CACHE_SECONDS + 1


def refused(answer: httpx.Response) -> str:
    assert answer.status_code == 403, (answer.status_code, answer.text)
    (error,) = answer.json()["errors"]
    assert error["code"] == "DENIED"
    return str(error["message"])


def test_a_gated_repository_gives_out_approved_images_only(site: Site) -> None:
    good, bad = new_image("good"), new_image("bad")
    digest = site.push("gated/app", "good", good)
    message = refused(site.pull("gated/app", "good"))
    assert f"no verdict on {digest}" in message
    assert f"dockgate gate --server {site.server.url} --wait {site.address}/gated/app@{digest}" in message
    assert "dockgate approval list" in message
    assert site.pull("gated/app", digest, "HEAD").status_code == 403
    assert site.judge("gated/app", digest) == "Approved"
    site.seconds += 60
    for reference in ("good", digest, digest.replace(":", "%3A"), digest.replace(":", "%3a")):
        for method in ("GET", "HEAD"):
            answer = site.pull("gated/app", reference, method)
            assert answer.status_code == 200, answer.text
            assert answer.headers["Docker-Content-Digest"] == digest
            assert int(answer.headers["Content-Length"]) == len(good.blobs[digest])
            assert answer.content == (good.blobs[digest] if method == "GET" else b"")
    rejected = site.push("gated/app", "bad", bad, BAD)
    assert site.judge("gated/app", rejected) == "Rejected"
    assert "not approved by the policy 'default' as of now" in refused(site.pull("gated/app", "bad"))
    site.put("gated/app", "good", bad.blobs[bad.digest])  # the tag moves
    refused(site.pull("gated/app", "good"))
    assert site.pull("gated/app", digest).status_code == 200


def test_other_repositories_give_out_everything(site: Site) -> None:
    digest = site.push("open/app", "1", new_image("open"), BAD)
    assert site.pull("open/app", "1").headers["Docker-Content-Digest"] == digest
    assert site.ask("GET", "open/app", "tags/list").json() == {"name": "open/app", "tags": ["1"]}


def test_an_advisory_that_came_since_the_approval_counts(site: Site) -> None:
    digest = site.push("gated/app", "later", new_image("later"), PlannedFindings())
    assert site.judge("gated/app", digest) == "Approved"
    assert site.pull("gated/app", digest).status_code == 200
    advisories = site.server.advisories.advisories
    name = site.server.platforms[digest][0].packages[0].name
    try:
        site.server.advisories.advisories = [*advisories, advisory(name, Severity.CRITICAL, "2")]
        assert site.pull("gated/app", digest).status_code == 200  # for a few seconds
        site.seconds += registry_pulls.CACHE_SECONDS
        refused(site.pull("gated/app", digest))
    finally:
        site.server.advisories.advisories = advisories


def test_images_of_an_approved_index_can_be_pulled(site: Site) -> None:
    children = [new_image("amd64"), new_image("arm64")]
    index = make.index(children, attested=True)
    digest = site.push("gated/index", "1", index)
    for child in children:
        refused(site.pull("gated/index", child.digest))
    assert site.judge("gated/index", digest) == "Approved"
    site.seconds += 60
    assert site.pull("gated/index", "1").status_code == 200
    for listed in json.loads(index.blobs[digest])["manifests"]:
        assert site.pull("gated/index", listed["digest"]).status_code == 200, listed


def documents(site: Site, repository: str, *layers: bytes, config: bytes = b"{}", **more: Any) -> bytes:
    """The manifest of an artifact, whose blobs are pushed."""
    for blob in (config, *layers):
        site.upload(repository, blob)
    manifest = {
        "schemaVersion": 2,
        "mediaType": make.MANIFEST,
        "config": make.descriptor(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [make.descriptor(layer, "application/vnd.dev.cosign.simplesigning.v1+json") for layer in layers],
    }
    return json.dumps(manifest | more).encode()


def test_documents_attached_to_an_approved_image_can_be_pulled(site: Site) -> None:
    approved = site.approved("gated/app", "attached")
    unapproved = site.push("gated/app", "unapproved", new_image("unapproved"))
    for subject, status in ((approved, 200), (unapproved, 403)):
        hexadecimal = hex_of(subject)
        signature = json.dumps({"critical": {"image": {"docker-manifest-digest": subject}}}).encode()
        statement = {"_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": hexadecimal}}]}
        envelope = {"payload": b64encode(json.dumps(statement).encode()).decode(), "signatures": []}
        signed = documents(site, "gated/app", signature)
        attested = documents(site, "gated/app", json.dumps(envelope).encode())
        plain = documents(site, "gated/app", b'{"of": "no form"}')
        referrer = documents(site, "gated/app", b'{"bomFormat": "CycloneDX"}', subject={"digest": subject})
        tag = f"sha256-{hexadecimal}"
        for suffix, data in ((".sig", signed), (".att", attested), (".sbom", plain)):
            site.put("gated/app", tag + suffix, data)
            assert site.pull("gated/app", tag + suffix).status_code == status
        listing = {"schemaVersion": 2, "mediaType": make.INDEX, "manifests": []}
        site.put("gated/app", "", referrer)
        listing["manifests"] = [make.descriptor(referrer, make.MANIFEST)]
        site.put("gated/app", tag, json.dumps(listing).encode())
        for reference in (digest_of(signed), digest_of(attested), digest_of(referrer), tag):
            assert site.pull("gated/app", reference).status_code == status, reference
        refused(site.pull("gated/app", digest_of(plain)))  # nothing says what it is attached to


def test_an_image_disguised_as_a_document_is_refused(site: Site) -> None:
    approved = site.approved("gated/app", "bait")
    tag, subject = f"sha256-{hex_of(approved)}", {"subject": {"digest": approved}}
    evil = new_image("evil")
    content = json.loads(evil.blobs[evil.digest])
    for digest, data in evil.blobs.items():
        if digest != evil.digest:
            site.upload("gated/app", data)
    program = make.tar({"bin/sh": b"\x7fELF\x02\x01\x01\x00"})
    attacks = {
        "an image under cosign's tag": content,
        "an image with a subject": content | subject,
        "a program as a signature": json.loads(documents(site, "gated/app", program, **subject)),
        "an image and an index at once": content | subject | {"manifests": []},
        "two lists of layers": {
            **json.loads(documents(site, "gated/app", b"{}", **subject)),
            "Layers": content["layers"],
        },
    }
    for name, document in attacks.items():
        data = json.dumps(document).encode()
        answer = site.ask(
            "PUT",
            "gated/app",
            f"manifests/{tag}.sig",
            PULL,
            PUSH,
            content=data,
            headers={"Content-Type": make.MANIFEST},
        )
        if answer.status_code == 201:
            refused(site.pull("gated/app", f"{tag}.sig"))
            refused(site.pull("gated/app", digest_of(data)))
        else:
            assert answer.status_code == 400, name
    site.put("gated/app", "", evil.blobs[evil.digest])
    listed = make.descriptor(evil.blobs[evil.digest], make.MANIFEST)
    site.put(
        "gated/app", tag, json.dumps({"schemaVersion": 2, "mediaType": make.INDEX, "manifests": [listed]}).encode()
    )
    assert site.pull("gated/app", tag).status_code == 200  # a list of referrers
    refused(site.pull("gated/app", evil.digest))
    embedded = {**listed, "data": b64encode(evil.blobs[evil.digest]).decode()}
    site.put(
        "gated/app", tag, json.dumps({"schemaVersion": 2, "mediaType": make.INDEX, "manifests": [embedded]}).encode()
    )
    refused(site.pull("gated/app", tag))


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
        "/v2/gated/app/manifests/secret?x=/v2/open/app/manifests/1",
        "/v2/gated/app/blobs/{digest}",
        "/v2/gated/app/blobs/uploads/../../manifests/secret",
        "http://{address}/v2/gated/app/manifests/secret",
        "/v2/_catalog",
        "/debug/vars",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "get", "POST"])
def test_no_other_spelling_reaches_a_manifest(site: Site, method: str, path: str) -> None:
    image = new_image("secret")
    if image.digest not in site.server.platforms:
        site.push("gated/app", "secret", image)
    path = path.format(digest=image.digest, DIGEST=image.digest.upper(), address=site.address)
    token = site.token("gated/app")["Authorization"]
    head = f"{method} {path} HTTP/1.1\r\nHost: {site.address}\r\nAuthorization: {token}\r\nConnection: close\r\n"
    answer = site.raw(f"{head}Accept: {make.MANIFEST}\r\nContent-Length: 0\r\n\r\n".encode())
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
    image = new_image("secret")
    if image.digest not in site.server.platforms:
        site.push("gated/app", "secret", image)
    token = site.token("gated/app", PULL, PUSH)["Authorization"]
    common = f"Host: {site.address}\r\nAuthorization: {token}\r\n"
    hidden = f"GET /v2/gated/app/manifests/secret HTTP/1.1\r\n{common}Connection: close\r\n\r\n"
    for start in ("POST /v2/gated/app/blobs/uploads/", "GET /v2/"):
        answer = site.raw(f"{start} HTTP/1.1\r\n{common}{headers}\r\n\r\n0\r\n\r\n{hidden}".encode())
        assert image.blobs[image.digest] not in answer
        assert image.digest.encode() not in answer


def test_headers_of_the_connection_and_of_proxies_are_dropped(site: Site) -> None:
    begun = site.ask(
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
    assert begun.status_code == 202
    assert begun.headers["Location"].startswith("/v2/open/app/blobs/uploads/")
    doubled = [("Authorization", "Bearer x"), *site.token("open/app").items()]
    assert slow_http.get(f"http://{site.address}/v2/open/app/tags/list", headers=doubled).status_code == 400


def test_tokens_are_demanded_and_come_from_the_public_url(site: Site) -> None:
    for path in ("", "gated/app/manifests/1", "gated/app/tags/list", "gated/app/blobs/uploads/"):
        for method in ("GET", "POST") if path.endswith("uploads/") else ("GET",):
            answer = slow_http.request(method, f"http://{site.address}/v2/{path}")
            assert answer.status_code == 401
            assert f'realm="{site.server.url}/registry/token"' in answer.headers["WWW-Authenticate"]
    big = slow_http.post(f"http://{site.address}/v2/gated/app/blobs/uploads/", content=b"x" * (8 << 20))
    assert big.status_code == 401
    digest = site.approved("gated/app", "kept")
    assert site.ask("DELETE", "gated/app", f"manifests/{digest}", PULL, PUSH).status_code in (401, 405)
    assert site.ask("PATCH", "gated/app", f"manifests/{digest}", PULL, PUSH).status_code == 405
    assert site.pull("gated/app", digest).status_code == 200
    assert site.ask("GET", "gated/other", f"manifests/{digest}").status_code == 404


def test_uploads_in_chunks_resume_and_blobs_have_ranges(site: Site) -> None:
    data = bytes(range(256)) * 4096
    begun = site.ask("POST", "gated/app", "blobs/uploads/", PULL, PUSH)
    headers, at = site.token("gated/app", PULL, PUSH), 0
    place = urljoin(f"http://{site.address}", begun.headers["Location"])
    for size in (1 << 18, 1 << 19):
        chunk = data[at : at + size]
        span = {"Content-Range": f"{at}-{at + size - 1}", "Content-Type": "application/octet-stream"}
        content: Any = chunk if at == 0 else iter([chunk[:1000], chunk[1000:]])  # with a length, and without one
        patched = slow_http.request("PATCH", place, content=content, headers={**headers, **span})
        assert (patched.status_code, patched.headers["Range"]) == (202, f"0-{at + size - 1}"), patched.text
        place, at = urljoin(place, patched.headers["Location"]), at + size
    assert slow_http.get(place, headers=headers).status_code == 204
    done = slow_http.put(httpx.URL(place).copy_add_param("digest", digest_of(data)), content=data[at:], headers=headers)
    assert done.status_code == 201, done.text
    path = f"blobs/{digest_of(data)}"
    assert site.ask("GET", "gated/app", path).content == data
    assert int(site.ask("HEAD", "gated/app", path).headers["Content-Length"]) == len(data)
    part = site.ask("GET", "gated/app", path, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, data[100:200])
    mount = f"blobs/uploads/?mount={digest_of(data)}&from=gated/app"
    assert site.ask("POST", "open/app", mount, PULL, PUSH).status_code == 401  # no right to pull there


def test_builders_may_look_whether_they_have_pushed_an_image(site: Site) -> None:
    digest = site.push("gated/app", "again", new_image("again"))
    head = site.ask("HEAD", "gated/app", "manifests/again", PULL, PUSH)
    assert (head.status_code, head.headers["Docker-Content-Digest"]) == (200, digest)
    refused(site.ask("GET", "gated/app", "manifests/again", PULL, PUSH))
    forged = RegistryTokens(site.server.folder / "other").repository_token("gated/app", "pull,push")
    url = f"http://{site.address}/v2/gated/app/manifests/again"
    assert slow_http.head(url, headers={"Authorization": f"Bearer {forged}"}).status_code == 401


def test_what_cannot_be_judged_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = site.approved("gated/app", "unsure")

    def fails(*_: object) -> bool:
        raise StoreError("The database does not answer.")

    for method in ("is_gated", "find_objection"):
        with monkeypatch.context() as patched:
            patched.setattr(site.pulls, method, fails)
            for repository in ("gated/app", "open/app") if method == "is_gated" else ("gated/app",):
                answer = site.pull(repository, digest)
                assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
                assert answer.json()["errors"][0]["code"] == "UNAVAILABLE"


def test_skopeo_and_podman_pull_what_is_approved(site: Site, tmp_path: Path) -> None:
    approved = site.approved("gated/tools", "good", make.image([{"etc/os-release": b"ID=debian\n"}]))
    site.push("gated/tools", "bad", new_image("tools bad"), BAD)
    people = site.server.post("/principals", {"name": "ada", "roles": ["admin"]})
    source = ["--src-tls-verify=false", f"--src-creds=ada:{people['token']}"]

    def run(*command: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)

    for tag, works in (("good", True), (f"good@{approved}", True), ("bad", False)):
        reference = f"docker://{site.address}/gated/tools{'@' + approved if '@' in tag else ':' + tag}"
        copied = run("skopeo", "copy", *source, reference, f"dir:{tmp_path / tag.partition('@')[0]}")
        assert (copied.returncode == 0) == works, copied.stderr
        assert works or "gives out approved images only" in copied.stderr
    storage = [f"--root={tmp_path / 'root'}", f"--runroot={tmp_path / 'run'}", "--storage-driver=vfs"]
    for tag, works in (("good", True), ("bad", False)):
        pulled = run(
            *("podman", *storage, "pull", "-q", "--tls-verify=false", f"--creds=ada:{people['token']}"),
            f"{site.address}/gated/tools:{tag}",
        )
        assert (pulled.returncode == 0) == works, pulled.stderr
