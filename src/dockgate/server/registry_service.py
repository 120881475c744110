"""The local registry: CNCF Distribution, which requires our tokens and notifies us of every push.

It listens on loopback, for the server and what it starts. Others reach it by `web.registry_proxy`.
"""

import http.client
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dockgate.delivery.registries.tokens import ISSUER
from dockgate.delivery.registry_access import SERVICE
from dockgate.server.supervisor import ChildProcess, find
from dockgate.shared.aws_locations import parse_prefix
from dockgate.shared.errors import UnavailableError, UsageError

_LEAVING_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address at which a registry listens.

    `realm` is the URL that it sends clients to for a token. `name` tells its files from another's.
    """

    name: str
    host: str
    port: int
    realm: str


@dataclass(frozen=True, slots=True)
class S3Storage:
    """Blobs in S3: what the registry's driver needs.

    These are its parameters, and the variables that it gets its credentials from.
    """

    parameters: Mapping[str, str]
    environment: Mapping[str, str]


def make_s3_storage(location: str, environment: Mapping[str, str]) -> S3Storage:
    """Return the storage at s3://BUCKET/PREFIX, in the region and with the credentials of the environment.

    Credentials are never written to a file. Raises UsageError for an invalid location, and without a region.
    """
    bucket, prefix = parse_prefix("DOCKGATE_REGISTRY_STORAGE", location)
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if not region:
        raise UsageError("DOCKGATE_REGISTRY_STORAGE is in S3, and there is no region", "Set AWS_REGION.")
    parameters = {"bucket": bucket, "region": region, "rootdirectory": f"/{prefix}"}
    if url := environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL"):
        parameters["regionendpoint"] = url
    passed_on = {
        name: value
        for name, value in environment.items()
        if name in ("HOME", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE") or name.startswith("AWS_")
    }
    # docker-registry 2.8 does not start with AWS_CA_BUNDLE.
    if bundle := passed_on.pop("AWS_CA_BUNDLE", ""):
        passed_on["SSL_CERT_FILE"] = bundle
    return S3Storage(parameters, passed_on)


def make_registry(
    data: Path,
    endpoint: Endpoint,
    certificate: bytes,
    notify: str,
    secret: str,
    storage: Path | None = None,
    s3: S3Storage | None = None,
) -> ChildProcess:
    """The registry of a data folder, not yet started.

    It keeps its blobs in S3, or in the folder `storage`, where registries of other hosts may keep theirs, too; without
    both in `data/registry`. It accepts tokens that are signed under `certificate` (PEM), and posts its
    events to the URL `notify` as `Authorization: Bearer <secret>`. UnavailableError: there is no program, or the port
    is taken.
    """
    program = find("docker-registry", "docker-registry")
    _require_free_port(endpoint)
    config, bundle = get_configuration_path(data, endpoint), data / "run" / f"{endpoint.name}.crt"
    trust(data, endpoint, certificate)
    driver: dict[str, object] = {"filesystem": {"rootdirectory": str(storage or data / "registry")}}
    if s3 is not None:
        driver = {"s3": s3.parameters, "redirect": {"disable": True}}  # clients need not reach S3
    _write(config, json.dumps(_make_configuration(driver, endpoint, bundle, notify, secret), indent=1))
    return ChildProcess(
        f"the {endpoint.name}",
        [program, "serve", str(config)],
        # Its REGISTRY_* variables would overrule the configuration.
        {"PATH": os.environ.get("PATH", os.defpath), **(s3.environment if s3 else {})},
        data / "logs" / f"{endpoint.name}.log",
        lambda: _is_answering(endpoint),
    )


def get_configuration_path(data: Path, endpoint: Endpoint) -> Path:
    """The file that a registry is configured by."""
    return data / "run" / f"{endpoint.name}.json"


def trust(data: Path, endpoint: Endpoint, certificate: bytes) -> None:
    """Write the certificate that the registry trusts from its next start on."""
    _write(data / "run" / f"{endpoint.name}.crt", certificate.decode())


def _make_configuration(
    driver: Mapping[str, object], endpoint: Endpoint, bundle: Path, notify: str, secret: str
) -> dict[str, object]:
    """YAML by the letter: JSON is some of it.

    The keys are those of Distribution's documentation, "Configuring a registry". Only the server has tokens that delete
    (`delivery.registry_access.grant`).
    """
    events = {
        "name": "dockgate",
        "url": notify,
        "headers": {"Authorization": [f"Bearer {secret}"]},
        "timeout": "5s",
        "threshold": 3,
        "backoff": "1s",
        "ignore": {"actions": ["pull"], "mediatypes": ["application/octet-stream"]},
    }
    http_settings = {
        "addr": f"{endpoint.host}:{endpoint.port}",
        "secret": secret,
        # A client goes on where it came in, be it through a proxy.
        "relativeurls": True,
    }
    return {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {**driver, "delete": {"enabled": True}},
        "http": http_settings,
        "auth": {
            "token": {
                "realm": endpoint.realm,
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(bundle),
            }
        },
        "notifications": {"endpoints": [events]},
    }


def _write(path: Path, text: str) -> None:
    """Write a file that only we can read, from the first byte on: the secret is in it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _require_free_port(endpoint: Endpoint) -> None:
    """The registry of a server that was killed may need a moment to end."""
    end = time.monotonic() + _LEAVING_SECONDS
    while (error := _find_port_error(endpoint)) is not None:
        if time.monotonic() > end:
            raise UnavailableError(
                f"the registry cannot listen on {endpoint.host}:{endpoint.port}: {error.strerror}",
                "Stop what uses the port, or take another: DOCKGATE_REGISTRY_PORT.",
            ) from error
        time.sleep(0.05)


def _find_port_error(endpoint: Endpoint) -> OSError | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((endpoint.host, endpoint.port))
        except OSError as error:
            return error
    return None


def _is_answering(endpoint: Endpoint) -> bool:
    """Return whether it requires a token: a registry without does not have our configuration."""
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=2)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == http.client.UNAUTHORIZED
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
