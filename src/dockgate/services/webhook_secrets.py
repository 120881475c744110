"""The secrets that registries show with their notifications of pushes."""

import hashlib
import hmac
import json
import threading
from pathlib import Path

from dockgate.shared.errors import UnavailableError


class WebhookSecrets:
    """`own` is what our own registry shows, and what the others' secrets are made of, each registry's another.

    `file` counts how often each of these was changed: it need not be there, and is no secret.

    All calls raise UnavailableError when the file cannot be used: which secrets hold is not known then.
    """

    def __init__(self, own: str, file: Path) -> None:
        self.own = own
        self._file = file
        self._lock = threading.Lock()

    def secret(self, form: str, registry: str) -> str:
        """What this registry has to show with notifications of this format."""
        name = _name(form, registry)
        changed = self._changes().get(name, 0)
        made_of = f"pushes/{name}/{changed}" if changed else f"pushes/{name}"
        return hmac.new(self.own.encode(), made_of.encode(), hashlib.sha256).hexdigest()

    def change(self, form: str, registry: str) -> None:
        """Gives this registry another secret. The one that it had is none from now on."""
        with self._lock:
            changes = self._changes()
            name = _name(form, registry)
            changes[name] = changes.get(name, 0) + 1
            fresh = self._file.with_suffix(".new")
            try:
                fresh.write_text(json.dumps(changes, indent=1, sort_keys=True))
                fresh.replace(self._file)
            except OSError as error:
                raise UnavailableError(f"{self._file} cannot be written: {error.strerror}.") from error

    def _changes(self) -> dict[str, int]:
        try:
            changes = json.loads(self._file.read_text())
            if isinstance(changes, dict) and all(isinstance(count, int) for count in changes.values()):
                return changes
            reason = "it is no object of numbers"
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            reason = str(error)
        raise UnavailableError(
            f"{self._file} cannot be read: {reason}",
            "Restore it, or replace `registry-secret` beside it by a new one and delete it: all secrets are new then.",
        )


def _name(form: str, registry: str) -> str:
    return f"{form}/{registry}"
