"""Signing advisory exports, and which of them to import: by the server's keys, which sign attestations too."""

import hmac
from pathlib import Path
from typing import TYPE_CHECKING

from dockgate.config import Settings
from dockgate.services.attestations import KEYS
from dockgate.shared.digest import from_hex, is_digest
from dockgate.shared.errors import DeniedError, DockgateError, UsageError

if TYPE_CHECKING:
    from dockgate.vulnerabilities.database.transfer import Header, Sign, Trust

# Of what is signed: the header of an export, with the digest of the database's bytes. No attestation has this type.
PAYLOAD_TYPE = "application/vnd.dockgate.advisories.export.v1+json"
_ADVICE = "The one who exports says it: `dockgate db key` prints the key, `dockgate db export` the digest."


def signing(settings: Settings) -> "tuple[Sign, str]":
    """Signs by the key in the data folder, made when there is none; and that key's id."""
    from dockgate.attestations import dsse
    from dockgate.attestations.keys import Keys

    signer = Keys(settings.data / KEYS).signer()
    return lambda stated: dsse.sign(stated, signer, PAYLOAD_TYPE), signer.public.id


def public_key(settings: Settings) -> str:
    """The public half of that key, in PEM."""
    from dockgate.attestations.keys import Keys

    return Keys(settings.data / KEYS).signer().public.pem


def trusting(key: Path | None, digest: str, *, pinned: bool) -> "Trust":
    """Trust exports that the public key in the file `key` signed, and those whose database has `digest`.

    With both, both must match. `pinned`: the reference names a manifest's digest, which is enough.

    Raises UsageError if nothing says whom to trust, for an invalid key and an invalid digest.
    """
    if key is None and not digest and not pinned:
        raise UsageError(
            "An import demands the exporter's key, or the digest that is expected: everyone who can write the file or "
            "the registry could hide vulnerabilities.",
            f"Give --key FILE or --digest sha256:…. {_ADVICE}",
        )
    if digest and not is_digest(digest):
        raise UsageError(f"{digest!r} is not a digest.", "Give --digest sha256: and 64 hex digits in lower case.")
    public = _read(key) if key else b""

    def trust(stated: bytes, header: "Header", envelope: bytes) -> None:
        content = from_hex(header.content)
        if digest and not hmac.compare_digest(content.encode(errors="replace"), digest.encode()):
            raise DeniedError(
                f"The export holds a database of the digest {content}, and {digest} is expected.", _ADVICE
            )
        if public:
            _require_signed(stated, envelope, public)

    return trust


def _read(key: Path) -> bytes:
    from dockgate.attestations import dsse

    try:
        data = key.read_bytes()
    except OSError as error:
        raise UsageError(f"{key} cannot be read: {error.strerror}.", "`dockgate db key` prints the key.") from None
    dsse.PublicKey(data)
    return data


def _require_signed(stated: bytes, envelope: bytes, public: bytes) -> None:
    """DeniedError unless the envelope is of this header, and by the key."""
    from dockgate.attestations import dsse

    if not envelope:
        raise DeniedError(
            "The export is not signed.",
            "Export it with this version of Dockgate, or give the digest that is expected: --digest sha256:….",
        )
    try:
        signed = dsse.verify(envelope, [dsse.PublicKey(public)])
    except DockgateError as error:
        raise DeniedError(f"The export's signature does not hold: {error}", _ADVICE) from None
    if signed.payload_type != PAYLOAD_TYPE or signed.payload != stated:
        raise DeniedError("The export's signature is of something else.", _ADVICE)
