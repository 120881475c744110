"""A server with a real registry behind the proxy, and what clients on other machines do with it."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import uvicorn
from tests.parts import wait_until
from tests.ports import find_free_port
from tests.scanner.images import make
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.planned_images import make_planned_inventory
from tests.scenarios.server import ServerSystem

from dockgate.delivery.registries.distribution import DistributionRegistry
from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.delivery.registry_access import PULL, PUSH, SERVER, Access
from dockgate.scanner.model import Inventory
from dockgate.server import connections, registry_service
from dockgate.services.registry.refused_pulls import RefusedPulls
from dockgate.services.registry.registry_pulls import RegistryPulls
from dockgate.services.registry.registry_tokens import RegistryAccess
from dockgate.shared.digest import compute_digest
from dockgate.web.registry_proxy import RegistryNames, RegistryProxy

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

    def issue_token(self, repository: str, *actions: str) -> dict[str, str]:
        token = self.tokens.issue_token("someone", [Access("repository", repository, actions or (PULL,))])
        return {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, repository: str, path: str, *actions: str, **options: Any) -> httpx.Response:
        headers = {"Accept": f"{make.MANIFEST}, {make.INDEX}", **self.issue_token(repository, *actions)}
        url = f"http://{self.address}/v2/{repository}/{path}"
        return slow_http.request(method, url, headers={**headers, **options.pop("headers", {})}, **options)

    def pull(self, repository: str, reference: str, method: str = "GET") -> httpx.Response:
        return self.ask(method, repository, f"manifests/{reference}")

    def upload(self, repository: str, data: bytes) -> str:
        answer = self.ask("POST", repository, "blobs/uploads/", PULL, PUSH)
        assert answer.headers["Location"].startswith("/v2/"), answer.headers
        upload_url = httpx.URL(urljoin(f"http://{self.address}", answer.headers["Location"]))
        put = slow_http.put(
            upload_url.copy_add_param("digest", compute_digest(data)),
            content=data,
            headers=self.issue_token(repository, PULL, PUSH),
        )
        assert put.status_code == 201, put.text
        return compute_digest(data)

    def put(self, repository: str, reference: str, data: bytes) -> str:
        kind = make.INDEX if b'"manifests"' in data else make.MANIFEST
        path = f"manifests/{reference or compute_digest(data)}"
        put = self.ask("PUT", repository, path, PULL, PUSH, content=data, headers={"Content-Type": kind})
        assert put.status_code == 201, put.text
        return compute_digest(data)

    def push(self, repository: str, tag: str, image: make.Image, plan: PlannedFindings | None = None) -> str:
        """Pushes it through the proxy. A scan will find the plan, in each image of an index."""
        documents = [digest for digest, data in image.blobs.items() if data[:1] == b"{" and b'"schemaVersion"' in data]
        children = [digest for digest in documents if digest != image.digest]
        name = f"{repository}-{tag}".replace("/", "-")
        inventories = [
            replace(make_planned_inventory(digest, name, plan or PlannedFindings()), platform=f"linux/{number}")
            for number, digest in enumerate(children or [image.digest])
        ]
        self.server.platforms[image.digest] = inventories
        self.server.platforms |= {entry.image_digest: [entry] for entry in inventories}
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
        approval = self.server.post("/approvals", {**body, "image": image})
        return str(self.server.get(f"/approvals/{approval['approval']['id']}/answer?wait=20")["state"])

    def push_approved_image(self, repository: str, tag: str, image: make.Image | None = None) -> str:
        digest = self.push(repository, tag, image or make_image(f"{repository}:{tag}"))
        assert self.judge(repository, digest) == "Approved"
        return digest

    def send_bytes(self, request: bytes) -> bytes:
        """What comes back for these bytes."""
        host, _, port = self.address.rpartition(":")
        with closing(socket.create_connection((host, int(port)), timeout=10)) as connection:
            connection.sendall(request)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
            return answer


def make_image(text: str, **options: Any) -> make.Image:
    return make.make_image([{"etc/os-release": b"ID=debian\n", "text": text.encode()}], **options)


def read_refusal(answer: httpx.Response) -> str:
    assert answer.status_code == 403, (answer.status_code, answer.text)
    (error,) = answer.json()["errors"]
    assert error["code"] == "DENIED"
    return str(error["message"])


@contextmanager
def pull_site(folder: Path) -> Iterator[Site]:
    """A site whose repositories gated/* give out approved images only."""
    inside_port, port = find_free_port(), find_free_port()
    tokens, inside, address = RegistryTokens(folder / "keys"), f"127.0.0.1:{inside_port}", f"127.0.0.1:{port}"
    PullSystem.platforms = {}
    with PullSystem(folder, access=RegistryAccess(tokens, ["gated/*", "open/*"])) as server:
        realm = "http://127.0.0.1:9/registry/token"
        endpoint = registry_service.Endpoint("registry", "127.0.0.1", inside_port, realm)
        events = f"{server.url}/registry/events"
        child = registry_service.make_registry(
            folder, endpoint, tokens.get_certificate(), events, server.options.secret
        )
        registry = DistributionRegistry(inside, lambda access: tokens.issue_token(SERVER, access))
        verdicts = server.use_cases.verdicts
        site = Site(server, None, tokens, address, inside)  # type: ignore[arg-type]
        site.pulls = RegistryPulls(
            server.store.verdicts.list_approved_indexes_with,
            verdicts.selection,
            verdicts,
            server.use_cases.watched_images,
            RefusedPulls(server.store.event_log.record, server.use_cases.watched_images.clock),
            registry,
            lambda: site.seconds,
        )
        names = RegistryNames(inside, realm, address, f"{server.url}/registry/token", server.url)
        config = uvicorn.Config(RegistryProxy(site.pulls, tokens, names), port=port, **connections.make_settings())
        web = uvicorn.Server(config)
        thread = threading.Thread(target=web.run)
        child.start()
        thread.start()
        try:
            wait_until(lambda: web.started)
            server.apply(ASSIGNMENT)
            yield site
        finally:
            web.should_exit = True
            thread.join()
            child.stop()
