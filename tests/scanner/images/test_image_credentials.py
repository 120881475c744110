"""Where credentials for registries are found."""

import base64
import json
from pathlib import Path

import pytest

from dockgate.scanner.images.credentials import Credentials, find_credentials
from dockgate.shared.errors import UsageError

HOST = "registry.test:5000"
SECRET = "secret"


def make_entry(username: str, password: str = SECRET) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def make_environment(folder: Path, **variables: str) -> dict[str, str]:
    return {
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "PATH": f"{folder}/bin:/usr/bin:/bin",
        **variables,
    }


def write_docker_config(folder: Path, **config: object) -> None:
    (folder / ".docker").mkdir(exist_ok=True)
    (folder / ".docker/config.json").write_text(json.dumps(config))


def write_helper(folder: Path, name: str, script: str) -> None:
    """A credential helper; it leaves what it was asked in `asked`."""
    (folder / "bin").mkdir(exist_ok=True)
    program = folder / "bin" / f"docker-credential-{name}"
    program.write_text(f'#!/bin/sh\necho "$1 $(cat)" >> {folder}/asked\n{script}\n')
    program.chmod(0o755)


def find(folder: Path, repository: str = "team/app", registry: str = HOST, **variables: str) -> Credentials | None:
    return find_credentials(registry, repository, make_environment(folder, **variables))


def test_without_a_file_there_are_no_credentials(tmp_path: Path) -> None:
    assert find(tmp_path) is None


def test_the_file_that_is_named_wins_over_podmans_over_dockers(tmp_path: Path) -> None:
    write_docker_config(tmp_path, auths={HOST: make_entry("docker")})
    assert find(tmp_path) == Credentials("docker", "secret")
    for name in (".config/containers", "run/containers"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "auth.json").write_text(json.dumps({"auths": {HOST: make_entry(name)}}))
        assert find(tmp_path) == Credentials(name, "secret")
    (tmp_path / "named.json").write_text(json.dumps({"auths": {HOST: make_entry("named")}}))
    assert find(tmp_path, REGISTRY_AUTH_FILE=f"{tmp_path}/named.json") == Credentials("named", "secret")


def test_a_file_that_does_not_know_the_registry_is_passed_over(tmp_path: Path) -> None:
    write_docker_config(tmp_path, auths={HOST: make_entry("docker")})
    (tmp_path / "named.json").write_text(json.dumps({"auths": {"other.test": make_entry("other"), HOST: {}}}))
    assert find(tmp_path, REGISTRY_AUTH_FILE=f"{tmp_path}/named.json") == Credentials("docker", "secret")


def test_another_registrys_credentials_are_not_taken(tmp_path: Path) -> None:
    write_docker_config(
        tmp_path,
        auths={
            "registry.test": make_entry("a"),
            f"{HOST}.evil": make_entry("b"),
            f"{HOST}/team/other": make_entry("c"),
        },
    )
    assert find(tmp_path) is None


def test_the_narrowest_entry_wins(tmp_path: Path) -> None:
    write_docker_config(
        tmp_path,
        auths={HOST: make_entry("host"), f"{HOST}/team": make_entry("team"), f"{HOST}/team/app": make_entry("app")},
    )
    names = [credentials.username for name in ("team/app", "team/x", "x") if (credentials := find(tmp_path, name))]
    assert names == ["app", "team", "host"]


@pytest.mark.parametrize("key", [f"https://{HOST}", f"https://{HOST}/v1/", f"http://{HOST}/v2/"])
def test_entries_may_be_urls(tmp_path: Path, key: str) -> None:
    write_docker_config(tmp_path, auths={key: make_entry("url")})
    assert find(tmp_path) == Credentials("url", "secret")


def test_docker_hub_goes_by_its_old_name(tmp_path: Path) -> None:
    write_docker_config(tmp_path, auths={"https://index.docker.io/v1/": make_entry("hub")})
    assert find(tmp_path, "library/debian", "docker.io") == Credentials("hub", "secret")


