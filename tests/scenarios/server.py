"""A running server on memory adapters, spoken to by its API alone: what the scenarios drive."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import uvicorn
from tests.fakes.attestor import MemoryAttestor
from tests.fakes.builder import MemoryBuilder
from tests.fakes.event_target import MemoryEventTarget
from tests.fakes.registry import MemoryRegistry, MemoryStorage
from tests.fakes.repository_files import MemoryFiles
from tests.fakes.repository_host import MemoryHost
from tests.fakes.target import MemoryTarget
from tests.fakes.webhooks import MemoryWebhooks
from tests.parts import NO_AUTHORITIES, wait_until
from tests.ports import find_free_port
from tests.postgres import drop_database
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import PIPELINE, SERVICE
from tests.scenarios.planned_images import (
    AdjustableClock,
    AdvisoryDatabase,
    list_planned_advisories,
    make_advisory,
    make_planned_inventory,
)
from tests.scenarios.recorded_branches import record_branch
from tests.store.factories import FACTORIES

from dockgate.bootstrap.assemble import assemble
from dockgate.bootstrap.dependencies import PAUSE_SECONDS, Adapters, Options
from dockgate.config import Settings
from dockgate.delivery.contributors import NO_OBJECT
from dockgate.delivery.ports import AnswerSender, Clock, FindingsSource
from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.delivery.repository_files import RepositoryFiles
from dockgate.delivery.source_ports import RefUpdate, RepositoryHost
from dockgate.events.model import LOG_TARGET, Message, TargetType
from dockgate.events.model import Target as EventTarget
from dockgate.events.ports import TargetAdapter, Webhooks
from dockgate.gate.model import Policy
from dockgate.identity.ports import IdentityProvider
from dockgate.identity.sign_in import GroupRole
from dockgate.scanner.model import Inventory, LayerBuildInfo, ScannedPlatform
from dockgate.server import connections
from dockgate.services.feeds.advisories import CurrentDatabase
from dockgate.services.identity.provider_sign_in import RETURN_PATH
from dockgate.services.registry.registry_tokens import RegistryAccess
from dockgate.services.registry.webhook_secrets import WebhookSecrets
from dockgate.services.web_services import GitBackend
from dockgate.shared.addresses import make_console_url
from dockgate.shared.errors import NotFoundError, UnavailableError
from dockgate.shared.references import ImageReference
from dockgate.shared.timestamps import format_time
from dockgate.store import Store
from dockgate.vulnerabilities.model import Severity
from dockgate.web.app import create_app
from dockgate.web.recent_calls import RecentCalls

SECRET = "only-for-tests"


class ServerSystem:
    """`defects.System`, for our server. A scan ends when the registry's notification has come, so that a case decides
    what comes first."""

    def __init__(
        self,
        folder: Path,
        alter: Callable[[Store], Store] = lambda store: store,
        policy: Callable[[str], Policy] | None = None,
        *,
        port: int | None = None,
        sweep_seconds: float = PAUSE_SECONDS,
        webhooks: Webhooks | None = None,
        answer_senders: Mapping[str, AnswerSender] | None = None,
        findings: FindingsSource | None = None,
        source: RepositoryHost | None = None,
        files: RepositoryFiles | None = None,
        git_backend: GitBackend | None = None,
        access: RegistryAccess | None = None,
        database: str = "sqlite",
        open_store: Callable[[Path], Store] | None = None,
        target_adapters: Sequence[TargetAdapter] | None = None,
        feeds: Settings | None = None,
        identity_provider: Callable[[str, Clock], IdentityProvider] | None = None,
        group_roles: Sequence[GroupRole] = (),
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`database` is a name of `factories.FACTORIES`, unless `open_store` is given. With `feeds` the server has a
        real advisory database instead of the planned one, and updates it by itself. `identity_provider` is made from
        the URL to return to, and a clock."""
        self.clock = AdjustableClock()
        self.url = f"http://127.0.0.1:{port or find_free_port()}"
        self.console_url = make_console_url(self.url)
        self.plans: dict[str, tuple[str, PlannedFindings]] = {}
        self.scan_may_end: dict[str, threading.Event] = {}
        self.registry = MemoryRegistry()
        self.storage = MemoryStorage(self.registry)
        self.builder = MemoryBuilder(self.registry, self.registry.push)
        self.webhooks = MemoryWebhooks()
        self.log = MemoryEventTarget(TargetType.LOG)
        self.attestor = MemoryAttestor()
        self.attachments: dict[str, list[bytes]] = {}
        self.registry_down = False
        self.advisories = AdvisoryDatabase(self.clock, list_planned_advisories())
        self.folder = folder
        self.store = (open_store or FACTORIES[database])(folder)
        self.events = 0
        self.pushes = 0
        scratch = folder / "scratch"
        scratch.mkdir(exist_ok=True)
        host = source or MemoryHost()
        self.adapters = Adapters(
            store=alter(self.store),
            source=host,
            files=files or MemoryFiles(host),  # type: ignore[arg-type]
            git_backend=git_backend or _refuse_git,
            builder=self.builder,
            registry=self.registry,
            registry_access=access or RegistryAccess(RegistryTokens(folder / "keys", self.clock)),
            read_image=self._read_platforms,
            resolve_image=self._resolve,
            attached_documents=self._read_attachments,
            webhooks=webhooks or self.webhooks,
            webhook_secrets=WebhookSecrets(SECRET, folder / "hooks.json"),
            targets={"podman": MemoryTarget()},
            advisories=CurrentDatabase(feeds.advisories) if feeds else lambda: self.advisories,
            clock=self.clock,
            uptime=self.clock.read_uptime,
            answer_senders=answer_senders or {},
            findings_source=findings,
            attestor=self.attestor,
            target_adapters=[self.log, *(target_adapters or ())],
            builtin_targets=[EventTarget(LOG_TARGET, TargetType.LOG, "the server's log")],
            registry_storage=self.storage,
            identity_provider=identity_provider(f"{self.console_url}{RETURN_PATH}", self.clock)
            if identity_provider
            else None,
        )
        self.options = Options(
            settings=feeds or Settings(folder, folder),
            url=self.url,
            secret=SECRET,
            scratch=scratch,
            should_update_feeds=feeds is not None,
            pause_seconds=sweep_seconds,
            parallel_scans=64,
            group_roles=tuple(group_roles),
        )
        app = assemble(self.adapters, self.options, read_policy=policy, on_lost=lambda: None, check=check)
        self.services, self.use_cases, self.background = app.services, app.use_cases, app.background
        self.workflow_retention = app.workflow_retention
        self.app = create_app(self.services)
        # More than tests make: how many come within a minute depends on the machine.
        self.app.state.refused_calls, self.app.state.recorded_calls = RecentCalls(1_000_000), RecentCalls(1_000_000)
        self.web = uvicorn.Server(
            uvicorn.Config(
                self.app,
                port=int(self.url.rpartition(":")[2]),
                **{**connections.make_settings(), "timeout_graceful_shutdown": 1},
            )
        )
        self.thread = threading.Thread(target=self.web.run, name="web")
        self.client = httpx.Client(base_url=f"{self.url}/api/v1", timeout=30, verify=NO_AUTHORITIES)

    def __enter__(self) -> Self:
        self.background.launch()
        self.thread.start()
        wait_until(lambda: self.web.started)
        return self

    def close(self) -> None:
        """End a system that was never started: dbos has one engine in a process, which the next system would get."""
        self.client.close()
        self.background.close()
        self.store.close()

    def discard(self) -> None:
        """Close it, and leave its database empty for the next one."""
        self.close()
        drop_database(self.folder)

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for event in self.scan_may_end.values():
            event.set()
        self.client.close()
        self.web.should_exit = True
        self.thread.join()
        self.discard()

    def _read_attachments(self, repository: str, digest: str) -> Sequence[bytes]:
        """What lies beside an image, in every repository unless there is more under `REPOSITORY@DIGEST`.

        UnavailableError while `registry_down` is set.
        """
        if self.registry_down:
            raise UnavailableError("the registry does not answer")
        return self.attachments.get(f"{repository}@{digest}", self.attachments.get(digest, []))

    # --- defects.System ------------------------------------------------------------------------------------------

    def plan_image(self, name: str, result: PlannedFindings) -> str:
        digest = f"sha256:{sha256(name.encode()).hexdigest()}"
        self.plans[digest] = (name, result)
        self.scan_may_end[digest] = threading.Event()
        self.builder.digests[f"{name}/app"] = digest
        self.apply(f"kind: Repository\nname: {name}\n")
        self.apply(SERVICE.format(name=name, count=1))
        self.apply(PIPELINE.format(name=name, repository=name, service=name, timeout="7d"))
        self.push(name)
        return digest

    def push(
        self,
        repository: str,
        by: str = "",
        *,
        files: Mapping[str, str] | None = None,
        branch: str = "main",
        **commit: Any,
    ) -> str:
        """A push of one commit by a principal, as git's host notes it; no pipeline is started by it. `commit`: see
        `MemoryHost.push`. Returns the commit's id."""
        host = self.services.sources.host
        assert isinstance(host, MemoryHost)
        old = host.list_heads(repository).get(branch, NO_OBJECT)
        new = host.push(repository, files or {"Dockerfile": "FROM scratch\n"}, branch=branch, **commit)
        self.record_moves(repository, by, RefUpdate(f"refs/heads/{branch}", old, new))
        record_branch(self.store, repository, branch, new)
        return new

    def record_moves(self, repository: str, by: str, *updates: RefUpdate) -> None:
        """Notes that a principal has moved references."""
        self.pushes += 1
        self.services.sources.pushes.record_refs(f"push-{self.pushes}", repository, by, None, updates)

    def plan_foreign_image(self, name: str, result: PlannedFindings) -> str:
        """An image in another registry, that no pipeline of ours builds. Returns its digest."""
        digest = f"sha256:{sha256(name.encode()).hexdigest()}"
        self.plans[digest] = (name, result)
        self.scan_may_end[digest] = threading.Event()
        return digest

    def request_approval(self, image: str) -> str:
        execution: str = self.post(f"/pipelines/{self.plans[image][0]}/executions")["id"]
        wait_until(lambda: self._find_approval(execution))
        return execution

    def request_approval_after_scan(self, image: str) -> str:
        self.end_scan(image)
        wait_until(lambda: self._scan_state(image) == "Done")
        return self.request_approval(image)

    def accept(self, image: str) -> None:
        vulnerability = make_advisory("critical-fixed-0", Severity.CRITICAL, "2").id
        until = format_time(self.clock() + timedelta(days=30))
        output = {"owner": "ana", "reason": "It is never called.", "until": until}
        self.post("/waivers", {**output, "vulnerability": vulnerability, "image": image})

    def end_scan(self, image: str) -> None:
        self.scan_may_end[image].set()
        self.events += 1
        self.notify_push(image, f"event-{self.events}")

    def answer(self, execution: str) -> str | None:
        state: str = "Waiting"
        end = time.monotonic() + 10
        while state == "Waiting" and time.monotonic() < end:
            state = self._find_approval(execution)["state"]
            time.sleep(0.02)  # the server needs the processor, too
        return None if state == "Waiting" else state

    def read_summary(self, execution: str) -> str:
        return str(self._find_approval(execution)["summary"])

    def count_answers(self, execution: str) -> int:
        approval = self._find_approval(execution)
        verdicts = self.get(f"/images/{approval['image']}")["verdicts"]
        return [verdict["cause"] for verdict in verdicts].count(approval["id"])

    def count_expired_rows(self) -> int:
        self.clock.ahead += timedelta(days=91)
        self.use_cases.purge.run()  # which the server does in every 30th round
        return len(self.get("/approvals"))

    def deploy_image(self, image: str) -> None:
        execution = self.request_approval(image)
        self.end_scan(image)
        wait_until(lambda: self.get(f"/executions/{execution}")["execution"]["state"] == "Succeeded")

    def publish_advisory(self, image: str) -> None:
        advisory = make_advisory(self.plans[image][0], Severity.CRITICAL, "2")
        self.advisories.advisories = [*self.advisories.advisories, advisory]

    def is_at_risk(self, image: str) -> bool:
        name, _ = self.plans[image]
        wait_until(lambda: self.get(f"/services/{name}")["service"]["at_risk"], seconds=10)
        service = self.get(f"/services/{name}")["service"]
        return bool(service["at_risk"]) and service["at_risk_until"] > format_time(self.clock())

    def is_running(self, image: str) -> bool:
        tasks = self.get(f"/services/{self.plans[image][0]}")["tasks"]
        return [task["digest"] for task in tasks if task["state"] == "RUNNING"] == [image]

    def redeploy_image(self, image: str) -> str:
        execution = self.post(f"/pipelines/{self.plans[image][0]}/executions")["id"]
        wait_until(lambda: self.get(f"/executions/{execution}")["execution"]["state"] in ("Failed", "Succeeded"))
        return "Deployed" if self.get(f"/executions/{execution}")["execution"]["state"] == "Succeeded" else "Refused"

    def list_notifications(self, kind: str) -> dict[str, Message]:
        """What the log got by the built-in rule of events of a kind, by their ids."""
        prefix = "default/"
        messages = self.log.list_messages(LOG_TARGET)
        return {
            key.removeprefix(prefix): message for key, message in messages.items() if key.startswith(f"{prefix}{kind}/")
        }

    # --- the API -------------------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.is_success, answer.text
        return answer.json()

    def post(self, path: str, body: object = None) -> Any:
        answer = self.client.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def apply(self, document: str) -> None:
        answer = self.client.post("/apply", content=document)
        assert answer.is_success, answer.text

    def notify_push(self, image: str, event: str, secret: str = SECRET) -> httpx.Response:
        """What the registry sends after a push."""
        self.registry.push(f"{self.plans[image][0]}/app", "latest", image)
        target = {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": image,
            "repository": f"{self.plans[image][0]}/app",
            "tag": "latest",
        }
        body = {"events": [{"id": event, "action": "push", "target": target}]}
        return slow_http.post(f"{self.url}/registry/events", json=body, headers={"Authorization": f"Bearer {secret}"})

    def _find_approval(self, execution: str) -> Any:
        for stage in self.get(f"/executions/{execution}")["stages"]:
            for action in stage["actions"]:
                if action["approval"]:
                    return action["approval"]
        return None

    def _scan_state(self, image: str) -> str:
        answer = self.client.get(f"/images/{image}")
        return answer.json()["scan"]["state"] if answer.is_success and answer.json()["scan"] else ""

    # --- the scanner ---------------------------------------------------------------------------------------------

    def _resolve(self, reference: str, *, should_check_existence: bool = False) -> ImageReference:
        """Any repository has every image, but `empty.example/app` and those named `empty` have none:
        `elsewhere.example/name:name` is the image of that name."""
        repository, at, digest = reference.partition("@")
        if should_check_existence and (repository == "empty.example/app" or repository.endswith("/empty")):
            raise NotFoundError(f"there is no image {reference}", "Is it pushed?")
        if at:
            return ImageReference(repository.removeprefix(f"{self.registry.address}/"), digest)
        repository, _, tag = reference.rpartition(":")
        if repository.startswith("down.example/"):
            raise UnavailableError("the registry down.example cannot be reached", "Does it run?")
        for digest, (name, _) in self.plans.items():
            if name == tag:
                return ImageReference(repository.removeprefix(f"{self.registry.address}/"), digest)
        raise NotFoundError(f"there is no image {reference}", "Is it pushed?")

    def _read_platforms(self, repository: str, digest: str) -> Sequence[ScannedPlatform]:
        return [ScannedPlatform(entry, self._list_origins(entry)) for entry in self._read(repository, digest)]

    def _list_origins(self, inventory: Inventory) -> tuple[LayerBuildInfo, ...]:
        """What manifest and config say of the layers: nothing."""
        return ()

    def _read(self, repository: str, digest: str) -> Sequence[Inventory]:
        if digest not in self.plans:
            raise NotFoundError(f"no image {digest} in {repository}", "Push it first.")
        self.scan_may_end[digest].wait(600)  # longer than any case, but no run hangs on it
        name, result = self.plans[digest]
        return [make_planned_inventory(digest, name, result)]


async def _refuse_git(*_: object) -> Any:
    raise NotFoundError("no git here")
