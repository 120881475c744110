"""The server's signing key, and the public halves of all earlier ones.

The key is one file in a folder of its own.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from dockgate.attestations.dsse import PublicKey, Signer, create_key
from dockgate.attestations.model import ListedKey
from dockgate.shared.digest import get_hex
from dockgate.shared.errors import UnavailableError
from dockgate.shared.files import replace_file

# The name of the folder, in the data folder.
KEYS = "keys"
_PRIVATE = "attestation.pem"
_PUBLIC = ".pub"
_ADVICE = "Check owner, permissions and free space of the folder."


class Keys:
    """The keys in a folder, made when first asked for (folder 0700, files 0600).

    `require_folder` is called before each use. It raises UnavailableError where the folder is not the right one, for
    instance because it is not mounted: a new key would be made there, which no verifier trusts.

    Raises UnavailableError if the folder cannot be used, UsageError if the private key's file contains no key.
    """

    def __init__(self, folder: Path, require_folder: Callable[[], None] = lambda: None) -> None:
        self._folder = folder
        self._require_folder = require_folder

    def get_signer(self) -> Signer:
        """Return the present key."""
        self._require_folder()
        path = self._folder / _PRIVATE
        try:
            if not path.exists():
                self._make()
            return Signer(path.read_bytes())
        except OSError as error:
            raise UnavailableError(f"the signing key {path} cannot be used: {error.strerror}", _ADVICE) from error

    def rotate(self) -> Signer:
        """Make a new key. The old private half is gone, its public half stays listed."""
        self.get_signer()
        try:
            self._make()
        except OSError as error:
            raise UnavailableError(f"no new key can be written to {self._folder}: {error.strerror}", _ADVICE) from error
        return self.get_signer()

    def list_keys(self) -> Sequence[ListedKey]:
        """List all keys, newest first: the first one signs."""
        current = self.get_signer().public
        paths = sorted(self._folder.glob(f"*{_PUBLIC}"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        public_keys = (PublicKey(path.read_bytes()) for path in paths)
        former_keys = [ListedKey(key.id, key.pem, is_current=False) for key in public_keys if key.id != current.id]
        return (ListedKey(current.id, current.pem, is_current=True), *former_keys)

    def _make(self) -> None:
        """Make a key. Its public half is stored first, so no signature is ever by an unlisted key.

        If two processes make keys at the same time, the later one stays, and both are listed.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        pem = create_key()
        public = Signer(pem).public
        replace_file(self._folder / (get_hex(public.id)[:16] + _PUBLIC), public.pem.encode(), 0o600)
        replace_file(self._folder / _PRIVATE, pem, 0o600)
