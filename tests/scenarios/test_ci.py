"""The snippets of docs/how-to/ci.md, their shell taken out of the page and run against a server.

`podman`, `python3`, `pip` and `./deploy` are stand-ins; `dockgate` is the real command, in a process of its own.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "ci.md"
IMAGE = "elsewhere.example/team/app"
WHEEL = "https://files.example/dockgate-1-py3-none-any.whl#sha256=0"
# What each system sets for its jobs.
ENVIRONMENT = {
    "github": {
        "GITHUB_SHA": "c0ffee",
        "GITHUB_REPOSITORY": "team/app",
        "GITHUB_RUN_ID": "1",
        "GITHUB_RUN_ATTEMPT": "1",
    },
    "gitlab": {
        "CI_REGISTRY_IMAGE": IMAGE,
        "CI_COMMIT_SHA": "c0ffee",
        "CI_PROJECT_PATH": "team/app",
        "CI_PIPELINE_ID": "1",
        "CI_JOB_ID": "2",
    },
    "jenkins": {"BUILD_NUMBER": "7", "JOB_NAME": "team/app"},
    "tekton": {"RUN": "uid-1"},
    "argo": {"RUN": "uid-2"},
}


def read_snippet(system: str) -> str:
    texts: list[str] = re.findall(rf"(?ms)^```(?:yaml|groovy) {system}\n(.*?)^```$", PAGE.read_text())
    (text,) = texts
    return text


def read_github_scripts(text: str) -> list[str]:
    return [step["run"] for step in yaml.safe_load(text)["jobs"]["deliver"]["steps"] if "run" in step]


def read_gitlab_scripts(text: str) -> list[str]:
    document = yaml.safe_load(text)
    jobs = {job["stage"]: job for job in document.values() if isinstance(job, dict)}
    return ["\n".join(jobs[stage]["script"]) for stage in document["stages"]]


def read_jenkins_scripts(text: str) -> list[str]:
    """Groovy's ''' takes a backslash for itself, which the shell is to see at a line's end: both join the lines."""
    return [script.replace("\\\n", "") for script in re.findall(r"(?s)\bsh '''(.*?)'''", text)]


def read_tekton_scripts(text: str) -> list[str]:
    return [step["script"] for step in yaml.safe_load(text)["spec"]["steps"]]


def read_argo_scripts(text: str) -> list[str]:
    spec = yaml.safe_load(text)["spec"]
    templates = {template["name"]: template for template in spec["templates"]}
    order = [step["template"] for group in templates[spec["entrypoint"]]["steps"] for step in group]
    return [templates[name]["script"]["source"] for name in order]


SHELL: dict[str, Callable[[str], list[str]]] = {
    "github": read_github_scripts,
    "gitlab": read_gitlab_scripts,
    "jenkins": read_jenkins_scripts,
    "tekton": read_tekton_scripts,
    "argo": read_argo_scripts,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as system:
        yield system


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh -e\n{text}\n")
    path.chmod(0o755)


def play(server: ServerSystem, system: str, digest: str, folder: Path) -> tuple[list[int], str]:
    """Runs one step after the other, as long as they succeed. Their exits, and what was deployed."""
    tools = folder / "tools"
    tools.mkdir()
    write_program(tools / "podman", f'if [ "$1" = push ]; then printf %s {digest} >"$3"; fi')
    write_program(tools / "pip", f'[ "$*" = "install --quiet {WHEEL}" ]')
    write_program(tools / "dockgate", f'exec {sys.executable} -m dockgate "$@"')
    make_environment = f'mkdir -p "$3/bin"; ln -sf {tools}/pip {tools}/dockgate "$3/bin/"'
    write_program(tools / "python3", f'[ "$1 $2" = "-m venv" ]; {make_environment}')
    write_program(folder / "deploy", 'printf %s "$1" >deployed')
    environment = {
        "PATH": f"{tools}:/usr/bin:/bin",
        "PYTHONPATH": ":".join(sys.path),
        "HOME": str(folder),
        "DOCKGATE_SERVER": server.url,
        "DOCKGATE_TOKEN": "unused",
        "DOCKGATE_WHEEL": WHEEL,
        "IMAGE": IMAGE,
        **ENVIRONMENT[system],
    }
    exits = []
    for script in SHELL[system](read_snippet(system)):
        step = subprocess.run(
            ["sh", "-e", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        exits.append(step.returncode)
        if step.returncode:
            assert "Traceback" not in step.stderr, step.stderr
            break
    deployed_file = folder / "deployed"
    return exits, deployed_file.read_text() if deployed_file.exists() else ""


@pytest.mark.parametrize("system", SHELL)
def test_approved_images_are_deployed_by_digest_and_others_stop_the_pipeline(
    server: ServerSystem, system: str, tmp_path: Path
) -> None:
    for name, findings, exits in (
        ("good", PlannedFindings(), [0, 0, 0]),
        ("bad", PlannedFindings({"CRITICAL": 1}), [0, 1]),
    ):
        image = server.plan_foreign_image(f"{system}-{name}", findings)
        server.scan_may_end[image].set()
        folder = tmp_path / name
        folder.mkdir()
        result = play(server, system, image, folder)
        assert result == (exits, f"{IMAGE}@{image}" if name == "good" else "")
    approvals: list[Any] = [entry for entry in server.get("/approvals") if entry["image"] == image]
    assert [request["state"] for request in approvals] == ["Rejected"]
