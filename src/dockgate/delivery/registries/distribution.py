"""A registry with the OCI distribution API over plain HTTP on loopback, such as CNCF Distribution."""

from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from dockgate.delivery.ports import RegistryContent, StoredManifest
from dockgate.delivery.registry_access import CATALOG, PULL, PUSH, Access
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import UnavailableError
from dockgate.shared.interfaces import override
from dockgate.shared.references import ImageReference, TagReference
from dockgate.shared.tls import create_plain_http_context

if TYPE_CHECKING:
    import httpx

_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
# Seconds.
_TIMEOUT = 10.0


class DistributionRegistry(RegistryContent):
    """A `ports.RegistryContent`.

    `address` is "host:port"; `issue` makes the token of a call, None for no tokens. Every call opens its own
    connection, and any thread may call.
    """

    def __init__(self, address: str, issue: Callable[[Sequence[Access]], str] | None = None) -> None:
        self.address = address
        self._issue = issue

    @override
    def resolve(self, repository: str, tag: str) -> str | None:
        """Return the digest of a tag, by a HEAD request for its manifest.

        OCI distribution specification, "Pulling manifests": registries may leave out Docker-Content-Digest; CNCF
        Distribution does not.
        """
        path = f"/v2/{quote(repository)}/manifests/{quote(tag, safe='')}"
        answer = self._ask("HEAD", path, _pull(repository))
        if answer is None:
            return None
        digest = str(answer.headers.get("Docker-Content-Digest", ""))
        if not digest:
            raise UnavailableError(
                f"the registry at {self.address} names no digest for {repository}:{tag}",
                "The registry must follow the OCI distribution specification.",
            )
        return digest

    @override
    def iterate_tags(self) -> Iterator[TagReference]:
        """Read CNCF Distribution's `_catalog` page by page, and each repository's "Listing Tags"."""
        for repository in self._read_pages("/v2/_catalog?n=1000", "repositories", CATALOG):
            for tag in self.list_tags(repository):
                yield TagReference(repository, tag)

    @override
    def list_tags(self, repository: str) -> Sequence[str]:
        return list(self._read_pages(f"/v2/{quote(repository)}/tags/list?n=1000", "tags", _pull(repository)))

    @override
    def read_manifest(self, repository: str, digest: str) -> StoredManifest | None:
        """Return the manifest of a digest. UnavailableError if the registry returns another one."""
        answer = self._ask("GET", f"/v2/{quote(repository)}/manifests/{quote(digest)}", _pull(repository))
        if answer is None:
            return None
        if compute_digest(answer.content) != digest:
            raise UnavailableError(
                f"the registry at {self.address} returns another manifest than {ImageReference(repository, digest)}",
                "Its storage is damaged: push the image again.",
            )
        return StoredManifest(digest, str(answer.headers.get("Content-Type", "")), answer.content)

    @override
    def delete_manifest(self, repository: str, digest: str) -> bool:
        """Delete a manifest. CNCF Distribution deletes its tags with it."""
        access = Access("repository", repository, (PULL, "delete"))
        path = f"/v2/{quote(repository)}/manifests/{quote(digest)}"
        return self._ask("DELETE", path, access, accepts=(HTTPStatus.ACCEPTED,)) is not None

    @override
    def put_manifest(self, repository: str, manifest: StoredManifest, tags: Sequence[str]) -> None:
        access = Access("repository", repository, (PULL, PUSH))
        for reference in (manifest.digest, *tags):
            path = f"/v2/{quote(repository)}/manifests/{quote(reference, safe='')}"
            put = self._ask("PUT", path, access, manifest, accepts=(HTTPStatus.CREATED,))
            if put is None:
                image = ImageReference(repository, manifest.digest)
                raise UnavailableError(f"the registry did not accept the manifest {image}", "Push the image again.")

    @override
    def read_blob(self, repository: str, digest: str, limit: int) -> bytes | None:
        """Return the blob of this digest, None if it is missing or larger than `limit` bytes."""
        path, access = f"/v2/{quote(repository)}/blobs/{quote(digest)}", _pull(repository)
        head = self._ask("HEAD", path, access)
        if head is None or int(head.headers.get("Content-Length", limit + 1)) > limit:
            return None
        answer = self._ask("GET", path, access)
        return answer.content if answer is not None and compute_digest(answer.content) == digest else None

    def _read_pages(self, path: str, key: str, access: Access) -> Iterator[str]:
        next_path: str | None = path
        while next_path:
            answer = self._ask("GET", next_path, access)
            if answer is None:
                return
            yield from answer.json().get(key) or ()
            next_path = answer.links.get("next", {}).get("url")

    def _ask(
        self,
        method: str,
        path: str,
        access: Access,
        content: StoredManifest | None = None,
        accepts: Sequence[int] = (HTTPStatus.OK,),
    ) -> "httpx.Response | None":
        """Send a request; None for HTTP 404. `path` may be a complete URL, such as that of a next page."""
        import httpx

        headers = {"Accept": ", ".join(_MANIFESTS)} | ({"Content-Type": content.media_type} if content else {})
        if self._issue is not None:
            headers["Authorization"] = f"Bearer {self._issue([access])}"
        try:
            # The registry is ours and on loopback: a proxy of the environment has nothing to do with it.
            with httpx.Client(
                base_url=f"http://{self.address}", timeout=_TIMEOUT, trust_env=False, verify=create_plain_http_context()
            ) as client:
                answer = client.request(method, path, headers=headers, content=content.data if content else None)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(
                f"the registry at {self.address} does not answer: {error}",
                "See logs/registry.log in the data folder; `dockgate up` starts the registry.",
            ) from error
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if answer.status_code not in accepts:
            raise UnavailableError(
                f"the registry at {self.address} refuses {method} {path}: HTTP {answer.status_code}",
                "See logs/registry.log in the data folder.",
            )
        return answer


def _pull(repository: str) -> Access:
    return Access("repository", repository, (PULL,))
