"""A real server that speaks TLS by a certificate of openssl's, or stands behind a proxy that does."""

import hashlib
import json
import os
import re
import ssl
import subprocess
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.forks import run_forked
from tests.parts import wait_until
from tests.ports import find_free_port
from tests.scenarios import slow_http
from tests.scenarios.live import Clone, Live
from tests.store.factories import NOW

from dockgate.delivery.registry_access import PULL, PUSH, Access
from dockgate.identity.model import Principal, Role, Token, hash_secret, write_token
from dockgate.store import open_store

pytestmark = pytest.mark.real


@dataclass
class Secure(Live):
    """TLS, and whatever the commands need to ask over it. The registry listens for others at `public_port`."""

    public_port: int = field(default_factory=find_free_port)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        certificate, key = self.folder / "cert.pem", self.folder / "key.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
                *("-days", "1", "-subj", "/CN=gate", "-addext", "subjectAltName=IP:127.0.0.1,DNS:gate.test"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        self.certificate = certificate
        self.environment = {
            "DOCKGATE_TLS_CERT": str(certificate),
            "DOCKGATE_TLS_KEY": str(key),
            "DOCKGATE_CA_BUNDLE": str(certificate),
            "DOCKGATE_REGISTRY_LISTEN": f"127.0.0.1:{self.public_port}",
            "GIT_SSL_CAINFO": str(certificate),
        }

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def is_answering(self) -> bool:
        try:
            tls_context = ssl.create_default_context(cafile=self.certificate)
            return httpx.get(f"{self.url}/api/v1/health", verify=tls_context, timeout=5).is_success
        except httpx.HTTPError:
            return False

    def read_output(self) -> str:
        return (self.folder / "server.log").read_text()


def add_admin(live: Live) -> str:
    output = live.run_dockgate("principal", "add", "ada", "--role", "admin", "--email", "ada@example.org")
    token = output.splitlines()[-1]
    assert re.fullmatch(r"dgt_[0-9a-f]{12}_[0-9a-f]{64}", token)
    return token


def push_image(live: Live, repository: str) -> str:
    """An image of nothing, put into the registry by its API. Returns its digest."""
    base = f"http://127.0.0.1:{live.registry_port}/v2/{repository}"
    config = b"{}"
    blob = f"sha256:{hashlib.sha256(config).hexdigest()}"
    headers = live.make_registry_headers(Access("repository", repository, (PULL, PUSH)))
    where = httpx.URL(base).join(slow_http.post(f"{base}/blobs/uploads/", headers=headers).headers["location"])
    assert slow_http.put(f"{where}&digest={blob}", content=config, headers=headers).status_code == 201
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob, "size": len(config)},
        "layers": [],
    }
    put = slow_http.put(f"{base}/manifests/1", content=json.dumps(manifest), headers={"Content-Type": kind, **headers})
    assert put.status_code == 201, put.text
    return str(put.headers["docker-content-digest"])


