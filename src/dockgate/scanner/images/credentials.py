"""Find registry credentials where `docker login` and `podman login` store them.

Forms: containers-auth.json(5), and Docker's "docker login", "Credential stores" and "Credential helpers". The first
file with the registry counts: $REGISTRY_AUTH_FILE, then Podman's, then Docker's. Without one, AWS is asked for Amazon
ECR's registries.
"""

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dockgate.scanner.images.ecr import ECR_TOKENS, EcrTokens
from dockgate.scanner.registry_reference import DOCKER_HUB
from dockgate.shared.errors import UsageError

_HUB_KEY = "https://index.docker.io/v1/"
_HELPER_SECONDS = 30
_NO_SUCH = "credentials not found"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and password, or an identity token. `repr` hides the secrets."""

    username: str
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


def find_credentials(
    registry: str, repository: str, environ: Mapping[str, str], tokens: EcrTokens = ECR_TOKENS
) -> Credentials | None:
    """Find the credentials for a repository, None if there are none.

    Raises UsageError for a broken file or helper, and for ECR the errors of `EcrTokens.get`.
    """
    for path in _list_files(environ):
        try:
            config = json.loads(path.read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(
                f"{path} cannot be read: {error}", "Correct the file, or log in again to rewrite it."
            ) from error
        credentials = _look_up(config if isinstance(config, dict) else {}, path, registry, repository, environ)
        if credentials:
            return _require_encodable(credentials, f"{path} has for {registry}")
    token = tokens.get(registry)
    return Credentials(*token) if token else None


def _list_files(environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME") or Path.home())
    if environ.get("REGISTRY_AUTH_FILE"):
        yield Path(environ["REGISTRY_AUTH_FILE"])
    if environ.get("XDG_RUNTIME_DIR"):
        yield Path(environ["XDG_RUNTIME_DIR"]) / "containers/auth.json"
    else:
        yield Path(f"/run/containers/{os.getuid()}/auth.json")
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers/auth.json"
    yield Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"


def _look_up(
    config: dict[str, Any], path: Path, registry: str, repository: str, environ: Mapping[str, str]
) -> Credentials | None:
    server = _HUB_KEY if registry == DOCKER_HUB else registry
    helper = _get_object(config, "credHelpers").get(registry)
    if isinstance(helper, str) and helper:
        return _run_helper(helper, server, environ)
    auths = _get_object(config, "auths")
    for key in _list_keys(registry, repository):
        entry = _get_object(auths, key)
        if entry.get("auth") or entry.get("identitytoken") or entry.get("username"):
            return _decode(entry, f"{path}, {key}")
    store = config.get("credsStore")
    return _run_helper(store, server, environ) if isinstance(store, str) and store else None


def _list_keys(registry: str, repository: str) -> Iterator[str]:
    """Yield the keys of entries, the narrowest first: Podman's may have a path, Docker's are URLs."""
    parts = [registry, *repository.split("/")]
    yield from ("/".join(parts[:end]) for end in range(len(parts), 0, -1))
    if registry == DOCKER_HUB:
        yield from (_HUB_KEY, "index.docker.io", "registry-1.docker.io")
    yield from (f"{scheme}://{registry}{path}" for scheme in ("https", "http") for path in ("", "/", "/v1/", "/v2/"))


def _get_object(config: dict[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def _decode(entry: dict[str, Any], origin: str) -> Credentials:
    token = str(entry.get("identitytoken") or "")
    if not entry.get("auth"):
        return Credentials(str(entry.get("username") or ""), str(entry.get("password") or ""), token)
    try:
        username, colon, password = base64.b64decode(str(entry["auth"])).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise UsageError(f"the entry in {origin} is not base64 of USER:PASSWORD", "Log in to the registry again.")
    return Credentials(username, password.rstrip("\0"), token)


def _require_encodable(credentials: Credentials, origin: str) -> Credentials:
    """Refuse lone surrogates, which JSON can contain and no encoding has."""
    try:
        f"{credentials.username}{credentials.password}{credentials.identity_token}".encode()
    except UnicodeEncodeError:
        raise UsageError(f"the credentials that {origin} are not text", "Log in to the registry again.") from None
    return credentials


def _run_helper(helper: str, server: str, environ: Mapping[str, str]) -> Credentials | None:
    """Ask the program docker-credential-HELPER for the credentials of a server; None if it has none."""
    program = f"docker-credential-{helper}"
    advice = f"Does `{program} get` work? Otherwise take {helper} out of the configuration."
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", helper):
        raise UsageError(f"{helper!r} is not a name of a credential helper", advice)
    try:
        process = subprocess.run(
            [program, "get"], input=server, capture_output=True, text=True, timeout=_HELPER_SECONDS, env=dict(environ)
        )
    except (OSError, UnicodeError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"the credential helper {program} does not work: {error}", advice) from error
    if process.returncode and _NO_SUCH in (process.stdout + process.stderr).lower():
        return None
    if process.returncode:
        message = (process.stderr or process.stdout).strip()[:200]
        raise UsageError(
            f"the credential helper {program} gave no credentials for {server}; it says: {message}", advice
        )
    try:
        return parse_helper_output(process.stdout)
    except ValueError:
        raise UsageError(f"the credential helper {program} gave no credentials for {server}", advice) from None


def parse_helper_output(output: str) -> Credentials:
    """Parse the output of a helper: an object with `Username` and `Secret`.

    With the user name `<token>` the secret is an identity token. Raises ValueError for other output.
    """
    try:
        answer: Any = json.loads(output)
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError("no credentials") from error
    return Credentials("", "", secret) if username == "<token>" else Credentials(username, secret)
