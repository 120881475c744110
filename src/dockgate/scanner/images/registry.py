"""Read images from a registry (OCI distribution spec 1.1, "Pull"; Docker's Registry HTTP API V2)."""

import io
import json
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dockgate.scanner.images.auth import Authorizer, IssuedAuthorizer, Issuers, create_authorizer, make_denied_error
from dockgate.scanner.images.blobs import DOCUMENT_LIMIT, ImageSource, check_document
from dockgate.scanner.images.resumable_blob import ResumableBlob
from dockgate.scanner.images.time_limit import TimeLimit
from dockgate.scanner.images.transport import Transport
from dockgate.scanner.manifest import INDEXES, MANIFESTS
from dockgate.scanner.registry_reference import RegistryReference, check_digest, parse_remote
from dockgate.shared.digest import Digest, compute_digest
from dockgate.shared.errors import DockgateError, ImageError, NotFoundError, UnavailableError
from dockgate.shared.interfaces import override

if TYPE_CHECKING:
    import httpx

_ACCEPT = {"Accept": ", ".join((*MANIFESTS, *INDEXES))}


class RegistrySource(ImageSource):
    """An image in a registry (`blobs.ImageSource`). May be used from several threads."""

    def __init__(
        self, reference: RegistryReference, transport: Transport, authorizer: Authorizer | IssuedAuthorizer
    ) -> None:
        self.name = str(reference)
        self._reference = reference
        self._transport = transport
        self._authorizer = authorizer

    @override
    def read_root(self) -> tuple[str, bytes]:
        if self._reference.digest:
            return self._reference.digest, self._fetch_manifest(self._reference.digest, NotFoundError)
        data, stated_digest = self._fetch(self._reference.tag or "latest", NotFoundError)
        digest = compute_digest(data)
        is_comparable = stated_digest is not None and Digest.parse(stated_digest).algorithm == "sha256"
        if is_comparable and stated_digest != digest:
            raise ImageError(
                f"{self.name} does not match the digest {stated_digest} that its registry states: it has {digest}"
            )
        return digest, data

    @override
    def read_manifest(self, digest: str) -> bytes:
        return self._fetch_manifest(digest, ImageError)

    @override
    def open_blob(self, digest: str) -> io.RawIOBase:
        """Open a blob; a broken connection is resumed."""
        ask = partial(self._get_blob_from, digest)
        return ResumableBlob(self._transport, ask(0), ask, f"the blob {digest} of {self.name}")

    def _get_blob_from(self, digest: str, offset: int) -> "httpx.Response":
        """Request the blob from `offset` on (RFC 9110, 14.2). The status is 206, 200 (the whole blob), or 416."""
        response = self._get(f"blobs/{digest}", {"Range": f"bytes={offset}-"} if offset else {})
        if response.status_code != 200 and not (offset and response.status_code in (206, 416)):
            data = b""
            with suppress(UnavailableError), self._transport.open_body(response) as body:
                data = body.take(2**16)
            raise self._make_error(response, data, f"the blob {digest}", ImageError)
        return response

    @override
    def read_base_manifest(self, name: str | None, digest: str) -> bytes:
        """Request the manifest from this registry, once, with the credentials in use."""
        if name is None:
            raise NotFoundError("the base image has no name", "Name it in the annotation of the base image.")
        base = parse_remote(name)
        check_digest(digest)
        if base.registry != self._reference.registry:
            raise NotFoundError(f"{name} is in another registry than {self.name}", "Scan an image of that registry.")
        headers = {**_ACCEPT, **self._authorizer.make_headers_for(base.repository)}
        url = f"/v2/{base.repository}/manifests/{digest}"
        with self._transport.open_body(self._transport.get(url, headers, should_retry=False)) as body:
            data = body.take(DOCUMENT_LIMIT + 1)
        return check_document(data, digest)

    def read_referrers(self, digest: str) -> bytes | None:
        """Return the first page of the index of referrers (distribution spec 1.1, "Listing Referrers").

        None if the registry has no such API, and keeps the index under a tag.
        """
        response, data = self._get_document(f"referrers/{digest}", {"Accept": INDEXES[0]})
        status = response.status_code
        if status != 200 or "index" not in response.headers.get("Content-Type", ""):
            if status in (200, 400, 404, 405):
                return None
            raise UnavailableError(
                f"{self._reference.registry} answered {status} to a request for the referrers of {digest}", "Try again."
            )
        return data if len(data) <= DOCUMENT_LIMIT else b"{}"

    def read_manifest_by_tag(self, tag: str) -> bytes:
        """Return the manifest of another tag of the repository. Raises NotFoundError."""
        return self._fetch(tag, NotFoundError)[0]

    @override
    def close(self) -> None:
        self._transport.close()

    def _fetch_manifest(self, digest: str, missing_error: type[DockgateError]) -> bytes:
        return check_document(self._fetch(digest, missing_error)[0], digest)

    def _fetch(self, tag: str, missing_error: type[DockgateError]) -> tuple[bytes, str | None]:
        """Return a manifest by tag or digest, and the digest that the registry states, None if it states none."""
        response, data = self._get_document(f"manifests/{tag}", _ACCEPT)
        if response.status_code != 200:
            raise self._make_error(response, data, f"the manifest {tag}", missing_error)
        if len(data) > DOCUMENT_LIMIT:
            raise ImageError(f"the manifest of {self.name} is larger than {DOCUMENT_LIMIT} bytes")
        return data, response.headers.get("Docker-Content-Digest") or None

    def _get_document(self, path: str, headers: dict[str, str]) -> "tuple[httpx.Response, bytes]":
        return self._transport.fetch(partial(self._get, path, headers), DOCUMENT_LIMIT + 1)

    def _get(self, path: str, headers: dict[str, str]) -> "httpx.Response":
        """Send a request, authenticate when the registry requires it, and follow redirects."""
        url = f"/v2/{self._reference.repository}/{path}"
        for _ in range(3):
            sent_headers = self._authorizer.make_headers()
            response = self._transport.get(url, {**headers, **sent_headers})
            if response.status_code != 401:
                return self._transport.follow(response, headers, sent_headers)
            challenges = response.headers.get_list("WWW-Authenticate")
            response.close()
            if not self._authorizer.answer(challenges, sent_headers):
                break
        raise make_denied_error(self._reference.registry, f"{self.name} cannot be read with these credentials")

    def _make_error(
        self, response: "httpx.Response", data: bytes, description: str, missing_error: type[DockgateError]
    ) -> DockgateError:
        """Return the error for an unexpected response; `data` is the start of its body."""
        registry, status = self._reference.registry, response.status_code
        message = _read_error_text(data)
        if status in (401, 403):
            return make_denied_error(registry, f"{self.name} may not be read{message}")
        if status == 404 and missing_error is NotFoundError:
            return NotFoundError(
                f"there is no image {self.name}{message}",
                "Check that it was pushed, and check the names of the repository and the tag.",
            )
        if status == 404:
            return missing_error(f"{registry} lacks {description} of {self.name}{message}", "Push the image again.")
        if status == 429:
            return UnavailableError(
                f"{registry} limits the number of requests{message}", "Try again later, or log in to the registry."
            )
        return UnavailableError(
            f"{registry} answered {status} to a request for {description} of {self.name}{message}", "Try again."
        )


