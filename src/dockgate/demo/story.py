"""The demo: of two pushed commits, the first image is rejected, the second is approved and runs.

The demo uses only public commands and user files. It can be repeated in the same folder, also after an interruption:
the pushes then start new executions.
"""

import json
import re
import shutil
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlencode

from dockgate.delivery.registry_access import SERVICE as REGISTRY_SERVICE
from dockgate.demo import base_image
from dockgate.demo.demo_folder import DEFAULT_PORTS, DemoFolder
from dockgate.demo.terminal import DemoError, Terminal
from dockgate.shared.addresses import make_console_url
from dockgate.shared.digest import get_hex
from dockgate.shared.purl import is_of_type
from dockgate.shared.pypi_names import normalize_pypi_name
from dockgate.shared.references import ImageReference, RepositoryReference, TagReference

FILES = Path(__file__).parent
PIPELINE = "ContainerBuildDeployPipeline"
REPOSITORY = "container-components"
IMAGE = "container-components/container-app"
SERVICE = "web"
BASE = TagReference("debian", base_image.SUITE)
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
SEE_PIPELINE = f"See `dockgate pipeline show {PIPELINE}`."
SEE_SERVER = "See logs/server.log in the data folder."
START_SECONDS = 60
# For an answer of the server or the registry, on a machine that is busy.
ANSWER_SECONDS = 60
RUN_SECONDS = 900
# Exit codes of a command that reports the outcome of an execution.
OUTCOMES = range(4)

T = TypeVar("T")


