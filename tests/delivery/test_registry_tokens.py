"""The key that signs the registry's tokens."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from dockgate.delivery.registries.tokens import RegistryTokens


def test_a_clock_that_was_ahead_when_the_key_was_made_does_not_matter_afterwards(tmp_path: Path) -> None:
    """The registry refuses every token of a certificate that is not valid yet."""
    tokens = RegistryTokens(tmp_path, lambda: datetime(2040, 1, 1, tzinfo=UTC))
    for _ in range(2):
        certificate = x509.load_pem_x509_certificate(tokens.get_certificate())
        assert certificate.not_valid_before_utc < datetime(2020, 1, 1, tzinfo=UTC)
        tokens.rotate()
