"""Logins for our own registry that need no server, but access to its folder."""

import base64
import json
import re
import tempfile
from pathlib import Path

from dockgate.attestations.keys import KEYS
from dockgate.delivery.model import REPOSITORY
from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.delivery.registry_access import OPERATOR, PULL, PUSH, Login
from dockgate.shared.errors import UsageError


def make_operator_login(data: Path, repository: str, *, can_push: bool) -> tuple[str, str]:
    """Return a login for one repository, made with the server's key in `data`.

    No server is asked. UsageError for what is not a repository, and where no server has made a key yet.
    """
    if not re.fullmatch(REPOSITORY, repository):
        raise UsageError(f"{repository!r} is not a repository", "Name it without the registry: base/python.")
    tokens = RegistryTokens(data / KEYS)
    if not tokens.path.exists():
        raise UsageError(f"there is no registry in {data}", "Set DOCKGATE_DATA to the server's folder, and start it.")
    return tokens.issue_login(Login(OPERATOR, repository, (PULL, PUSH) if can_push else (PULL,)))


def write_authfile(path: Path, address: str, login: tuple[str, str]) -> None:
    """Replace the file by an authfile that its owner alone can read.

    UsageError where it cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            file.write(make_authfile(address, login))
        Path(file.name).replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", "Name a file in a folder of yours.") from None


def make_authfile(address: str, login: tuple[str, str]) -> str:
    """Return the text of an authfile (containers-auth.json(5))."""
    pair = base64.b64encode(":".join(login).encode()).decode()
    return json.dumps({"auths": {address: {"auth": pair}}}, indent=1)
