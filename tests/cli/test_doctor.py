"""`dockgate doctor` names each missing part of a host, and how to add it."""

import json
import socket
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from tests.forks import ForkedProcess, Surroundings
from tests.ports import find_free_port
from tests.postgres import drop_database, get_cluster, make_database_url, open_postgres

from dockgate.delivery.builders import build_host
from dockgate.server.shared_folder import SharedFolder

pytestmark = pytest.mark.real


def run_doctor(data: Path, *options: str, **environment: str) -> tuple[int, str]:
    ports = {"DOCKGATE_PORT": str(find_free_port()), "DOCKGATE_REGISTRY_PORT": str(find_free_port())}
    variables = {"PATH": "/usr/bin:/bin", "DOCKGATE_DATA": str(data), **ports, **environment}
    with NamedTemporaryFile("r") as log:
        code = ForkedProcess("dockgate", ("doctor", *options), Surroundings(variables, Path(log.name))).wait(60)
        return code, log.read()


def test_a_complete_host_passes_and_its_sandbox_is_tried(tmp_path: Path) -> None:
    code, text = run_doctor(tmp_path / "data", "-o", "json")
    checks = {check["name"]: check for check in map(json.loads, text.splitlines())}
    assert code == 0, text
    assert checks["build sandbox"]["detail"] == "works"
    assert all(check["is_ok"] for check in checks.values())
    assert not (tmp_path / "data").exists()


def test_missing_requirements_are_listed_with_the_command_that_installs_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        code, text = run_doctor(data, DOCKGATE_PORT=port, DOCKGATE_UNSAFE_BUILDS="1")
    assert code == 2
    failed_checks = [line.split(maxsplit=1)[1] for line in text.splitlines() if line.startswith("FAILED")]
    assert [line.split("  ")[0] for line in failed_checks] == ["builds", "data folder", "port of the server"]
    assert f"chmod 700 {data}" in text
    assert "set DOCKGATE_PORT" in text


def test_an_empty_host_lacks_every_requirement_of_the_sandbox(tmp_path: Path) -> None:
    lacks = {entry.name: entry.advice for entry in build_host.find_missing(str(tmp_path), tmp_path)}
    for program, package in build_host.PROGRAMS.items():
        assert lacks[f"{program} is not installed"] == f"apt-get install {package}"
    for name in ("subuid", "subgid"):
        assert "usermod --add-subuids" in lacks[f"dockgate-build has no 65536 ids in /etc/{name}"]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param("dockgate-build:100000:1000\n", id="too few"),
        pytest.param("dockgate-build:100000:65536\nada:165000:65536\n", id="shared with another user"),
        pytest.param("dockgate-build:0:65536\n", id="ids of the system"),
    ],
)
def test_subordinate_ids_that_do_not_isolate_do_not_count(tmp_path: Path, lines: str) -> None:
    for name in ("subuid", "subgid"):
        (tmp_path / name).write_text(lines)
    lacks = [entry.name for entry in build_host.find_missing(etc=tmp_path)]
    assert lacks == [f"dockgate-build has no 65536 ids in /etc/{name}" for name in ("subuid", "subgid")]


def test_the_database_and_the_shared_folder_of_several_hosts_are_checked(tmp_path: Path) -> None:
    shared_folder = tmp_path / "shared"
    shared_folder.mkdir()
    settings = {"DOCKGATE_DATABASE_URL": make_database_url(tmp_path), "DOCKGATE_SHARED": str(shared_folder)}
    empty_path = {"PATH": str(tmp_path / "programs")}  # without the programs, their sandbox is not tried
    _, text = run_doctor(tmp_path / "data", "-o", "json", **settings, **empty_path)
    checks = {check["name"]: check for check in map(json.loads, text.splitlines())}
    assert checks["database"]["is_ok"], text
    assert checks["shared folder"]["is_ok"], text
    assert checks["shared folder"]["detail"] == f"{shared_folder}, not used yet"
    store = open_postgres(tmp_path)
    SharedFolder(shared_folder, store)
    store.close()
    code, text = run_doctor(tmp_path / "data", **settings)
    assert code == 0, text
    assert "not used yet" not in text
    mount_point = tmp_path / "mount point"
    mount_point.mkdir()
    code, text = run_doctor(tmp_path / "data", **{**settings, "DOCKGATE_SHARED": str(mount_point)})
    assert code == 2
    assert f"{mount_point} does not contain the files of this database" in text
    drop_database(tmp_path)
    settings |= {
        "DOCKGATE_DATABASE_URL": get_cluster().make_url("missing"),
        "DOCKGATE_SHARED": str(tmp_path / "not mounted"),
    }
    _, text = run_doctor(tmp_path / "data", **settings, **empty_path)
    assert "does not exist" in text
    assert "Mount it" in text
