"""docs/how-to/backup.md: what its commands save is a whole server, and what they restore runs what it ran."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.parts import wait_until
from tests.postgres import get_cluster
from tests.scenarios import advisories
from tests.scenarios.live import Clone, Live, application

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "backup.md"


def read_commands(section: str) -> Iterator[str]:
    """The commands of a section of the page: those that back up, then those that restore."""
    text = re.split(rf"(?m)^## {section}$", PAGE.read_text())[1].partition("\n## ")[0]
    return iter(re.findall(r"(?ms)^```sh\n(.*?)^```$", text))


def run(commands: str, live: Live, substitutes: Mapping[str, str]) -> None:
    for page_text, used in substitutes.items():
        commands = commands.replace(page_text, used)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["sh", "-euc", commands], env={**live.env, "PATH": path}, check=True, timeout=120)


def deploy(live: Live, execution: str) -> None:
    """Deliver a new commit to the service."""
    clone = Clone(live, "web", live.folder / "web")
    if not clone.folder.exists():
        clone.create_data()
    application(clone, "2.0", execution)
    clone.commit(execution)
    clone.push()
    assert live.wait_for_execution(execution, 120)["execution"]["state"] == "Succeeded"
    assert list_states(live) == ["RUNNING"]


def list_states(live: Live) -> list[str]:
    return [task["state"] for task in live.get("/services/web")["tasks"]]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    live = Live(tmp_path / "server")
    advisories.write(live.folder / "feed", advisories.DEMO)
    yield live
    live.purge()


def start(live: Live) -> None:
    live.run_dockgate("db", "build", "--from", str(live.folder / "feed"))
    live.run_dockgate("up", "--detach")
    live.set_up()
    deploy(live, "Web-1")


def require_restored(live: Live) -> None:
    """The restored server runs what the backup's did, and goes on."""
    wait_until(lambda: list_states(live) == ["RUNNING"], 120)
    assert live.get("/executions/Web-1")["execution"]["state"] == "Succeeded"
    deploy(live, "Web-2")


def test_a_server_on_sqlite_is_restored(live: Live, tmp_path: Path) -> None:
    start(live)
    substitutes = {"/var/lib/dockgate": str(live.data), "/var/backups": str(tmp_path)}
    back_up, restore = read_commands("A server on SQLite")
    run(back_up, live, substitutes)
    run(restore, live, substitutes)
    require_restored(live)


def test_servers_on_postgres_are_restored(live: Live, tmp_path: Path) -> None:
    cluster, shared_folder = get_cluster(), tmp_path / "shared"
    for name in ("dockgate", "restored"):
        cluster.execute_statement("CREATE DATABASE {}", name)
    live.environment = {"DOCKGATE_DATABASE_URL": cluster.make_url("dockgate"), "DOCKGATE_SHARED": str(shared_folder)}
    start(live)
    url = cluster.make_url("").replace("+psycopg", "")
    substitutes = {
        "postgresql://dockgate@db.example.org/": url,
        "/mnt/dockgate": str(shared_folder),
        "/var/backups": str(tmp_path),
    }
    back_up, restore = read_commands("Servers on Postgres")
    run(back_up, live, substitutes)
    live.purge()
    shared_folder.rename(tmp_path / "lost")
    shared_folder.mkdir(mode=0o700)
    run(restore, live, substitutes)
    live.environment = {**live.environment, "DOCKGATE_DATABASE_URL": cluster.make_url("restored")}
    live.run_dockgate("up", "--detach")
    require_restored(live)
