"""A real server for tests: `dockgate up` in its own process, on free ports, with its data in a folder of the test."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.forks import ForkedProcess, Surroundings, run_forked
from tests.parts import wait_until
from tests.ports import find_free_port
from tests.pushed_images import BUSYBOX
from tests.scenarios import slow_http

from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.delivery.registry_access import Access

OS_RELEASE = 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'
PIPELINE = """\
kind: Pipeline
name: {name}
stages:
  - name: Source
    actions:
      - {{name: Source, type: source, repository: {repository}, output: SourceOutput, namespace: SourceVariables}}
  - name: Build
    actions:
      - name: Build
        type: build
        input: SourceOutput
        output: BuildOutput
        namespace: BuildVariables
        image: {repository}/app
        container: app
  - name: ContainerVulnerabilityAssessment
    actions:
      - name: Approval
        type: approval
        image: "#{{BuildVariables.IMAGE_DIGEST}}"
        timeout: {timeout}
  - name: Deploy
    actions:
      - {{name: Deploy, type: deploy, input: BuildOutput, service: {service}}}
"""
SERVICE = """\
kind: Service
name: {name}
desiredCount: {count}
taskDefinition:
  container: app
  ports: [{{containerPort: 8080}}]
  healthCheck: {{http: {{port: 8080, path: /}}, startPeriod: 20s}}
"""


@dataclass
class Live:
    """`folder` holds data, clones and logs. `module` and its `arguments` are what Python runs as the server."""

    folder: Path
    module: str = "dockgate"
    arguments: Sequence[str] = ("up",)
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=find_free_port)
    registry_port: int = field(default_factory=find_free_port)
    process: ForkedProcess | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def console_url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "DOCKGATE_DATA": str(self.data),
            "DOCKGATE_PORT": str(self.port),
            "DOCKGATE_REGISTRY_PORT": str(self.registry_port),
            "DOCKGATE_SERVER": self.url,
            "DOCKGATE_UPDATES": "off",
            "GIT_TERMINAL_PROMPT": "0",
            **self.environment,
        }

    def start(self, **environment: str) -> None:
        """Starts it, and waits until it answers or is dead."""
        self.folder.mkdir(parents=True, exist_ok=True)
        surroundings = Surroundings({**self.env, **environment}, self.folder / "server.log")
        self.process = ForkedProcess(self.module, self.arguments, surroundings)
        wait_until(lambda: self.is_answering() or not self.is_alive())

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def is_answering(self) -> bool:
        try:
            return slow_http.get(f"{self.url}/api/v1/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        """As a power cut would: SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=60)
            self.process = None

    def purge(self) -> None:
        """Stops the server and removes whatever it left, containers included."""
        if self.is_alive():
            self.stop()
        if self.data.exists():
            self.run_dockgate("down", "--purge")

    def make_registry_headers(self, *access: Access) -> dict[str, str]:
        """Headers that show the registry a token, made by the server's own key."""
        return {"Authorization": f"Bearer {RegistryTokens(self.data / 'keys').issue_token('test', access)}"}

    def run_dockgate(self, *arguments: str, code: int | None = 0) -> str:
        """Runs the command; its standard output. `code` None takes any exit."""
        result = run_forked("dockgate", arguments, self.env)
        assert code is None or result.returncode == code, f"{arguments}: {result.stdout}{result.stderr}"
        return result.stdout

    @property
    def authorization(self) -> dict[str, str]:
        """What a request shows of the token in the environment, if there is one."""
        token = self.environment.get("DOCKGATE_TOKEN")
        return {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str) -> Any:
        answer = slow_http.get_again(f"{self.url}/api/v1{path}", headers=self.authorization)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Any:
        answer = slow_http.post(
            f"{self.url}/api/v1{path}", json=body, headers={**self.authorization, **(headers or {})}, timeout=120
        )
        assert answer.is_success, answer.text
        return answer.json()

    def put(self, path: str, text: str) -> Any:
        answer = slow_http.put(f"{self.url}/api/v1{path}", content=text, headers=self.authorization)
        assert answer.is_success, answer.text
        return answer.json()

    def delete(self, path: str) -> Any:
        answer = slow_http.delete(f"{self.url}/api/v1{path}")
        assert answer.is_success, answer.text
        return answer.json()

    def apply(self, text: str, name: str = "document.yaml") -> Any:
        answer = slow_http.post(
            f"{self.url}/api/v1/apply", params={"name": name}, content=text, headers=self.authorization, timeout=30
        )
        assert answer.is_success, answer.text
        return answer.json()

    def set_up(self, repository: str = "web", pipeline: str = "Web", service: str = "web", count: int = 1) -> None:
        """A repository, a service and the pipeline between them."""
        self.apply(f"kind: Repository\nname: {repository}\n")
        self.apply(SERVICE.format(name=service, count=count))
        self.apply(PIPELINE.format(name=pipeline, repository=repository, service=service, timeout="7d"))

    def report_push(self, repository: str, digest: str, folder: Path | None = None) -> None:
        """Report a push as the registry does, whose secret is below `folder` (default: the data)."""
        secret = ((folder or self.data) / "run" / "registry-secret").read_text()
        target = {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest,
            "repository": repository,
            "tag": "one",
        }
        event = {"id": f"{repository}@{digest}", "action": "push", "target": target}
        answer = slow_http.post(
            f"{self.url}/registry/events", json={"events": [event]}, headers={"Authorization": f"Bearer {secret}"}
        )
        assert answer.status_code == 202, answer.text

    def wait_for_execution(self, execution: str, seconds: float = 90) -> Any:
        """The execution, when it is over. It may have yet to begin."""

        def read_ended_execution() -> Any:
            answer = slow_http.get_again(f"{self.url}/api/v1/executions/{execution}")
            assert answer.status_code in (200, 404), answer.text
            is_over = answer.is_success and answer.json()["execution"]["state"] in ("Succeeded", "Failed", "Stopped")
            return answer.json() if is_over else None

        return wait_until(read_ended_execution, seconds, every=0.4)


