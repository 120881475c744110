"""DSSE envelopes: making, reading and verifying them."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from dockgate.attestations.dsse import (
    SIZE_LIMIT,
    PublicKey,
    Signer,
    create_key,
    encode_pae,
    read_envelope,
    sign_payload,
    verify_envelope,
)
from dockgate.shared.errors import DeniedError, UnreadableError, UsageError


def encode_public_key(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def write_envelope(payload_type: str, payload: bytes, *signatures: bytes) -> bytes:
    return json.dumps(
        {
            "payloadType": payload_type,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"keyid": "", "sig": base64.b64encode(signature).decode()} for signature in signatures],
        }
    ).encode()


def test_dsse_signs_the_pre_authentication_encoding() -> None:
    """The example of secure-systems-lab/dsse, protocol.md, "Test Vectors"."""
    assert encode_pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_lengths_of_a_signed_payload_count_bytes() -> None:
    assert encode_pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_a_verified_envelope_returns_its_payload_and_key() -> None:
    signer = Signer(create_key())
    verified_payload = verify_envelope(sign_payload(b"{}", signer), [Signer(create_key()).public, signer.public])
    assert (verified_payload.payload, verified_payload.payload_type) == (b"{}", "application/vnd.in-toto+json")
    assert verified_payload.key == signer.public.id


def test_a_key_is_known_by_its_public_half() -> None:
    signer = Signer(create_key())
    assert PublicKey(signer.public.pem.encode()).id == signer.public.id
    assert signer.public.id.startswith("sha256:")
    assert "PRIVATE" not in signer.public.pem


def test_keys_of_others_are_taken() -> None:
    rsa_key, ed_key = rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()
    data = encode_pae("t", b"p")
    by_rsa = write_envelope("t", b"p", rsa_key.sign(data, padding.PKCS1v15(), SHA256()))
    assert verify_envelope(by_rsa, [PublicKey(encode_public_key(rsa_key))]).payload == b"p"
    assert (
        verify_envelope(write_envelope("t", b"p", ed_key.sign(data)), [PublicKey(encode_public_key(ed_key))]).payload
        == b"p"
    )


def test_one_signature_of_several_is_enough() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    several = write_envelope("t", b"p", b"", b"nonsense", key.sign(encode_pae("t", b"p")))
    assert verify_envelope(several, [PublicKey(encode_public_key(key))]).payload == b"p"


@pytest.mark.parametrize("change", ["payload", "payloadType", "signatures"])
def test_a_changed_envelope_has_no_valid_signature(change: str) -> None:
    signer = Signer(create_key())
    document = json.loads(sign_payload(b'{"a":1}', signer))
    document[change] = {
        "payload": base64.b64encode(b'{"a":2}').decode(),
        "payloadType": "application/json",
        "signatures": [],
    }[change]
    with pytest.raises(DeniedError, match="no trusted key"):
        verify_envelope(json.dumps(document).encode(), [signer.public])


def test_a_key_id_in_the_envelope_does_not_make_an_untrusted_key_valid() -> None:
    own_signer, foreign_signer = Signer(create_key()), Signer(create_key())
    document = json.loads(sign_payload(b"{}", foreign_signer))
    document["signatures"][0]["keyid"] = own_signer.public.id
    with pytest.raises(DeniedError):
        verify_envelope(json.dumps(document).encode(), [own_signer.public])


def test_without_keys_no_signature_is_valid() -> None:
    with pytest.raises(DeniedError):
        verify_envelope(sign_payload(b"{}", Signer(create_key())), [])


def test_both_alphabets_of_base64_are_read() -> None:
    signer, payload = Signer(create_key()), b"\xff\xfe\xfb\xff"
    document = json.loads(sign_payload(payload, signer))
    document["payload"] = base64.urlsafe_b64encode(payload).decode()
    assert verify_envelope(json.dumps(document).encode(), [signer.public]).payload == payload


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"payloadType":"t","payload":"a","signatures":[]}',
        b'{"payloadType":"t","payload":"\xc3\xa9","signatures":[]}',
        b'{"payloadType":1,"payload":"","signatures":[]}',
        b'{"payloadType":"\\ud800","payload":"","signatures":[]}',
        b'{"payloadType":"t","payload":"","signatures":{}}',
        b'{"payloadType":"t","payload":"","signatures":[1]}',
        b'{"payloadType":"t","payload":"","signatures":[{"sig":null}]}',
        b'{"payloadType":"t","payload":"","payload":"AA==","signatures":[]}',
        b"[" * 100_000,
        b" " * (SIZE_LIMIT + 1),
        json.dumps({"payloadType": "t", "payload": "", "signatures": [{"sig": ""}] * 33}).encode(),
    ],
)
def test_a_malformed_envelope_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_envelope(data)


def test_an_unsupported_public_key_is_refused() -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the point
    second_key = ec.generate_private_key(ec.SECP384R1())
    for pem in (
        b"",
        b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        encode_public_key(weak),
        encode_public_key(second_key),
    ):
        with pytest.raises(UsageError):
            PublicKey(pem)
    private = second_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for pem in (b"", private):
        with pytest.raises(UsageError):
            Signer(pem)
