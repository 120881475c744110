"""Any registry that speaks the OCI distribution API over plain HTTP on loopback, as CNCF Distribution does."""

from http import HTTPStatus
from urllib.parse import quote

from dockgate.core.errors import UnavailableError

_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_TIMEOUT = 10.0
"""seconds"""


class DistributionRegistry:
    """`address` is "host:port". Every call is a request of its own: nothing stays open, and any thread may call."""

    def __init__(self, address: str) -> None:
        self.address = address

    def resolve(self, repository: str, tag: str) -> str | None:
        """The OCI distribution specification, "Pulling manifests": HEAD answers with Docker-Content-Digest, which the
        registry may leave out by the letter, but not CNCF Distribution."""
        import httpx

        url = f"http://{self.address}/v2/{quote(repository)}/manifests/{quote(tag, safe='')}"
        try:
            # The registry is ours and on loopback: a proxy of the environment has nothing to do with it.
            with httpx.Client(timeout=_TIMEOUT, trust_env=False) as client:
                answer = client.head(url, headers={"Accept": ", ".join(_MANIFESTS)})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(
                f"the registry at {self.address} does not answer: {error}",
                "See logs/registry.log in the data folder; `dockgate up` starts the registry.",
            ) from error
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        digest = str(answer.headers.get("Docker-Content-Digest", ""))
        if answer.status_code != HTTPStatus.OK or not digest:
            raise UnavailableError(
                f"the registry at {self.address} refuses {repository}:{tag}: HTTP {answer.status_code}",
                "See logs/registry.log in the data folder.",
            )
        return digest
