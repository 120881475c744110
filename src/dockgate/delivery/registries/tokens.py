"""Tokens for our own registry, and the key that signs them.

Source: CNCF Distribution, "Token Authentication Specification". ES256 with `x5c`: Ed25519 makes docker-registry 2.8
panic, and how `kid` is computed differs between its releases.
"""

import base64
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dockgate.delivery.registry_access import LEEWAY_SECONDS, SERVER, SERVICE, TOKEN_SECONDS, Access, Login
from dockgate.shared.errors import UnavailableError
from dockgate.shared.files import create_file, replace_file

ISSUER = "dockgate"
# How long a program's login is valid: longer than the longest push or pull.
LOGIN_SECONDS = 3600
LOGIN_USER = "dockgate-login"
# Not the registry's: a login is not a registry token, and the other way round.
_LOGIN_AUDIENCE = "dockgate-registry-login"
_FILE = "registry-tokens.pem"
# A clock that is ahead when a certificate is made must not matter afterwards.
_START_OF_TIME = datetime(2000, 1, 1, tzinfo=UTC)
# No well-defined expiration date (RFC 5280, section 4.1.2.5); the key is replaced by rotation.
_END_OF_TIME = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Key:
    private_key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        key = self.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key + self.certificate.public_bytes(serialization.Encoding.PEM)


class RegistryTokens:
    """A signer of registry tokens, with the key in `folder`.

    The key is made when it is first needed (folder 0700, file 0600). Servers that share the folder share the key: when
    one of them replaces it, all of them sign with the new one. May be used from several threads. All calls raise
    UnavailableError when the key cannot be read or written.
    """

    def __init__(self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        # The file of the key, which need not be there yet.
        self.path = folder / _FILE
        self._clock = clock
        self._lock = threading.Lock()
        self._key: _Key | None = None
        # Which file the key was read from: another server may have replaced it.
        self._read_from: tuple[int, int] | None = None

    def issue_token(self, subject: str, access: Iterable[Access]) -> str:
        """Return a token that the registry accepts for TOKEN_SECONDS."""
        key = self._get_key()
        chain = [base64.b64encode(key.certificate.public_bytes(serialization.Encoding.DER)).decode()]
        rights = [asdict(entry) for entry in access]
        return self._sign(key, subject, SERVICE, TOKEN_SECONDS, {"access": rights}, {"x5c": chain})

    def issue_repository_token(self, repository: str, actions: str) -> str:
        """Return the server's own token for one repository; `actions` are separated by commas."""
        return self.issue_token(SERVER, [Access("repository", repository, tuple(actions.split(",")))])

    def issue_login(self, login: Login, seconds: float = LOGIN_SECONDS) -> tuple[str, str]:
        """Return user name and password with which a program gets registry tokens from our token endpoint."""
        rights: dict[str, object] = {"repository": login.repository or "", "actions": list(login.actions)}
        return LOGIN_USER, self._sign(self._get_key(), login.subject, _LOGIN_AUDIENCE, seconds, rights, {})

    def read_login(self, password: str) -> Login | None:
        """The login of this password; None if it has expired or is not ours."""
        try:
            claims = jwt.decode(
                password,
                self._get_key().private_key.public_key(),
                algorithms=["ES256"],
                audience=_LOGIN_AUDIENCE,
                issuer=ISSUER,
                # Time is checked below, by our own clock.
                options={"require": ["exp", "sub"], "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
            expires, actions = int(claims["exp"]), claims["actions"]
            if expires <= self._clock().timestamp() or not isinstance(actions, list):
                return None
            return Login(str(claims["sub"]), str(claims["repository"]) or None, tuple(map(str, actions)))
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
            return None

    def read_token(self, token: str) -> tuple[Access, ...]:
        """Return what a registry token grants; nothing for one that the registry does not accept."""
        try:
            entries = self._read_claims(token)["access"]
            return tuple(Access(entry["type"], entry["name"], tuple(entry["actions"])) for entry in entries)
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
            return ()

    def read_subject(self, token: str) -> str | None:
        """Return whom a registry token was issued to; None for one that the registry does not accept."""
        try:
            return str(self._read_claims(token)["sub"])
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
            return None

    def get_certificate(self) -> bytes:
        """Return the certificate that the registry must trust, in PEM."""
        return self._get_key().certificate.public_bytes(serialization.Encoding.PEM)

    def rotate(self) -> None:
        """Replace the key. Tokens and logins of the old one end once the registry trusts the new certificate."""
        with self._lock:
            self._key = self._write(_make_key())
            self._read_from = self._identify_file()

    def _read_claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a registry token.

        Raises jwt.InvalidTokenError and others for one that is not accepted.
        """
        claims: dict[str, Any] = jwt.decode(
            token,
            self._get_key().private_key.public_key(),
            algorithms=["ES256"],
            audience=SERVICE,
            issuer=ISSUER,
            options={"require": ["exp"], "verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
        if int(claims["exp"]) + LEEWAY_SECONDS <= self._clock().timestamp():
            raise jwt.ExpiredSignatureError
        return claims

    def _sign(
        self, key: _Key, subject: str, audience: str, seconds: float, claims: dict[str, object], header: dict[str, Any]
    ) -> str:
        now = int(self._clock().timestamp())
        registered_claims = {
            "iss": ISSUER,
            "sub": subject,
            "aud": audience,
            "iat": now,
            "nbf": now,
            "exp": now + int(seconds),
            "jti": secrets.token_hex(16),
        }
        return jwt.encode({**registered_claims, **claims}, key.private_key, algorithm="ES256", headers=header)

    def _get_key(self) -> _Key:
        with self._lock:
            file = self._identify_file()
            if self._key is None or (file is not None and file != self._read_from):
                self._key = self._read() or self._create()
                self._read_from = file or self._identify_file()
            return self._key

    def _identify_file(self) -> tuple[int, int] | None:
        """Return what tells the key's file from one that replaces it; None while it cannot be seen."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _read(self) -> _Key | None:
        try:
            data = self.path.read_bytes()
            private = serialization.load_pem_private_key(data, None)
            certificate = x509.load_pem_x509_certificate(data)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self._make_unusable_error(str(error)) from error
        if not isinstance(private, ec.EllipticCurvePrivateKey) or certificate.public_key() != private.public_key():
            raise self._make_unusable_error("it does not hold an EC key and its certificate")
        return _Key(private, certificate)

    def _create(self) -> _Key:
        """A new key, or that of another process that has made one in the same moment."""
        key = _make_key()
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if create_file(self.path, key.pem, 0o600):
                return key
        except OSError as error:
            raise self._make_unusable_error(str(error)) from error
        if present_key := self._read():
            return present_key
        raise self._make_unusable_error("it was deleted")

    def _write(self, key: _Key) -> _Key:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self.path, key.pem, 0o600)
        except OSError as error:
            raise self._make_unusable_error(str(error)) from error
        return key

    def _make_unusable_error(self, reason: str) -> UnavailableError:
        return UnavailableError(
            f"the registry's signing key {self.path} cannot be used: {reason}",
            "Restore it, or delete it and start the server: it makes a new one.",
        )


def _make_key() -> _Key:
    """Return a key on P-256 (RFC 7518, section 3.4) with a certificate that it signed itself."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Dockgate registry tokens")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_START_OF_TIME)
        .not_valid_after(_END_OF_TIME)
        .sign(private, hashes.SHA256())
    )
    return _Key(private, certificate)