def test_a_password_may_hold_colons_and_identity_tokens_are_kept(tmp_path: Path) -> None:
    write_docker_config(tmp_path, auths={HOST: {**make_entry("user", "a:b"), "identitytoken": "token"}})
    assert find(tmp_path) == Credentials("user", "a:b", "token")


def test_secrets_are_not_printed() -> None:
    assert "geheim" not in repr(Credentials("user", "geheim1", "geheim2"))


@pytest.mark.parametrize("text", ["", "{", "\udcff", '{"auths": {"registry.test:5000": {"auth": "%%"}}}'])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    write_docker_config(tmp_path)
    (tmp_path / ".docker/config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=r"\.docker/config\.json"):
        find(tmp_path)


@pytest.mark.parametrize("text", ["[]", "null", '{"auths": []}', '{"auths": {"registry.test:5000": 1}}'])
def test_a_file_of_another_form_has_no_credentials(tmp_path: Path, text: str) -> None:
    write_docker_config(tmp_path)
    (tmp_path / ".docker/config.json").write_text(text)
    assert find(tmp_path) is None


def test_a_helper_is_asked_for_its_registry_and_the_store_for_all_others(tmp_path: Path) -> None:
    write_docker_config(tmp_path, credHelpers={HOST: "one"}, credsStore="all", auths={HOST: make_entry("file")})
    for name in ("one", "all"):
        write_helper(tmp_path, name, f"""echo '{{"Username": "{name}", "Secret": "s"}}'""")
    assert find(tmp_path) == Credentials("one", "s")
    assert find(tmp_path, registry="docker.io") == Credentials("all", "s")
    assert (tmp_path / "asked").read_text().splitlines() == [f"get {HOST}", "get https://index.docker.io/v1/"]


def test_a_helper_may_give_an_identity_token_or_nothing(tmp_path: Path) -> None:
    write_docker_config(tmp_path, credsStore="all")
    write_helper(tmp_path, "all", """echo '{"Username": "<token>", "Secret": "token"}'""")
    assert find(tmp_path) == Credentials("", "", "token")
    write_helper(tmp_path, "all", "echo 'credentials not found in native keychain'; exit 1")
    assert find(tmp_path) is None


@pytest.mark.parametrize("script", ["echo locked >&2; exit 1", "echo", "echo '[]'", 'echo \'{"Username": "u"}\''])
def test_a_helper_that_fails_is_reported_with_its_output(tmp_path: Path, script: str) -> None:
    write_docker_config(tmp_path, credsStore="all")
    write_helper(tmp_path, "all", script)
    with pytest.raises(UsageError, match="docker-credential-all") as error_info:
        find(tmp_path)
    assert ("locked" in str(error_info.value)) == ("locked" in script)


@pytest.mark.parametrize(
    "script",
    [
        "printf '\\377'",
        """echo '{"Username": "\\ud800", "Secret": "s"}'""",
        """head -c 200000 /dev/zero | tr '\\0' '['""",
    ],
    ids=["bytes of no encoding", "a surrogate", "nested without end"],
)
def test_output_of_a_helper_that_is_not_text_is_reported(tmp_path: Path, script: str) -> None:
    write_docker_config(tmp_path, credsStore="all")
    write_helper(tmp_path, "all", script)
    with pytest.raises(UsageError) as error_info:
        find(tmp_path)
    assert error_info.value.advice


def test_credentials_that_are_not_text_are_reported(tmp_path: Path) -> None:
    write_docker_config(tmp_path, auths={HOST: {"username": "\ud800", "password": "s"}})
    with pytest.raises(UsageError, match="not text") as error_info:
        find(tmp_path)
    assert error_info.value.advice


@pytest.mark.parametrize("name", ["missing", "../../bin/sh", "a b"])
def test_a_missing_or_invalid_helper_is_reported(tmp_path: Path, name: str) -> None:
    write_docker_config(tmp_path, credsStore=name)
    with pytest.raises(UsageError, match="helper"):
        find(tmp_path)
