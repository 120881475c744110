"""Secrets of targets and callbacks, encrypted in the database by a key that lies in a file beside it."""

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from dockgate.config import KEY_FILE
from dockgate.shared.errors import StoreError
from dockgate.shared.files import create_file

_ADVICE = (
    "Restore that file from a backup. Without one, remove it, apply the Target documents again, "
    "and request the waiting approvals that have callbacks again."
)


class SecretBox:
    """Encryption with the key in `folder`, made at first use (mode 0600).

    All servers of one database need the same file. `require_folder` is called before it is read or made, and raises
    UnavailableError where the folder is not theirs. Fernet of `cryptography`: AES-128-CBC and HMAC-SHA256.
    """

    def __init__(self, folder: Path, require_folder: Callable[[], None] = lambda: None) -> None:
        self._path = folder / KEY_FILE
        self._require_folder = require_folder

    def encrypt(self, secrets: Mapping[str, str]) -> bytes:
        """Encrypt named secrets together; each call gives other bytes."""
        return self._fernet.encrypt(json.dumps(dict(secrets), sort_keys=True).encode())  # type: ignore[no-any-return]

    def decrypt(self, data: bytes) -> dict[str, str]:
        """Decrypt secrets. StoreError where the key is another one than that of the data."""
        from cryptography.fernet import InvalidToken

        try:
            values: dict[str, str] = json.loads(self._fernet.decrypt(data))
        except InvalidToken:
            raise StoreError(
                f"secrets in the database were encrypted with another key than the one in {self._path}",
                _ADVICE,
            ) from None
        return values

    @cached_property
    def _fernet(self):  # type: ignore[no-untyped-def]
        from cryptography.fernet import Fernet

        self._require_folder()
        try:
            create_file(self._path, Fernet.generate_key(), 0o600)
            return Fernet(self._path.read_bytes())
        except (OSError, ValueError) as error:
            raise StoreError(
                f"the key of the secrets in {self._path} cannot be used: {error}",
                _ADVICE,
            ) from error