def open_registry_source(
    reference: RegistryReference,
    *,
    ca_bundle: Path | None = None,
    is_insecure: bool = False,
    issuers: Issuers | None = None,
    seconds: float | None = None,
) -> RegistrySource:
    """Open the image in its registry (`auth.create_authorizer`).

    `seconds`: the time limit for all requests until it is closed; after that, calls raise TooSlowError.
    """
    limit = TimeLimit(reference.registry, seconds) if seconds is not None else None
    transport = Transport(reference.registry, ca_bundle, is_insecure, limit=limit)
    return RegistrySource(reference, transport, create_authorizer(transport, reference, issuers))


def _read_error_text(data: bytes) -> str:
    """The registry's error as " (it says: CODE, message)", or no text if the body is not in the spec's form."""
    try:
        first = json.loads(data)["errors"][0]
        text = f"{first['code']}, {first.get('message', '')}".rstrip(", ")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
    return f" (it says: {''.join(character for character in text if character.isprintable())[:200]})"


def read_digest(
    reference: RegistryReference,
    *,
    ca_bundle: Path | None = None,
    issuers: Issuers | None = None,
    seconds: float | None = None,
) -> str:
    """Return the digest of the existing image that is named. Raises what `read_root` does."""
    with closing(
        open_registry_source(reference, ca_bundle=ca_bundle, issuers=issuers, seconds=seconds)
    ) as image_source:
        return image_source.read_root()[0]
