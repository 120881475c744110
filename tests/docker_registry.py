"""A real registry (CNCF Distribution, the Debian package docker-registry) for tests, on a free loopback port.

    with run_registry(tmp_path / "registry") as running:
        running.push("team/app", "1", image([{"etc/os-release": b"ID=debian\\n"}]))
        ... running.address ...

With `password`, it wants Basic authentication by USER and PASSWORD; with `certificates`, it speaks TLS; with `realm`
too, it wants tokens from there instead, signed by the certificates' key (`sign_token` makes them).
"""

import base64
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.ports import find_free_port
from tests.scanner.images.make import INDEX, MANIFEST, Image

USER, PASSWORD = "user", "secret"
SERVICE, ISSUER = "registry.test", "tokens.test"
# USER and PASSWORD, by bcrypt, the only form that the registry takes.
_HTPASSWD = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"


@dataclass(frozen=True)
class Certificates:
    """An authority's certificate, and a server's certificate for 127.0.0.1 with its key; PEM files."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path, *, has_key_usage: bool = False) -> Certificates:
    """Makes an authority of its own, as plainly as people do unless it has a key usage, and a certificate of it."""
    folder.mkdir(parents=True, exist_ok=True)
    ca, ca_key, cert, key = (folder / name for name in ("ca.pem", "ca.key", "server.pem", "server.key"))
    new: list[str | Path] = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"] if has_key_usage else []
    _run([*new, "-subj", "/CN=Test authority", *usage, "-keyout", ca_key, "-out", ca])
    server: list[str | Path] = [
        "-CA",
        ca,
        "-CAkey",
        ca_key,
        "-subj",
        "/CN=server",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    _run([*new, *server, "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", cert])
    return Certificates(ca, cert, key)


@dataclass
class Running:
    """A registry that runs. `address` is "127.0.0.1:PORT", `url` with its scheme before it."""

    address: str
    url: str
    headers: dict[str, str]
    trust: ssl.SSLContext | bool = True

    def push(self, repository: str, tag: str, image: Image) -> str:
        """Puts the image or index there, blobs first; the digest of what the tag names."""
        documents = [digest for digest, data in image.blobs.items() if data[:1] == b"{" and b'"schemaVersion"' in data]
        with httpx.Client(base_url=f"{self.url}/v2/{repository}", headers=self.headers, verify=self.trust) as client:
            for digest, data in image.blobs.items():
                if digest not in documents:
                    upload = client.post("/blobs/uploads/").raise_for_status()
                    upload_url = upload.url.join(upload.headers["Location"])  # some registries answer relative ones
                    client.put(upload_url.copy_add_param("digest", digest), content=data).raise_for_status()
            for digest in sorted(documents, key=lambda digest: (b'"manifests"' in image.blobs[digest], digest)):
                self._put(client, digest, image.blobs[digest])
            self._put(client, tag, image.blobs[image.digest])
        return image.digest

    def _put(self, client: httpx.Client, name: str, data: bytes) -> None:
        kind = INDEX if b'"manifests"' in data else MANIFEST
        client.put(f"/manifests/{name}", content=data, headers={"Content-Type": kind}).raise_for_status()


@contextmanager
def run_registry(
    folder: Path, *, password: bool = False, certificates: Certificates | None = None, realm: str = ""
) -> Iterator[Running]:
    """Starts a registry that keeps its data in `folder`, and stops it."""
    folder.mkdir(parents=True, exist_ok=True)
    port = find_free_port()
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "test"},
    }
    if password:
        (folder / "htpasswd").write_text(_HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    if certificates and realm:
        bundle = str(certificates.authority)
        config["auth"] = {"token": {"realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": bundle}}
    elif certificates:
        config["http"]["tls"] = {"certificate": str(certificates.certificate), "key": str(certificates.key)}
    (folder / "config.yml").write_text(json.dumps(config))
    address, secure = f"127.0.0.1:{port}", bool(certificates and not realm)
    trust: ssl.SSLContext | bool = True
    if secure and certificates:
        trust = ssl.create_default_context(cafile=certificates.authority)
        trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
    headers = {}
    if password:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            _wait(port, process, folder / "log")
            yield Running(address, f"{'https' if secure else 'http'}://{address}", headers, trust)
        finally:
            process.terminate()
            process.wait(10)


def sign_token(certificates: Certificates, repository: str, actions: list[str], seconds: int = 60) -> str:
    """A token as the registry takes it (distribution, "Token Authentication Implementation"): a JWT signed by RS256."""
    der = ssl.PEM_cert_to_DER_cert(certificates.certificate.read_text())
    header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "sub": USER,
        "aud": SERVICE,
        "exp": now + seconds,
        "nbf": now - 5,
        "iat": now,
        "jti": str(now),
        "access": [{"type": "repository", "name": repository, "actions": actions}],
    }
    content = ".".join(_encode_base64url(json.dumps(part).encode()) for part in (header, claims))
    sign = ["openssl", "dgst", "-sha256", "-sign", str(certificates.key)]
    signature = subprocess.run(sign, input=content.encode(), capture_output=True, check=True).stdout
    return f"{content}.{_encode_base64url(signature)}"


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"docker-registry does not start: {log.read_text()}")


def _run(command: list[str | Path]) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def _encode_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
