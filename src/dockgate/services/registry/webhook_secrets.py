"""The secrets that registries send with their notifications."""

import hashlib
import hmac
import json
import threading
from pathlib import Path

from dockgate.shared.authorization_header import find_secret
from dockgate.shared.errors import UnavailableError


class WebhookSecrets:
    """The secrets that registries send with their notifications.

    `own_secret` is our own registry's secret. The others' are derived from it, one for each registry. `file` counts how
    often each of these was changed: it may be missing, and is not a secret.

    All calls raise UnavailableError when the file cannot be used: which secrets are valid is unknown then.
    """

    def __init__(self, own_secret: str, file: Path) -> None:
        self.own_secret = own_secret
        self._file = file
        self._lock = threading.Lock()

    def read_secret(self, form: str, registry: str) -> str:
        """Return the secret that this registry sends with notifications of this format."""
        name = f"{form}/{registry}"
        change_count = self._read_changes().get(name, 0)
        text = f"pushes/{name}/{change_count}" if change_count else f"pushes/{name}"
        return hmac.new(self.own_secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    def change(self, form: str, registry: str) -> None:
        """Give this registry another secret. The previous one is invalid from now on."""
        with self._lock:
            name, changes = f"{form}/{registry}", self._read_changes()
            changes[name] = changes.get(name, 0) + 1
            new_file = self._file.with_suffix(".new")
            try:
                new_file.write_text(json.dumps(changes, indent=1, sort_keys=True))
                new_file.replace(self._file)
            except OSError as error:
                raise UnavailableError(
                    f"{self._file} cannot be written: {error.strerror}",
                    "Check the permissions and the free space of its folder.",
                ) from error

    def _read_changes(self) -> dict[str, int]:
        try:
            changes = json.loads(self._file.read_text())
            if isinstance(changes, dict) and all(isinstance(count, int) for count in changes.values()):
                return changes
            reason = "it is not an object of numbers"
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            reason = str(error)
        raise UnavailableError(
            f"{self._file} cannot be read: {reason}",
            "Restore it, or delete it and replace `registry-secret` beside it: all secrets are then new.",
        )


def has_secret(authorization: str, secret: str) -> bool:
    """Return whether the header contains the secret.

    Senders differ: it is alone, a bearer token, or a password (RFC 7617).
    """
    shown_secret = find_secret(authorization)
    text = authorization if shown_secret is None else shown_secret
    return hmac.compare_digest(text.encode(errors="replace"), secret.encode())