def pull_over_tls(live: Secure, repository: str, token: str) -> str:
    """The digest of an image, asked for as clients on other machines ask for it."""
    url = f"https://127.0.0.1:{live.public_port}/v2/{repository}"
    tls_context = ssl.create_default_context(cafile=live.certificate)
    with httpx.Client(verify=tls_context, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"}) as client:
        response = client.get(f"{url}/manifests/1")
        challenge = dict(re.findall(r'(\w+)="([^"]*)"', response.headers["WWW-Authenticate"]))
        assert (response.status_code, challenge["realm"]) == (401, f"{live.url}/registry/token")
        query = {"service": challenge["service"], "scope": f"repository:{repository}:pull,push"}
        assert client.get(challenge["realm"], params=query).status_code == 401
        granted_token = client.get(challenge["realm"], params=query, auth=("ada", token)).json()["token"]
        headers = {"Authorization": f"Bearer {granted_token}"}
        assert client.post(f"{url}/blobs/uploads/", headers=headers).status_code == 401
        return str(client.get(f"{url}/manifests/1", headers=headers).headers["docker-content-digest"])


def test_over_tls_commands_git_and_the_registry_reach_the_server(tmp_path: Path) -> None:
    live = Secure(tmp_path / "server")
    try:
        live.start()
        assert "trusted" in _read_refusal(live, DOCKGATE_CA_BUNDLE="/etc/ssl/certs/ca-certificates.crt")
        token = add_admin(live)
        assert "authentication required" in _read_refusal(live)
        assert "not valid" in _read_refusal(live, DOCKGATE_TOKEN=token[:-1] + ("0" if token[-1] != "0" else "1"))
        live.environment = {
            **live.environment,
            "DOCKGATE_TOKEN": token,
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "credential.helper",
            "GIT_CONFIG_VALUE_0": '!f() { echo username=dockgate; echo "password=$DOCKGATE_TOKEN"; }; f',
        }
        (tmp_path / "web.yaml").write_text("kind: Repository\nname: web\n")
        assert f"{live.url}/git/web.git" in live.run_dockgate("apply", str(tmp_path / "web.yaml"))
        work = Clone(live, "web", tmp_path / "web")
        work.create_data()
        (tmp_path / "web" / "file").write_text("one")
        work.commit("One")
        work.push()
        assert "main" in live.run_dockgate("repository", "list")
        image = push_image(live, "web/app")
        wait_until(lambda: image[7:19] in live.run_dockgate("image", "list"), seconds=10, every=0.5)
        assert pull_over_tls(live, "web/app", token) == image
        assert "git-receive-pack" in live.run_dockgate("audit")
        live.stop()
        assert token not in live.read_output()
    finally:
        live.environment = {key: value for key, value in live.environment.items() if key != "DOCKGATE_TOKEN"}
        live.purge()


def test_only_the_trusted_proxys_headers_count(tmp_path: Path) -> None:
    live = Live(tmp_path / "server")
    live.environment = {"DOCKGATE_PUBLIC_URL": "https://gate.test", "DOCKGATE_TRUSTED_PROXIES": "127.0.0.1"}
    secret = "ab" * 32
    token = Token("0123456789ab", "ada", hash_secret(secret), NOW, "2999-01-01T00:00:00.000Z")
    try:
        live.start()
        assert not live.is_alive()
        assert "a server without principals may not listen" in (live.folder / "server.log").read_text()
        with closing(open_store(live.data)) as store:
            store.principals.add_first(Principal("ada", (Role.ADMIN,), "", NOW), token)
        live.start()

        def ask(at: str = "127.0.0.1", **headers: str) -> int:
            sent_headers = {name.replace("_", "-"): text for name, text in headers.items()}
            sent_headers["Authorization"] = f"Bearer {write_token(token.id, secret)}"
            with httpx.Client(transport=httpx.HTTPTransport(local_address=at)) as client:
                return client.get(f"{live.url}/api/v1/pipelines", headers=sent_headers).status_code

        assert ask() == 200
        assert ask(Host="gate.test", Origin="https://gate.test") == 200
        assert ask(Host="gate.test", Origin="https://evil.test") == 403
        assert ask(Host="evil.test") == 400
        forwarded_headers = {"X_Forwarded_For": "203.0.113.9", "Host": "gate.test"}
        assert ask(**forwarded_headers, X_Forwarded_Proto="https") == 200
        assert ask(**forwarded_headers, X_Forwarded_Proto="http") == 403
        assert ask(at="127.0.0.2", **forwarded_headers, X_Forwarded_Proto="http") == 200  # no proxy that we trust
    finally:
        live.environment = {}
        live.purge()


def _read_refusal(live: Live, **variables: str) -> str:
    """What a command that is refused says."""
    result = run_forked("dockgate", ("repository", "list"), {**os.environ, **live.env, **variables})
    assert result.returncode == 2, result.stdout
    return result.stderr
