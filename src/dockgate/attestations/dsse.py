"""DSSE envelopes: signed bytes with a type.

Source: secure-systems-lab/dsse, protocol.md and envelope.md, version 1.0. A key is known by the digest of its public
half: "sha256:…" of the DER SubjectPublicKeyInfo (RFC 5280, 4.1.2.7).
"""

import base64
import binascii
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dockgate.attestations.model import Envelope, SignedStatement
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import DeniedError, UnreadableError, UsageError
from dockgate.shared.strict_json import parse_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

# The payload's type for in-toto statements.
IN_TOTO = "application/vnd.in-toto+json"
# Bytes of an envelope.
SIZE_LIMIT = 16 * 1024 * 1024
# Signatures of one envelope that are looked at.
SIGNATURE_LIMIT = 32
_WEAKEST_RSA = 2048


class PublicKey:
    """A public key: ECDSA on P-256, Ed25519, or RSA (PKCS #1 v1.5), which cosign signs with.

    ECDSA and RSA are with SHA-256.
    """

    def __init__(self, pem: bytes) -> None:
        """`pem` is a SubjectPublicKeyInfo. Raises UsageError if it is not a public key of these kinds."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

        try:
            self._key: PublicKeyTypes = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm):
            raise UsageError(
                "that is not a public key in PEM", "It must begin with -----BEGIN PUBLIC KEY-----."
            ) from None
        _check_kind(self._key)
        self.pem = self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        self.id = compute_digest(self._key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def has_signed(self, signature: bytes, data: bytes) -> bool:
        """Return whether the signature of `data` was made with the private half of this key."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
        from cryptography.hazmat.primitives.hashes import SHA256

        key = self._key
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, data, ec.ECDSA(SHA256()))
            elif isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, data)
            elif isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, data, padding.PKCS1v15(), SHA256())
            else:
                return False
        except InvalidSignature:
            return False
        return True


class Signer:
    """A private key: ECDSA on P-256."""

    def __init__(self, pem: bytes) -> None:
        """`pem` is a PKCS #8 private key without a password. Raises UsageError."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

        try:
            key = load_pem_private_key(pem, None)
        except (TypeError, ValueError, UnsupportedAlgorithm):
            raise UsageError("the signing key cannot be read", "Use a PEM file without a password.") from None
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise UsageError("the signing key has an unsupported type", "Use an ECDSA key on the curve P-256.")
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def sign(self, data: bytes) -> bytes:
        """Return the signature in ASN.1 DER, as cosign and DSSE's own libraries have it."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._key.sign(data, ECDSA(SHA256()))


def create_key() -> bytes:
    """Return a fresh private key in PEM."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def encode_pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_payload(payload: bytes, signer: Signer, payload_type: str = IN_TOTO) -> bytes:
    """Return an envelope, as JSON, with one signature."""
    signature = signer.sign(encode_pae(payload_type, payload))
    return json.dumps(
        {
            "payloadType": payload_type,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"keyid": signer.public.id, "sig": base64.b64encode(signature).decode()}],
        },
        separators=(",", ":"),
    ).encode()


def read_envelope(data: bytes) -> Envelope:
    """Parse an envelope without verifying it. Raises UnreadableError if it is not one."""
    if len(data) > SIZE_LIMIT:
        raise UnreadableError(f"the envelope has more than {SIZE_LIMIT} bytes")
    try:
        document = parse_json(data)
        kind = document["payloadType"]
        signatures = document["signatures"]
        if not isinstance(kind, str) or not isinstance(signatures, list) or len(signatures) > SIGNATURE_LIMIT:
            raise ValueError("its fields are of the wrong types, or too many")
        kind.encode()  # half of a character cannot be part of what is signed
        return Envelope(
            kind,
            _decode_base64(document["payload"]),
            tuple(_decode_base64(signature["sig"]) for signature in signatures),
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UnreadableError(f"that is not a DSSE envelope: {type(error).__name__}: {error}") from None


def verify_envelope(data: bytes, keys: Iterable[PublicKey]) -> SignedStatement:
    """Return what an envelope states, if one of its signatures is by one of the keys.

    Raises UnreadableError for other bytes, DeniedError when none of these keys signed it.
    """
    envelope = read_envelope(data)
    signed_bytes = encode_pae(envelope.payload_type, envelope.payload)
    for key in keys:
        if any(key.has_signed(signature, signed_bytes) for signature in envelope.signatures):
            return SignedStatement(envelope.payload_type, envelope.payload, key.id)
    raise DeniedError(
        "no trusted key signed the envelope", "Check whether another key signed it, or whether it was changed."
    )


def _check_kind(key: Any) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    is_supported = (
        isinstance(key, ed25519.Ed25519PublicKey)
        or (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1))
        or (isinstance(key, rsa.RSAPublicKey) and key.key_size >= _WEAKEST_RSA)
    )
    if not is_supported:
        raise UsageError(
            "the public key has an unsupported type",
            f"Use ECDSA on P-256, Ed25519, or RSA of at least {_WEAKEST_RSA} bits.",
        )


def _decode_base64(text: Any) -> bytes:
    """Decode base64 in either alphabet, as DSSE demands of readers."""
    if not isinstance(text, str):
        raise ValueError("base64 is text")
    try:
        return base64.b64decode(text.encode("ascii").translate(bytes.maketrans(b"-_", b"+/")), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError(f"base64 is broken: {error}") from None
