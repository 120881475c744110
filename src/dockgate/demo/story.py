"""The story: two commits go in; the first image is rejected, the second is approved and runs.

Everything is done by the commands and files that a user has. It may be played again in the same place, also after it
was interrupted: the pushes then start new executions.
"""

import json
import re
import shutil
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlencode

from dockgate.delivery.registry_access import SERVICE as REGISTRY_SERVICE
from dockgate.demo import base
from dockgate.demo.place import USUAL_PORTS, Place
from dockgate.demo.terminal import DemoError, Terminal

HERE = Path(__file__).parent
PIPELINE = "ContainerBuildDeployPipeline"
REPOSITORY = "container-components"
IMAGE = "container-components/container-app"
SERVICE = "web"
BASE = f"debian:{base.SUITE}"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
SEE = f"`dockgate pipeline show {PIPELINE}` tells more."
START_SECONDS = 30
RUN_SECONDS = 900
# Exit codes of a command that tells how an execution ended.
OUTCOMES = range(4)

T = TypeVar("T")


class Story:
    def __init__(self, place: Place, terminal: Terminal) -> None:
        self._place = place
        self._terminal = terminal

    def play(self) -> None:
        """Raises DemoError as soon as something is not as the story has it."""
        began = time.monotonic()
        self._start()
        rejected = self._push_vulnerable()
        upgrades = self._hear_the_verdict(rejected)
        self._push_upgraded(upgrades)
        self._look()
        self._terminal.say(f"\nThe story took {time.monotonic() - began:.0f} seconds.")
        self._say_goodbye()

    # --- the five steps ------------------------------------------------------------------------------------------

    def _start(self) -> None:
        place, terminal = self._place, self._terminal
        terminal.step(1, "A server, its advisories, a repository and a pipeline")
        if place.running:
            self._await_server()
            terminal.say(f"   The server of an earlier run answers at {place.server}.")
        else:
            terminal.run("dockgate", "up", "--detach")
        terminal.run("dockgate", "db", "build", "--from", str(HERE / "advisories"))
        self._publish_base()
        for name in ("repository", "service", "pipeline"):
            document = place.folder / f"{name}.yaml"
            usual = f"127.0.0.1:{USUAL_PORTS[1]}/"
            document.write_text((HERE / document.name).read_text("utf-8").replace(usual, f"{place.registry}/"), "utf-8")
            terminal.run("dockgate", "apply", document.name, folder=place.folder)

    def _push_vulnerable(self) -> Mapping[str, Any]:
        terminal, work = self._terminal, self._place.work
        terminal.step(2, "A push of an application with old requirements: built and pushed")
        shutil.rmtree(work, ignore_errors=True)
        terminal.run("git", "clone", "--quiet", f"{self._place.server}/git/{REPOSITORY}.git", str(work))
        shutil.copytree(HERE / "app", work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        terminal.say(_indented((work / "requirements.txt").read_text("utf-8")))
        execution = self._push("A page that says what it is made of")
        build = _action(execution, "Build")
        _expect("the build", build["state"], "Succeeded", build["reason"])
        terminal.fact(f"BuildVariables.IMAGE_DIGEST is {build['variables']['IMAGE_DIGEST']}")
        return execution

    def _hear_the_verdict(self, execution: Mapping[str, Any]) -> dict[str, str]:
        terminal = self._terminal
        terminal.step(3, "The gate: its vulnerabilities forbid it")
        approval = _action(execution, "ContainerVulnerabilityAssessment")["approval"]
        _expect("the first image's approval", approval["state"], "Rejected")
        _expect("the first execution", execution["execution"]["state"], "Failed")
        _expect("its Deploy stage", _stage(execution, "Deploy")["state"], "Pending")
        report = self._place.folder / "verdict.json"
        terminal.run("dockgate", "verdict", "show", approval["verdict"], "-o", "table", "-o", f"json={report}")
        terminal.fact("Rejected, and nothing was deployed.")
        return _upgrades(report)

    def _push_upgraded(self, upgrades: Mapping[str, str]) -> None:
        terminal, work = self._terminal, self._place.work
        terminal.step(4, "A push with the verdict's own remediation: approved, deployed, asked")
        requirements = work / "requirements.txt"
        requirements.write_text(raised(requirements.read_text("utf-8"), upgrades), "utf-8")
        terminal.run("git", "--no-pager", "diff", "--unified=0", folder=work)
        execution = self._push("Raise the requirements as the verdict advised")
        _expect("the second execution", execution["execution"]["state"], "Succeeded")
        approval = _action(execution, "ContainerVulnerabilityAssessment")["approval"]
        _expect("the second image's approval", approval["state"], "Approved")
        terminal.fact(f"Approved: {approval['summary']}; {approval['image']}")
        terminal.run("dockgate", "deploy", "scale", SERVICE, "1")
        task = self._running_task(approval["image"])
        self._ask_the_application(task)
        self._ask_podman(task, approval["image"])

    def _look(self) -> None:
        self._terminal.step(5, "What the pipeline says of it")
        self._terminal.run("dockgate", "pipeline", "executions", PIPELINE)
        self._terminal.run("dockgate", "pipeline", "show", PIPELINE)
        self._terminal.run("dockgate", "deploy", "show", SERVICE)

    # --- what they are made of -----------------------------------------------------------------------------------

    def _await_server(self) -> None:
        """An interrupted run may have left it starting."""
        if not any(_until(START_SECONDS, lambda: _answers(f"{self._place.server}/api/v1/status"))):
            raise DemoError(
                f"a server works on {self._place.data} and does not answer at {self._place.server}",
                "Stop it with `dockgate down`, see logs/server.log there, and start the demo again.",
            )

    def _publish_base(self) -> None:
        terminal, tar = self._terminal, self._place.base
        repository, _, tag = BASE.partition(":")
        if self._manifest(repository, tag):
            terminal.say(f"   {BASE}, the base image, is in the registry since an earlier run.")
            return
        if not tar.exists():
            terminal.say("   The base image, from the Debian archive (kept for the next time):")
            fresh = tar.with_name("unfinished.tar")
            fresh.unlink(missing_ok=True)
            terminal.run(*base.command(fresh))
            fresh.replace(tar)
        reference = f"{self._place.registry}/{BASE}"
        terminal.run("podman", "import", "--quiet", str(tar), reference)
        login = str(self._place.folder / "registry-login.json")
        terminal.run("dockgate", "registry", "authfile", "--push", repository, login)
        terminal.run("podman", "push", "--quiet", "--tls-verify=false", f"--authfile={login}", reference)
        Path(login).unlink()

    def _manifest(self, repository: str, reference: str) -> str:
        """A manifest in the registry; "" where there is none."""
        place = self._place
        query = urlencode({"service": REGISTRY_SERVICE, "scope": f"repository:{repository}:pull"})
        token = json.loads(_get(f"{place.server}/registry/token?{query}"))["token"]
        try:
            return _get(f"http://{place.registry}/v2/{repository}/manifests/{reference}", token)
        except HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return ""
            raise

    def _push(self, message: str) -> Mapping[str, Any]:
        """Commits everything, pushes it, follows the build, and returns the execution when it is over."""
        terminal, work = self._terminal, self._place.work
        author = ("-c", "user.name=Dana Demo", "-c", "user.email=dana@example.org")
        terminal.ask("git", "add", "--all", folder=work)
        terminal.run("git", *author, "commit", "--quiet", "--allow-empty", "-m", message, folder=work)
        commit = terminal.ask("git", "rev-parse", "HEAD", folder=work).strip()
        terminal.run("git", "push", "origin", "HEAD:main", folder=work)
        execution = self._execution_of(commit)
        terminal.run("dockgate", "pipeline", "logs", "--follow", execution, codes=OUTCOMES)
        return self._end_of(execution)

    def _execution_of(self, commit: str) -> str:
        for newest in _until(START_SECONDS, lambda: self._executions()[:1]):
            if newest and newest[0]["trigger"].get("commit") == commit:
                return str(newest[0]["id"])
        raise DemoError(f"the push of {commit} started no execution within {START_SECONDS} seconds")

    def _executions(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self._terminal.ask_json(
            "dockgate", "pipeline", "executions", PIPELINE, "-o", "json"
        )
        return found

    def _end_of(self, execution: str) -> Mapping[str, Any]:
        ask = ("dockgate", "pipeline", "show", PIPELINE, "--execution", execution, "-o", "json")
        for answer in _until(RUN_SECONDS, lambda: self._terminal.ask_json(*ask)):
            if answer["execution"]["state"] not in ("Pending", "InProgress"):
                return dict(answer)
        raise DemoError(f"{execution} is not over after {RUN_SECONDS} seconds")

    def _running_task(self, digest: str) -> Mapping[str, Any]:
        (task,) = self._terminal.ask_json("dockgate", "deploy", "show", SERVICE, "-o", "json")["tasks"]
        _expect("the task", task["state"], "RUNNING")
        _expect("the task's digest", task["digest"], digest)
        self._terminal.fact(f"Task {task['id']} of revision {task['revision']} is RUNNING")
        return dict(task)

    def _ask_the_application(self, task: Mapping[str, Any]) -> None:
        url = f"http://127.0.0.1:{task['ports'][0][1]}/"
        self._terminal.say(f"   GET {url}")
        self._terminal.say(_indented(_get(url)))
        self._terminal.fact("The application answers")

    def _ask_podman(self, task: Mapping[str, Any], digest: str) -> None:
        """podman names a running image by the digest of its configuration, which the approved manifest names too."""
        approved = f"{self._place.registry}/{IMAGE}@{digest}"
        manifest = json.loads(self._manifest(IMAGE, digest))
        said = self._terminal.ask("podman", "inspect", "--format", "{{.ImageName}} {{.Image}}", task["id"])
        _expect("what podman runs", said.split(), [approved, manifest["config"]["digest"].partition(":")[2]])
        self._terminal.fact(f"podman says that it runs {digest}, the digest that was approved")

    def _say_goodbye(self) -> None:
        path = {"PATH": f"{Path(sys.executable).parent}:$PATH"}
        exports = "".join(f"  export {name}={value}\n" for name, value in (path | self._place.exports).items())
        self._terminal.say(
            f"""
The server is still up. To look around:
{exports}
  dockgate pipeline show {PIPELINE}
  dockgate image list
  podman ps
  git clone {self._place.server}/git/{REPOSITORY}.git
  {self._place.server}/api/v1/openapi.json describes the API

  dockgate down --purge   stops it and takes all of it away"""
        )


def _stage(execution: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next(stage for stage in execution["stages"] if stage["name"] == name)


def _action(execution: Mapping[str, Any], stage: str) -> Mapping[str, Any]:
    """The stage's only action. Raises DemoError when it was not reached: what is wrong is told by its reason."""
    action: Mapping[str, Any] = _stage(execution, stage)["actions"][0]
    if not action["attempt"]:
        raise DemoError(f"{stage} was not reached: {execution['execution']['reason']}")
    return action


def _upgrades(report: Path) -> dict[str, str]:
    """Project name, as PyPI normalises it -> the version that the verdict advises."""
    platforms = json.loads(report.read_text("utf-8"))["platforms"]
    advised = {
        _normalised(upgrade["name"]): str(upgrade["fixed"])
        for platform in platforms
        for upgrade in platform["remediation"]["upgrades"]
        if upgrade["package"].startswith("pkg:pypi/")
    }
    if not advised:
        raise DemoError("the verdict advises no upgrade of a Python package")
    return advised


def raised(requirements: str, upgrades: Mapping[str, str]) -> str:
    """The requirements with each pinned version brought to the one advised."""

    def line(found: re.Match[str]) -> str:
        return f"{found[1]}=={upgrades.get(_normalised(found[1]), found[2])}"

    return re.sub(r"(?m)^([A-Za-z0-9._-]+)==(\S+)$", line, requirements)


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _get(url: str, token: str = "") -> str:
    """From this machine, past any proxy."""
    headers = {"Accept": f"text/html, {MANIFEST}"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - our own address
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return bytes(answer.read()).decode()


def _answers(url: str) -> bool:
    try:
        _get(url)
    except OSError:
        return False
    return True


def _expect(what: str, found: object, wanted: object, reason: str = "") -> None:
    if found != wanted:
        raise DemoError(f"{what} is {found!r}, not {wanted!r}{reason and f': {reason}'}", SEE)


def _until(seconds: float, ask: Callable[[], T]) -> Iterator[T]:
    """What `ask` says, again and again for so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield ask()
        time.sleep(0.3)


def _indented(text: str) -> str:
    return "".join(f"   | {line}\n" for line in text.splitlines()).rstrip("\n")