class Story:
    """The demo's steps."""

    def __init__(self, demo: DemoFolder, terminal: Terminal) -> None:
        self._demo = demo
        self._terminal = terminal

    def play(self) -> None:
        """Play the demo. Raises DemoError at the first unexpected result."""
        began = time.monotonic()
        self._start()
        rejected_approval = self._push_vulnerable()
        upgrades = self._show_verdict(rejected_approval)
        self._push_upgraded(upgrades)
        self._terminal.show_step(5, "Show the pipeline")
        self._terminal.run("dockgate", "pipeline", "executions", PIPELINE)
        self._terminal.run("dockgate", "pipeline", "show", PIPELINE)
        self._terminal.run("dockgate", "deploy", "show", SERVICE)
        self._terminal.say(f"\nThe demo took {time.monotonic() - began:.0f} seconds.")
        self._show_next_commands()

    def _start(self) -> None:
        demo, terminal = self._demo, self._terminal
        terminal.show_step(1, "Start a server with advisories, a repository and a pipeline")
        if demo.is_running:
            self._await_server()
            terminal.say(f"   The server of an earlier run is up at {demo.server}.")
        else:
            terminal.run("dockgate", "up", "--detach")
        terminal.run("dockgate", "db", "build", "--from", str(FILES / "advisories"))
        self._publish_base()
        for name in ("repository", "service", "pipeline"):
            document = demo.folder / f"{name}.yaml"
            usual = f"127.0.0.1:{DEFAULT_PORTS[1]}/"
            document.write_text((FILES / document.name).read_text("utf-8").replace(usual, f"{demo.registry}/"), "utf-8")
            terminal.run("dockgate", "apply", document.name, folder=demo.folder)

    def _push_vulnerable(self) -> Mapping[str, Any]:
        terminal, work = self._terminal, self._demo.working_copy
        terminal.show_step(2, "Push an application with old requirements")
        shutil.rmtree(work, ignore_errors=True)
        terminal.run("git", "clone", "--quiet", f"{self._demo.server}/git/{REPOSITORY}.git", str(work))
        shutil.copytree(FILES / "app", work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        terminal.say(_indent((work / "requirements.txt").read_text("utf-8")))
        execution = self._push("Add a page that lists its dependencies")
        build = _find_action(execution, "Build")
        _expect("build", build["state"], "Succeeded", build["reason"])
        terminal.show_result(f"BuildVariables.IMAGE_DIGEST is {build['variables']['IMAGE_DIGEST']}")
        return execution

    def _show_verdict(self, execution: Mapping[str, Any]) -> dict[str, str]:
        terminal = self._terminal
        terminal.show_step(3, "The gate rejects it because of its vulnerabilities")
        approval = _find_action(execution, "ContainerVulnerabilityAssessment")["approval"]
        _expect("first image's approval", approval["state"], "Rejected")
        _expect("first execution", execution["execution"]["state"], "Failed")
        _expect("Deploy stage", _find_stage(execution, "Deploy")["state"], "Pending")
        report = self._demo.folder / "verdict.json"
        terminal.run("dockgate", "verdict", "show", approval["verdict"], "-o", "table", "-o", f"json={report}")
        terminal.show_result("Rejected. Nothing was deployed.")
        return _read_upgrades(report)

    def _push_upgraded(self, upgrades: Mapping[str, str]) -> None:
        terminal, work = self._terminal, self._demo.working_copy
        terminal.show_step(4, "Push the upgrades that the verdict recommends: approved and deployed")
        requirements = work / "requirements.txt"
        requirements.write_text(upgrade_requirements(requirements.read_text("utf-8"), upgrades), "utf-8")
        terminal.run("git", "--no-pager", "diff", "--unified=0", folder=work)
        execution = self._push("Upgrade the requirements as the verdict recommends")
        _expect("second execution", execution["execution"]["state"], "Succeeded")
        approval = _find_action(execution, "ContainerVulnerabilityAssessment")["approval"]
        _expect("second image's approval", approval["state"], "Approved")
        terminal.show_result(f"Approved: {approval['summary']}; {approval['image']}")
        terminal.run("dockgate", "deploy", "scale", SERVICE, "1")
        task = self._require_running_task(approval["image"])
        self._check_application(task)
        self._check_podman(task, approval["image"])

    def _await_server(self) -> None:
        """Wait for a server that an interrupted run started."""
        for _ in _poll(START_SECONDS, lambda: None):
            with suppress(OSError, DemoError):
                _get(f"{self._demo.server}/api/v1/status")
                return
        raise DemoError(
            f"a server uses {self._demo.data}, but does not answer at {self._demo.server}",
            "Stop it with `dockgate down`, see logs/server.log there, and run the demo again.",
        )

    def _publish_base(self) -> None:
        terminal, tar = self._terminal, self._demo.base_image
        if self._fetch_manifest(BASE.repository, BASE.tag):
            terminal.say(f"   {BASE}, the base image, is already in the registry.")
            return
        if not tar.exists():
            terminal.say("   Building the base image from the Debian archive (cached for later runs):")
            unfinished_tar = tar.with_name("unfinished.tar")
            unfinished_tar.unlink(missing_ok=True)
            terminal.run(*base_image.build_command(unfinished_tar))
            unfinished_tar.replace(tar)
        reference = str(RepositoryReference(str(BASE), self._demo.registry))
        terminal.run("podman", "import", "--quiet", str(tar), reference)
        login = str(self._demo.folder / "registry-login.json")
        terminal.run("dockgate", "registry", "authfile", "--push", BASE.repository, login)
        terminal.run("podman", "push", "--quiet", "--tls-verify=false", f"--authfile={login}", reference)
        Path(login).unlink()

    def _fetch_manifest(self, repository: str, reference: str) -> str | None:
        """A manifest in the registry, None if it does not exist."""
        demo = self._demo
        query = urlencode({"service": REGISTRY_SERVICE, "scope": f"repository:{repository}:pull"})
        token = json.loads(_get(f"{demo.server}/registry/token?{query}"))["token"]
        try:
            return _get(f"http://{demo.registry}/v2/{repository}/manifests/{reference}", token)
        except HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise

    def _push(self, message: str) -> Mapping[str, Any]:
        """Commit and push everything, follow the build, and return the execution when it has ended."""
        terminal, work = self._terminal, self._demo.working_copy
        author = ("-c", "user.name=Dana Demo", "-c", "user.email=dana@example.org")
        terminal.ask("git", "add", "--all", folder=work)
        terminal.run("git", *author, "commit", "--quiet", "--allow-empty", "-m", message, folder=work)
        commit = terminal.ask("git", "rev-parse", "HEAD", folder=work).strip()
        terminal.run("git", "push", "origin", "HEAD:main", folder=work)
        execution = self._await_execution(commit)
        terminal.run("dockgate", "pipeline", "logs", "--follow", execution, codes=OUTCOMES)
        return self._await_end(execution)

    def _await_execution(self, commit: str) -> str:
        ask = ("dockgate", "pipeline", "executions", PIPELINE, "-o", "json")
        for executions in _poll(START_SECONDS, lambda: self._terminal.ask_json(*ask)):
            if executions and executions[0]["trigger"].get("commit") == commit:
                return str(executions[0]["id"])
        raise DemoError(f"the push of {commit} started no execution within {START_SECONDS} seconds", SEE_PIPELINE)

    def _await_end(self, execution: str) -> Mapping[str, Any]:
        ask = ("dockgate", "pipeline", "show", PIPELINE, "--execution", execution, "-o", "json")
        for answer in _poll(RUN_SECONDS, lambda: self._terminal.ask_json(*ask)):
            if answer["execution"]["state"] not in ("Pending", "InProgress"):
                return dict(answer)
        raise DemoError(f"the execution {execution} did not end within {RUN_SECONDS} seconds", SEE_PIPELINE)

    def _require_running_task(self, digest: str) -> Mapping[str, Any]:
        (task,) = self._terminal.ask_json("dockgate", "deploy", "show", SERVICE, "-o", "json")["tasks"]
        _expect("task", task["state"], "RUNNING")
        _expect("task's digest", task["digest"], digest)
        self._terminal.show_result(f"Task {task['id']} of revision {task['revision']} is RUNNING")
        return dict(task)

    def _check_application(self, task: Mapping[str, Any]) -> None:
        url = f"http://127.0.0.1:{task['ports'][0][1]}/"
        self._terminal.say(f"   GET {url}")
        self._terminal.say(_indent(_get(url)))
        self._terminal.show_result("The application answers")

    def _check_podman(self, task: Mapping[str, Any], digest: str) -> None:
        """Check that podman runs the approved digest, by the config digest in the approved manifest."""
        approved_image = str(ImageReference(str(RepositoryReference(IMAGE, self._demo.registry)), digest))
        manifest = json.loads(self._fetch_manifest(IMAGE, digest) or "{}")
        reported_image = self._terminal.ask("podman", "inspect", "--format", "{{.ImageName}} {{.Image}}", task["id"])
        _expect("image in podman", reported_image.split(), [approved_image, get_hex(manifest["config"]["digest"])])
        self._terminal.show_result(f"podman runs {digest}, the approved digest")

    def _show_next_commands(self) -> None:
        path = {"PATH": f"{Path(sys.executable).parent}:$PATH"}
        exports = "".join(f"  export {name}={value}\n" for name, value in (path | self._demo.user_environment).items())
        self._terminal.say(
            f"""
The server is still running. Try:
{exports}
  dockgate pipeline show {PIPELINE}
  dockgate image list
  podman ps
  git clone {self._demo.server}/git/{REPOSITORY}.git
  {make_console_url(self._demo.server)} in a browser: the console

  dockgate down --purge   stops the server and deletes all data"""
        )


def _find_stage(execution: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next(stage for stage in execution["stages"] if stage["name"] == name)


def _find_action(execution: Mapping[str, Any], stage: str) -> Mapping[str, Any]:
    """The stage's only action. Raises DemoError with the reason if it did not start."""
    action: Mapping[str, Any] = _find_stage(execution, stage)["actions"][0]
    if not action["attempt"]:
        raise DemoError(f"the stage {stage} did not start: {execution['execution']['reason']}", SEE_PIPELINE)
    return action


def _read_upgrades(report: Path) -> dict[str, str]:
    """The recommended version of each Python project, by normalized name."""
    platforms = json.loads(report.read_text("utf-8"))["platforms"]
    upgrades = {
        normalize_pypi_name(upgrade["name"]): str(upgrade["fixed"])
        for platform in platforms
        for upgrade in platform["remediation"]["upgrades"]
        if is_of_type(upgrade["package"], "pypi")
    }
    if not upgrades:
        raise DemoError("the verdict recommends no upgrade of a Python package", SEE_PIPELINE)
    return upgrades


def upgrade_requirements(requirements: str, upgrades: Mapping[str, str]) -> str:
    """The requirements with pinned versions replaced by the recommended ones."""

    def pin_version(match: re.Match[str]) -> str:
        return f"{match[1]}=={upgrades.get(normalize_pypi_name(match[1]), match[2])}"

    return re.sub(r"(?m)^([A-Za-z0-9._-]+)==(\S+)$", pin_version, requirements)


def _get(url: str, token: str | None = None) -> str:
    """Get a URL of this machine, without a proxy. HTTPError unless it succeeds, DemoError if nothing answers."""
    headers = {"Accept": f"text/html, {MANIFEST}"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - our own address
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=ANSWER_SECONDS) as answer:
            return bytes(answer.read()).decode()
    except HTTPError:
        raise
    except OSError as error:
        raise DemoError(f"{url} does not answer: {error}", SEE_SERVER) from error


def _expect(subject: str, actual: object, expected_value: object, reason: str | None = None) -> None:
    if actual != expected_value:
        raise DemoError(
            f"unexpected {subject}: {actual!r} instead of {expected_value!r}{reason and f' ({reason})'}", SEE_PIPELINE
        )


def _poll(seconds: float, ask: Callable[[], T]) -> Iterator[T]:
    """The results of repeated calls of `ask`, for at most `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield ask()
        time.sleep(0.3)


def _indent(text: str) -> str:
    return "".join(f"   | {line}\n" for line in text.splitlines()).rstrip("\n")