@dataclass
class Clone:
    """A clone of a repository that a server hosts, with a small application in it."""

    live: Live
    repository: str
    folder: Path

    def run_git(self, *arguments: str, code: int | None = 0) -> str:
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"]
        fast = ["-c", "core.compression=0"]  # busybox has two megabytes
        result = subprocess.run(
            ["git", "-C", str(self.folder), *identity, *fast, *arguments],
            env=self.live.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert code is None or result.returncode == code, f"git {arguments}: {result.stdout}{result.stderr}"
        return result.stdout + result.stderr

    def create_data(self) -> None:
        self.folder.mkdir(parents=True)
        self.run_git("init", "--quiet")
        self.run_git("remote", "add", "origin", f"{self.live.url}/git/{self.repository}.git")

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, message: str) -> None:
        self.run_git("add", "--all")
        self.run_git("commit", "--quiet", "--allow-empty", "--message", message)

    def push(self, code: int | None = 0) -> str:
        return self.run_git("push", "--quiet", "origin", "HEAD:main", code=code)


def application(clone: Clone, version: str, greeting: str = "hello") -> None:
    """A web server out of busybox, in an image whose package database names one package, `demo`, of this version."""
    clone.write(
        {
            "Dockerfile": "FROM scratch\nCOPY root/ /\n"
            'CMD ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]\n',
            "root/etc/os-release": OS_RELEASE,
            "root/var/lib/dpkg/status": f"Package: demo\nStatus: install ok installed\nArchitecture: amd64\n"
            f"Version: {version}\nDescription: a package\n",
            "root/www/index.html": greeting,
        }
    )
    (clone.folder / "root/bin").mkdir(exist_ok=True)
    shutil.copy(BUSYBOX, clone.folder / "root/bin/busybox")
