"""A server, put together: its store, its adapters, its engine. `serve.py` runs it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal

from dockgate.config import DEFAULT_PUSH_LIMIT
from dockgate.delivery.definitions import documents
from dockgate.delivery.definitions.service import ServiceDefinition
from dockgate.delivery.model import ActionType, Pipeline, ServiceChange
from dockgate.delivery.ports import RepositoryHost
from dockgate.gate.definitions.policy import parse_document, read_policy
from dockgate.gate.policy import PolicyVersion
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.gate.replay.policy_diff import PolicyComparison
from dockgate.identity.model import Caller, Permission, require
from dockgate.services.dependencies import Dependencies
from dockgate.services.identity import People
from dockgate.services.policies import Policies, commented
from dockgate.services.registry_tokens import RegistryAccess
from dockgate.services.webhook_secrets import WebhookSecrets
from dockgate.shared.errors import ConflictError, DatabaseError, NotFoundError, UsageError
from dockgate.shared.yaml import load
from dockgate.store import Store

if TYPE_CHECKING:
    from dockgate.workflows.engine import Engine


@dataclass(frozen=True, slots=True)
class AppliedDocument:
    """What `apply` did: `change` is created, updated or unchanged; `advice` is the next step, if there is one.
    `rollout` is the number of the rollout that changes a service; it is updated when that has succeeded."""

    kind: str
    name: str
    change: str
    advice: str = ""
    rollout: int | None = None


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """`database` describes the advisory database, or says why there is none."""

    version: str
    registry: str
    git: str
    database: dict[str, Any]


GitBackend = Callable[
    [str, str, str, str, Mapping[str, str], IO[bytes] | None],
    Awaitable[tuple[int, Mapping[str, str], AsyncGenerator[bytes, None]]],
]
"""(repository, path, method, query, headers, body) -> (status, headers, body), as `sources.git.http_backend` does it"""


@dataclass(frozen=True, slots=True)
class Server:
    """`url` is where the API answers; `hooks` knows what registries must show with their notifications, `access` who
    may do what in our own registry. A push may have `push_limit` bytes."""

    parts: Dependencies
    engine: "Engine"
    url: str
    git_backend: GitBackend
    hooks: WebhookSecrets
    access: RegistryAccess
    push_limit: int = DEFAULT_PUSH_LIMIT

    @property
    def store(self) -> Store:
        return self.parts.store

    @property
    def people(self) -> People:
        return People(self.store, self.parts.clock)

    @property
    def source(self) -> RepositoryHost:
        return self.parts.source

    def clone_url(self, repository: str) -> str:
        return f"{self.url}/git/{repository}.git"

    def status(self) -> ServerStatus:
        try:
            reader = self.parts.advisories()
            database: dict[str, Any] = {
                "digest": reader.digest,
                "coverage": [
                    {"ecosystem": item.ecosystem, "complete": item.complete, "checked_at": item.checked_at}
                    for item in reader.coverage()
                ],
            }
        except DatabaseError as error:
            database = {"error": str(error), "advice": error.advice}
        return ServerStatus(self.parts.engine_version, self.parts.registry.address, f"{self.url}/git", database)

    @property
    def policies(self) -> Policies:
        return Policies(self.store, self.parts.rules)

    def apply(self, text: str, name: str, who: Caller) -> AppliedDocument:
        """Makes the server agree with a document. Raises DefinitionError, and DeniedError when `who` may not; what is
        there already stays as it is."""
        document = load(text, name)
        require(who, Permission.ACCEPT if documents.is_about_policies(document) else Permission.ADMINISTER)
        definition = documents.of(document)
        if isinstance(definition, documents.PolicyDocument):
            return self._apply_policy(definition, text, who.name)
        if isinstance(definition, PolicyAssignment):
            return self._apply_assignment(definition, name, who.name)
        if isinstance(definition, documents.Repository):
            return self._apply_repository(definition.name)
        if isinstance(definition, Pipeline):
            if any("policy" in action.configuration for stage in definition.stages for action in stage.actions):
                require(
                    who, Permission.ACCEPT
                )  # a policy that a pipeline names judges in place of the repository's own
            return self._apply_pipeline(definition, name)
        return self._apply_service(definition, who.name)

    def _apply_repository(self, name: str) -> AppliedDocument:
        known = name in self.store.repositories.names()
        self.source.create(name)
        self.store.repositories.put(name, self.parts.now())
        return AppliedDocument(
            "Repository", name, "unchanged" if known else "created", f"git clone {self.clone_url(name)}"
        )

    def _apply_pipeline(self, pipeline: Pipeline, file: str) -> AppliedDocument:
        services = {service.name for service in self.store.services.list()}
        for stage in pipeline.stages:
            for action in stage.actions:
                settings, where = action.configuration, f"{file}: {stage.name}/{action.name}"
                if action.type is ActionType.SOURCE and settings["repository"] not in self.store.repositories.names():
                    raise UsageError(
                        f"{where}: no repository {settings['repository']!r}", "Apply its Repository document first."
                    )
                if action.type is ActionType.DEPLOY and settings["service"] not in services:
                    raise UsageError(
                        f"{where}: no service {settings['service']!r}", "Apply its Service document first."
                    )
                if action.type is ActionType.APPROVAL and "policy" in settings:
                    self._require_policy(str(settings["policy"]), where)
        before = self.store.pipelines.get(pipeline.name) if pipeline.name in self.store.pipelines.names() else None
        after = self.store.pipelines.put(pipeline, self.parts.now())
        change = "created" if before is None else "unchanged" if before.version == after.version else "updated"
        advice = f"dockgate pipeline show {pipeline.name}"
        types = {action.type for stage in pipeline.stages for action in stage.actions}
        if ActionType.DEPLOY in types and ActionType.APPROVAL not in types:
            advice = "It asks for no approval: it can deploy only digests that another pipeline got approved."
        return AppliedDocument("Pipeline", pipeline.name, change, advice)

    def _require_policy(self, policy: str, where: str) -> None:
        """UsageError naming the place for a policy that does not exist."""
        try:
            self.parts.policies(policy)
        except NotFoundError as error:
            raise UsageError(f"{where}: {error}", error.advice) from None

    def _apply_assignment(self, given: PolicyAssignment, file: str, who: str) -> AppliedDocument:
        for policy in given.policies:
            self._require_policy(policy, f"{file}: {given.name}")
        present = {record.assignment.name: record.assignment for record in self.store.policy_assignments.list()}
        before = present.pop(given.name, None)
        for other in present.values():
            if shared := sorted(set(other.repositories) & set(given.repositories)):
                raise ConflictError(
                    f"{file}: the assignment {other.name} names the repositories {shared[0]!r} already",
                    "Name a pattern in one assignment only.",
                )
        self.store.policy_assignments.put(given, who, self.parts.now())
        change = "created" if before is None else "unchanged" if before == given else "updated"
        return AppliedDocument("PolicyAssignment", given.name, change, "dockgate policy assignments")

    def _apply_policy(self, given: documents.PolicyDocument, text: str, who: str) -> AppliedDocument:
        name, policy = parse_document(given.document, self.parts.rules)
        self.policies.may_be_changed(name)
        before = self.store.policies.history(name)
        after = self.engine.put_policy(policy, text, who, "", None)
        was = before[0].version if before else 0
        change = "unchanged" if after.version == was else "updated" if was else "created"
        return AppliedDocument("Policy", name, change, f"dockgate policy show {name}")

    def put_policy(
        self, name: str, text: str, who: str, comment: str = "", expected: int | None = None
    ) -> PolicyVersion:
        """Raises what `Policies.read` does, and ChangedError when `expected` is not the present version."""
        policy = self.policies.read(text, name)
        return self.engine.put_policy(policy, text, who, commented(comment), expected)

    def try_policy(
        self, text: str, name: str, against: Literal["history", "running"], policy: str, limit: int, after: str
    ) -> PolicyComparison:
        """A candidate on what was judged, or on what runs: see `pipeline.trying`. Nothing is stored."""
        candidate = read_policy(text, name, self.parts.rules)
        trying = self.engine.trying
        return (trying.history if against == "history" else trying.running)(candidate, policy, limit, after)

    def remove_policy(self, name: str, who: str, comment: str = "", expected: int | None = None) -> PolicyVersion:
        """Raises what `store.policies.Policies.remove` does."""
        self.policies.may_be_changed(name)
        return self.engine.remove_policy(name, who, commented(comment), expected)

    def _apply_service(self, given: ServiceDefinition, who: str) -> AppliedDocument:
        name, target = given.service.name, given.service.target
        if target not in self.parts.targets:
            raise UsageError(f"{name}: this server has no target {target}", "Name another one.")
        advice = f"dockgate deploy show {name}"
        if all(service.name != name for service in self.store.services.list()):
            self.engine.put_service(given.service, given.definition)
            return AppliedDocument("Service", name, "created", advice)
        change = ServiceChange(target=target, definition=given.definition)
        rollout = self.engine.change_service(name, change, who)
        if rollout is None:
            return AppliedDocument("Service", name, "unchanged", advice)
        return AppliedDocument("Service", name, "updated", advice, rollout.number)
