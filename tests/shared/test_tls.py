"""Which authorities clients trust."""

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dockgate.shared.errors import UsageError
from dockgate.shared.tls import create_client_context


def write_authority(path: Path, name: str) -> Path:
    """Write the certificate of a new authority, without the extensions that RFC 5280 requires of one."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


def list_authorities(context: ssl.SSLContext) -> set[str]:
    certificates = map(x509.load_der_x509_certificate, context.get_ca_certs(binary_form=True))
    return {certificate.subject.rfc4514_string().removeprefix("CN=") for certificate in certificates}


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A system with one authority."""
    path = write_authority(tmp_path / "system.pem", "system")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


def test_the_authorities_of_a_bundle_are_trusted_besides_those_of_the_system(system: Path, tmp_path: Path) -> None:
    assert list_authorities(create_client_context()) == {"system"}
    bundle = write_authority(tmp_path / "bundle.pem", "private")
    assert list_authorities(create_client_context(bundle)) == {"system", "private"}
    assert create_client_context(bundle).verify_mode is ssl.CERT_REQUIRED
    assert create_client_context(bundle).check_hostname


@pytest.mark.parametrize("changed_file", ["system.pem", "bundle.pem"])
def test_clients_share_what_was_loaded_until_a_file_changes(system: Path, tmp_path: Path, changed_file: str) -> None:
    bundle = write_authority(tmp_path / "bundle.pem", "private")
    context = create_client_context(bundle)
    assert create_client_context(bundle) is context
    write_authority(tmp_path / changed_file, "new")
    os.utime(tmp_path / changed_file, (0, 0))
    assert "new" in list_authorities(create_client_context(bundle))


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_an_unusable_bundle_is_named_with_its_setting(tmp_path: Path, content: str | None) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(UsageError, match=r"bundle\.pem cannot be used"):
        create_client_context(bundle)


def test_a_bundle_that_was_unusable_is_loaded_when_it_is_repaired(system: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    with pytest.raises(UsageError):
        create_client_context(bundle)
    assert "private" in list_authorities(create_client_context(write_authority(bundle, "private")))
