"""Which authorities targets of the type apprise trust."""

import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.event_target_systems import MESSAGE, Receiver
from tests.docker_registry import Certificates, make_certificates

from dockgate.events.model import Target, TargetType
from dockgate.events.targets.apprise import AppriseAdapter
from dockgate.shared.errors import UnavailableError


@pytest.fixture
def pem(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path / "trusted", has_key_usage=True)


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


def test_the_authorities_of_the_system_and_of_the_bundle_are_trusted(
    receiver: Receiver, pem: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_authority = make_certificates(tmp_path / "other", has_key_usage=True).authority
    folder = tmp_path / "authorities"
    folder.mkdir()
    name = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", pem.authority], capture_output=True, text=True, check=True
    ).stdout.strip()
    (folder / f"{name}.0").symlink_to(pem.authority)
    for system, ca_bundle, is_trusted in (
        ({"SSL_CERT_FILE": other_authority}, pem.authority, True),
        ({"SSL_CERT_FILE": pem.authority}, other_authority, True),
        ({"SSL_CERT_FILE": pem.authority}, None, True),
        ({"SSL_CERT_FILE": other_authority, "SSL_CERT_DIR": folder}, None, True),
        ({"SSL_CERT_FILE": other_authority, "SSL_CERT_DIR": tmp_path}, other_authority, False),
    ):
        with monkeypatch.context() as environment:
            for setting, path in system.items():
                environment.setenv(setting, os.fspath(path))
            before = len(receiver.requests)
            if is_trusted:
                send(receiver, ca_bundle)
            else:
                with pytest.raises(UnavailableError, match="certificate verify failed"):
                    send(receiver, ca_bundle)
            assert (len(receiver.requests) > before) == is_trusted, system
