"""A registry with the OCI distribution API over plain HTTP on loopback, such as CNCF Distribution."""

from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from dockgate.delivery.registry_access import CATALOG, PULL, Access
from dockgate.shared.digest import digest_of
from dockgate.shared.errors import UnavailableError

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


class DistributionRegistry:
    """A `ports.Registry`. `address` is "host:port"; `issue` makes the bearer token of a call, None for no tokens.

    Every call opens its own connection, and any thread may call.
    """

    def __init__(self, address: str, issue: Callable[[Sequence[Access]], str] | None = None) -> None:
        self.address = address
        self._issue = issue

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

    def tags(self) -> Iterator[tuple[str, str]]:
        """Read CNCF Distribution's `_catalog` page by page, and each repository's "Listing Tags"."""
        for repository in self._pages("/v2/_catalog?n=1000", "repositories", CATALOG):
            for tag in self._pages(f"/v2/{quote(repository)}/tags/list?n=1000", "tags", _pull(repository)):
                yield repository, tag

    def blob(self, repository: str, digest: str, limit: int) -> bytes | None:
        """Return a blob whose content has this digest, None if there is none or it has more than `limit` bytes."""
        path, access = f"/v2/{quote(repository)}/blobs/{quote(digest)}", _pull(repository)
        head = self._ask("HEAD", path, access)
        if head is None or int(head.headers.get("Content-Length", limit + 1)) > limit:
            return None
        answer = self._ask("GET", path, access)
        return answer.content if answer is not None and digest_of(answer.content) == digest else None

    def _pages(self, path: str, key: str, access: Access) -> Iterator[str]:
        following: str | None = path
        while following:
            answer = self._ask("GET", following, access)
            if answer is None:
                return
            yield from answer.json().get(key) or ()
            following = answer.links.get("next", {}).get("url")

    def _ask(self, method: str, path: str, access: Access) -> "httpx.Response | None":
        """Send a request; None for HTTP 404. `path` may be a complete URL, such as that of a next page."""
        import httpx

        headers = {"Accept": ", ".join(_MANIFESTS)}
        if self._issue is not None:
            headers["Authorization"] = f"Bearer {self._issue([access])}"
        try:
            # The registry is ours and on loopback: a proxy of the environment has nothing to do with it.
            with httpx.Client(base_url=f"http://{self.address}", timeout=_TIMEOUT, trust_env=False) as client:
                answer = client.request(method, path, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(
                f"the registry at {self.address} does not answer: {error}",
                "See logs/registry.log in the data folder; `dockgate up` starts the registry.",
            ) from error
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if answer.status_code != HTTPStatus.OK:
            raise UnavailableError(
                f"the registry at {self.address} refuses {method} {path}: HTTP {answer.status_code}",
                "See logs/registry.log in the data folder.",
            )
        return answer


def _pull(repository: str) -> Access:
    return Access("repository", repository, (PULL,))
