"""Image references, and credentials for registries."""

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path

from tests.fuzz.mutate import mutate_json, mutate_lines
from tests.fuzz.target import MEMORY, Part, Target, check_advice

from dockgate.scanner.images import reference
from dockgate.scanner.images.credentials import find_credentials, parse_helper_output
from dockgate.scanner.registry_reference import RegistryReference, is_loopback_registry, parse_remote
from dockgate.shared.errors import UsageError

_DIGEST = "sha256:" + "0" * 64


def _parse_reference(data: bytes) -> None:
    """Parse a reference; "^" is replaced by a folder with few files, because existing paths matter."""
    text = data.decode("utf-8", "replace")
    with tempfile.TemporaryDirectory(dir=MEMORY) if "^" in text else nullcontext("") as folder:
        if folder:
            (Path(folder) / "layout").mkdir()
            (Path(folder) / "layout" / "oci-layout").touch()
            (Path(folder) / "a.tar").touch()
        try:
            result = reference.parse_reference(text.replace("^", folder))
        except UsageError as error:
            check_advice(error)
            return
    assert not str(result).startswith("-")
    if isinstance(result, RegistryReference):
        assert parse_remote(str(result)) == result
        is_loopback_registry(result.registry)


_REFERENCES = (
    *("^/a.tar", "^/layout", "^", "oci:^", "oci:^/layout:1:2", f"oci:^/layout@{_DIGEST}", "docker-archive:^/a.tar:b:1"),
    *("dir:^", "oci-archive:^", "./a"),
    *(
        "debian",
        "127.0.0.1:5000/a/b:1",
        "[::1]:5000/a@sha256:" + "0" * 64,
        "ghcr.io/a/b_c__d-e:1.2-x@sha512:" + "a" * 128,
    ),
    *(
        "podman:app",
        "docker-daemon:a/b:1",
        "localhost/x",
        "index.docker.io/a",
        "-",
        "dir:x",
        "oci:x:y",
        "docker:5000/a",
    ),
)


def _find_credentials(data: bytes) -> None:
    """Find credentials; without PATH no helper is found, whatever the file names."""
    with open(os.memfd_create("auth"), "w+b", buffering=0) as file:
        file.write(data)
        environ = {"REGISTRY_AUTH_FILE": f"/proc/self/fd/{file.fileno()}", "PATH": "", "HOME": "/nowhere"}
        for registry, repository in (("docker.io", "library/a"), ("a.example:5000", "b/c")):
            _find(registry, repository, environ)


def _answer(data: bytes) -> None:
    """Parse a credential helper's output."""
    with suppress(ValueError):
        answer = parse_helper_output(data.decode("utf-8", "replace"))
        assert repr(answer) == f"Credentials(username={answer.username!r})"


def _run_helper(data: bytes) -> None:
    """Run a helper: the input's first byte is its exit status, the rest its output."""
    with (
        tempfile.TemporaryDirectory(dir=MEMORY) as folder,
        open(os.memfd_create("output"), "w+b", buffering=0) as file,
    ):
        file.write(data[1:])
        helper = Path(folder) / "docker-credential-here"
        program_path = f"/proc/{os.getpid()}/fd/{file.fileno()}"
        helper.write_text(
            f'#!/bin/sh\nread -r output < {program_path}\necho "$output"\nexit {data[0] if data else 0}\n'
        )
        helper.chmod(0o755)
        (Path(folder) / "config.json").write_text('{"credsStore": "here"}')
        environ = {"PATH": folder, "HOME": folder, "DOCKER_CONFIG": folder, "XDG_RUNTIME_DIR": folder}
        _find("a.example", "b", environ)


def _find(registry: str, repository: str, environ: Mapping[str, str]) -> None:
    try:
        credentials = find_credentials(registry, repository, environ)
    except UsageError as error:
        check_advice(error)
        return
    if credentials:
        assert repr(credentials) == f"Credentials(username={credentials.username!r})"
        f"{credentials.username}:{credentials.password}{credentials.identity_token}".encode()  # as they are sent


_AUTH = [
    json.dumps(
        {
            "auths": {
                "a.example:5000/b": {"auth": "dTpw"},
                "https://index.docker.io/v1/": {"auth": "", "identitytoken": "t"},
                "https://a.example:5000/v2/": {"username": "u", "password": "p"},
            },
            "HttpHeaders": {},
        }
    ).encode(),
    b'{"auths": {"a.example:5000": {"auth": "!"}}, "credHelpers": {"docker.io": "../x"}, "credsStore": ""}',
]

_ANSWERS = [b'{"Username": "u", "Secret": "s"}', b'{"Username": "<token>", "Secret": "s"}']

TARGETS = (
    Target(
        "reference",
        (Part("reference", _parse_reference, lambda: [item.encode() for item in _REFERENCES], mutate_lines),),
        ("dockgate.scanner.images.reference", "dockgate.scanner.registry_reference"),
    ),
    Target(
        "credentials",
        (
            Part("file", _find_credentials, lambda: _AUTH, mutate_json),
            Part("answer", _answer, lambda: _ANSWERS, mutate_json),
            Part("helper", _run_helper, lambda: [b"\0" + _ANSWERS[0], b"\1credentials not found", b"\0x", b"\1no"]),
        ),
        ("dockgate.scanner.images.credentials",),
    ),
)
