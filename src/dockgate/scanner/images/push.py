"""Push blobs and manifests to a registry (OCI distribution spec 1.1, "Push")."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dockgate.scanner.images.auth import Issuers, create_authorizer, make_denied_error
from dockgate.scanner.images.time_limit import TimeLimit
from dockgate.scanner.images.transport import Transport
from dockgate.scanner.manifest import MANIFESTS
from dockgate.scanner.registry_reference import RegistryReference
from dockgate.shared.destinations import require_destination
from dockgate.shared.digest import compute_digest, from_hex, hash_file
from dockgate.shared.errors import DockgateError, UnavailableError

if TYPE_CHECKING:
    import httpx

_CHUNK = 1024 * 1024
# A registry that stores images in S3 assembles and copies a blob there before it answers.
_ASSEMBLY_SECONDS = 900.0


class Pusher:
    """A client that pushes to one repository (`auth.create_authorizer`).

    Content is addressed by digest, so each call may be repeated. Raises DeniedError, UnavailableError.
    """

    def __init__(
        self,
        reference: RegistryReference,
        *,
        ca_bundle: Path | None = None,
        is_insecure: bool = False,
        issuers: Issuers | None = None,
        seconds: float | None = None,
    ) -> None:
        """`seconds`: the time limit for all requests until it is closed; after that, calls raise TooSlowError."""
        self._reference = reference
        limit = TimeLimit(reference.registry, seconds) if seconds is not None else None
        self._transport = Transport(reference.registry, ca_bundle, is_insecure, limit=limit)
        self._authorizer = create_authorizer(self._transport, reference, issuers, "pull,push")
        self._url = f"/v2/{reference.repository}"
        self._registry_url = ""

    def __enter__(self) -> "Pusher":
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def has_blob(self, digest: str) -> bool:
        """Return whether the registry has the blob."""
        return self._request("HEAD", f"{self._url}/blobs/{digest}") == 200

    def push_blob(self, content: bytes | Path) -> tuple[str, int]:
        """Push a blob unless the registry has it. Returns its digest and size in bytes."""
        digest, size = _measure(content)
        if self.has_blob(digest):
            return digest, size
        upload_url = self._start_upload()
        separator = "&" if "?" in upload_url else "?"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._request("PUT", f"{upload_url}{separator}digest={digest}", headers, content, expected_status=201)
        return digest, size

    def push_manifest(self, data: bytes, *, has_digest_name: bool = True, kind: str = MANIFESTS[0]) -> str:
        """Push a manifest whose blobs exist, under its digest and the reference's tag. Returns its digest.

        Without `has_digest_name` it is pushed under the tag only. `kind` is its media type.
        """
        digest = compute_digest(data)
        names = (digest, self._reference.tag or digest)
        for name in dict.fromkeys(names if has_digest_name else names[1:]):
            headers = {"Content-Type": kind}
            self._request("PUT", f"{self._url}/manifests/{name}", headers, data, expected_status=201)
        return digest

    def _start_upload(self) -> str:
        """Start an upload. Returns the URL for its content."""
        response = self._send("POST", f"{self._url}/blobs/uploads/", {}, b"")
        try:
            location = response.headers.get("Location", "")
            if response.status_code != 202 or not location:
                raise self._make_error(response)
            upload = str(response.request.url.join(location))
            require_destination(self._reference.registry, upload)
            return upload
        finally:
            response.close()

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | Path = b"",
        expected_status: int = 0,
    ) -> int:
        response = self._send(method, url, headers or {}, content)
        try:
            if expected_status and response.status_code != expected_status:
                raise self._make_error(response)
            return response.status_code
        finally:
            response.close()

    def _send(self, method: str, url: str, headers: Mapping[str, str], content: bytes | Path) -> "httpx.Response":
        """Send a request, and authenticate when the registry requires it."""
        self._detect_scheme()
        for _ in range(3):
            sent_headers = self._authorizer.make_headers()
            # Only the registry itself gets the credentials.
            proof = sent_headers if url.startswith(("/", f"{self._registry_url}/")) else {}
            wait = _ASSEMBLY_SECONDS if method == "PUT" else None
            response = self._transport.send(method, url, {**headers, **proof}, _stream(content), wait)
            if response.status_code != 401:
                return response
            challenges = response.headers.get_list("WWW-Authenticate")
            response.close()
            if not self._authorizer.answer(challenges, sent_headers):
                break
        raise make_denied_error(self._reference.registry, f"{self._reference} cannot be written with these credentials")

    def _detect_scheme(self) -> None:
        """Detect once whether the registry uses TLS."""
        if not self._registry_url:
            response = self._transport.get("/v2/", {})
            self._registry_url = f"{response.request.url.scheme}://{response.request.url.netloc.decode()}"
            response.close()

    def _make_error(self, response: "httpx.Response") -> DockgateError:
        if response.status_code == 403:
            return make_denied_error(self._reference.registry, f"{self._reference} may not be written")
        return UnavailableError(
            f"{self._reference.registry} answers {response.status_code} to a push to {self._reference}",
            "Check that the registry accepts OCI artifacts, then try again.",
        )


def _measure(content: bytes | Path) -> tuple[str, int]:
    if isinstance(content, bytes):
        return compute_digest(content), len(content)
    return from_hex(hash_file(content)), content.stat().st_size


def _stream(content: bytes | Path) -> bytes | Iterator[bytes]:
    return content if isinstance(content, bytes) else _read_chunks(content)


def _read_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
