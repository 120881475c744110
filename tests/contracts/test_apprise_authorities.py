"""Which authorities targets of the type apprise trust."""

import os
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.contracts.event_target_systems import MESSAGE, Receiver
from tests.docker_registry import Certificates, make_certificates

from dockgate.events.model import Target, TargetType
from dockgate.events.targets.apprise import AppriseAdapter
from dockgate.shared.errors import UnavailableError


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("trusted"), has_key_usage=True)


@pytest.fixture(scope="module")
def folder(pem: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the one authority that is trusted, as OpenSSL reads it."""
    folder = tmp_path_factory.mktemp("authorities")
    command = ["openssl", "x509", "-hash", "-noout", "-in", str(pem.authority)]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    (folder / f"{name}.0").symlink_to(pem.authority)
    return folder


@pytest.fixture(scope="module")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("other"), has_key_usage=True).authority


@pytest.fixture
def receiver(pem: Certificates) -> Iterator[Receiver]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem.certificate, pem.key)
    receiver = Receiver(context)
    yield receiver
    receiver.close()


def send(receiver: Receiver, ca_bundle: Path | None) -> None:
    url = f"ntfys://{receiver.url.removeprefix('https://')}/topic"
    adapter = AppriseAdapter((), is_loopback_allowed=True, ca_bundle=ca_bundle)
    adapter.send(Target("chat", TargetType.APPRISE, "…"), {"url": url}, MESSAGE)


@pytest.mark.parametrize(
    ("system", "bundle", "is_trusted"),
    [
        ({"SSL_CERT_FILE": "other"}, "trusted", True),
        ({"SSL_CERT_FILE": "trusted"}, "other", True),
        pytest.param({"SSL_CERT_FILE": "trusted"}, None, True, marks=pytest.mark.slow),
        pytest.param({"SSL_CERT_FILE": "other", "SSL_CERT_DIR": "folder"}, None, True, marks=pytest.mark.slow),
        ({"SSL_CERT_FILE": "other", "SSL_CERT_DIR": "empty"}, "other", False),
    ],
)
def test_the_authorities_of_the_system_and_of_the_bundle_are_trusted(
    receiver: Receiver,
    pem: Certificates,
    other_authority: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    system: Mapping[str, str],
    bundle: str | None,
    is_trusted: bool,
) -> None:
    paths = {"trusted": pem.authority, "other": other_authority, "folder": folder, "empty": tmp_path}
    for setting, name in system.items():
        monkeypatch.setenv(setting, os.fspath(paths[name]))
    ca_bundle = paths[bundle] if bundle else None
    if is_trusted:
        send(receiver, ca_bundle)
    else:
        with pytest.raises(UnavailableError, match="certificate verify failed"):
            send(receiver, ca_bundle)
    assert bool(receiver.requests) == is_trusted
