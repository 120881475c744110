"""A server with a real registry, whose tokens tests ask for."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
from tests.ports import find_free_port
from tests.scenarios import slow_http
from tests.scenarios.server import ServerSystem

from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.delivery.registry_access import SERVER, SERVICE, TOKEN_SECONDS, Access
from dockgate.identity.model import Role
from dockgate.server import registry_service
from dockgate.server.supervisor import ChildProcess
from dockgate.services.registry.registry_tokens import RegistryAccess

PIPELINE = """\
kind: Pipeline
name: Shop
stages:
  - name: Source
    actions:
      - {name: Source, type: source, repository: shop, output: SourceOutput}
  - name: Build
    actions:
      - {name: Build, type: build, input: SourceOutput, output: BuildOutput, image: shop/app, container: app}
"""
NOTHING = "sha256:" + "0" * 64
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class Site:
    """A server with a real registry. `people` are tokens by principal."""

    server: ServerSystem
    registry: str
    tokens: RegistryTokens
    people: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://{self.registry}/v2"

    def find_token(self, who: str, *scopes: str, service: str = SERVICE, password: str = "") -> httpx.Response:
        """What the token endpoint answers the principal; "" asks without a name."""
        secret = password or self.people.get(who, "")
        return slow_http.get(
            f"{self.server.url}/registry/token",
            params=[("service", service), *(("scope", scope) for scope in scopes)],
            auth=("anything", secret) if secret else None,
        )

    def ask(self, method: str, path: str, token: str = "", **options: Any) -> httpx.Response:
        headers = {"Accept": MANIFEST, **({"Authorization": f"Bearer {token}"} if token else {})}
        return slow_http.request(
            method, f"{self.url}/{path}", headers={**headers, **options.pop("headers", {})}, **options
        )

    @staticmethod
    def read_grants(answer: httpx.Response) -> dict[str, list[str]]:
        """By repository, what the token says."""
        assert answer.status_code == 200, answer.text
        claims = jwt.decode(answer.json()["token"], options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == answer.json()["expires_in"] == TOKEN_SECONDS
        assert all(access["type"] == "repository" for access in claims["access"])
        return {access["name"]: access["actions"] for access in claims["access"]}

    @property
    def folder(self) -> Path:
        return self.tokens.path.parent.parent

    def call_api(self, who: str, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.people[who]}"} if who else {}
        return slow_http.request(method, f"{self.server.url}/api/v1{path}", json=body, headers=headers)

    def post_as_admin(self, path: str, body: object) -> Any:
        answer = self.call_api("admin", "POST", path, body)
        assert answer.is_success, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        return self.call_api("admin", "GET", path).json()

    def find_image(self, digest: str) -> Any:
        """What the API knows of it, None while it knows nothing."""
        answer = self.call_api("admin", "GET", f"/images/{digest}")
        return answer.json() if answer.is_success else None

    def issue_own_token(self, repository: str, *actions: str) -> str:
        """The server's own token."""
        return self.tokens.issue_token(SERVER, [Access("repository", repository, actions)])

    def push(self, repository: str, tag: str, token: str, content: bytes = b"{}") -> httpx.Response:
        """Puts an image of nothing there; the answer that refused, or the last one."""
        blob = f"sha256:{hashlib.sha256(content).hexdigest()}"
        answer = self.ask("POST", f"{repository}/blobs/uploads/", token)
        if answer.status_code != 202:
            return answer
        upload_url = str(httpx.URL(self.url).join(answer.headers["location"]).copy_add_param("digest", blob))
        put = slow_http.put(upload_url, content=content, headers={"Authorization": f"Bearer {token}"})
        if put.status_code != 201:
            return put
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob, "size": len(content)},
            "layers": [],
        }
        data = json.dumps(manifest).encode()
        self.server.registry.push(repository, tag, f"sha256:{hashlib.sha256(data).hexdigest()}")  # the server's view
        return self.ask("PUT", f"{repository}/manifests/{tag}", token, content=data, headers={"Content-Type": MANIFEST})


@contextmanager
def open_site(folder: Path) -> Iterator[Site]:
    """Start the registry and the server, with a principal of each role."""
    port, children = find_free_port(), list[ChildProcess]()
    tokens, address = RegistryTokens(folder / "keys"), f"127.0.0.1:{port}"

    trusted_certificate, trusting = tokens.get_certificate(), threading.Lock()

    def trust() -> None:
        nonlocal trusted_certificate
        with trusting:
            if trusted_certificate != (current := tokens.get_certificate()):
                registry_service.trust(folder, endpoint, current)
                children[0].restart()
                trusted_certificate = current

    access = RegistryAccess(tokens, ["team/*", "shop/*"], trust)
    with ServerSystem(folder, access=access) as server:
        endpoint = registry_service.Endpoint("registry", "127.0.0.1", port, f"{server.url}/registry/token")
        events = f"{server.url}/registry/events"
        child = registry_service.make_registry(
            folder, endpoint, tokens.get_certificate(), events, server.options.secret
        )
        children.append(child)
        child.start()
        try:
            server.apply("kind: Repository\nname: shop\n")
            server.apply(PIPELINE)
            site = Site(server, address, tokens, {})
            # Before there are principals: this machine may pull, and nothing else.
            grants = site.read_grants(site.find_token("", "repository:team/app:pull,push", "repository:shop/app:pull"))
            assert grants == {"team/app": ["pull"], "shop/app": ["pull"]}
            site.people["admin"] = server.post("/principals", {"name": "admin", "roles": ["admin"]})["token"]
            for role in Role:
                if role is not Role.ADMIN:
                    site.post_as_admin("/principals", {"name": role.value, "roles": [role.value]})
                    site.people[role.value] = site.post_as_admin("/tokens", {"principal": role.value})["text"]
            narrow = {"principal": "developer", "repositories": ["team/one"]}
            site.people["narrow"] = site.post_as_admin("/tokens", narrow)["text"]
            reader = {"principal": "developer", "scopes": ["read"]}
            site.people["reader"] = site.post_as_admin("/tokens", reader)["text"]
            yield site
        finally:
            child.stop()
