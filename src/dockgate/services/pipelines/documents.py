"""`dockgate apply`: makes the server match a document."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dockgate.delivery.definitions import documents
from dockgate.delivery.definitions.service import ServiceDefinition
from dockgate.delivery.model import ActionType, Pipeline
from dockgate.delivery.ports import Target
from dockgate.delivery.service_model import ServiceChange
from dockgate.delivery.source_ports import RepositoryHost
from dockgate.events.definitions.target import TargetDefinition
from dockgate.events.rule import Rule
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.identity.model import Caller, Permission, require_permission
from dockgate.services.clock import ServerClock
from dockgate.services.notifications.event_rules import EventRules
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.services.pipelines.deployments import Rollouts
from dockgate.services.policies.policies import Policies
from dockgate.shared.errors import ConflictError, NotFoundError, UsageError
from dockgate.shared.yaml import load_document
from dockgate.store import Store


@dataclass(frozen=True, slots=True)
class AppliedDocument:
    """The result of `apply`: `change` is created, updated or unchanged; `advice` "" for none.

    `rollout` is the number of the rollout that changes a service, which is updated when that has succeeded.
    """

    kind: str
    name: str
    change: str
    advice: str = ""
    rollout: int | None = None


@dataclass(frozen=True, slots=True)
class Documents:
    """Applies documents. `clone_url` gives the URL of a repository."""

    store: Store
    source: RepositoryHost
    targets: Mapping[str, Target]
    policies: Policies
    rollouts: Rollouts
    event_rules: EventRules
    event_targets: EventTargets
    clock: ServerClock
    clone_url: Callable[[str], str]

    def apply(self, text: str, name: str, caller: Caller) -> AppliedDocument:
        """Make the server match a document. What exists is changed, or left as it is where it matches.

        Raises DefinitionError for an invalid document, DeniedError when the caller lacks the permission.
        """
        document = load_document(text, name)
        require_permission(
            caller, Permission.ACCEPT if documents.is_about_policies(document) else Permission.ADMINISTER
        )
        definition = documents.parse_definition(document)
        if isinstance(definition, documents.PolicyDocument):
            return self._apply_policy(definition, text, caller.name)
        if isinstance(definition, PolicyAssignment):
            return self._apply_assignment(definition, name, caller.name)
        if isinstance(definition, documents.Repository):
            return self._apply_repository(definition.name)
        if isinstance(definition, Pipeline):
            if any("policy" in action.configuration for stage in definition.stages for action in stage.actions):
                # A policy that a pipeline names evaluates images in place of the repository's own.
                require_permission(caller, Permission.ACCEPT)
            return self._apply_pipeline(definition, name, text)
        if isinstance(definition, Rule):
            record, change = self.event_rules.apply(definition, caller.name, name)
            return AppliedDocument("Rule", record.rule.name, change, f"dockgate rule show {record.rule.name}")
        if isinstance(definition, TargetDefinition):
            applied_record, change = self.event_targets.apply(definition, caller.name)
            return AppliedDocument(
                "Target", applied_record.target.name, change, f"dockgate target test {applied_record.target.name}"
            )
        return self._apply_service(definition, caller.name)

    def check(self, text: str, name: str) -> str:
        """Check a document as `apply` does, and change nothing. Return its kind. Raises what `apply` raises."""
        document = load_document(text, name)
        definition = documents.parse_definition(document)
        if isinstance(definition, documents.PolicyDocument):
            self.policies.check_document(definition.document)
        elif isinstance(definition, Pipeline):
            self._require_parts(definition, name)
        elif isinstance(definition, PolicyAssignment):
            for policy in definition.policies:
                self._require_policy(policy, f"{name}: {definition.name}")
            self._require_owners(definition.owners, f"{name}: {definition.name}")
        elif isinstance(definition, ServiceDefinition):
            self._require_target(definition)
        return str(document.value["kind"])

    def check_pipeline(self, text: str, name: str) -> None:
        """Check a document as `check`, which must be the pipeline of this name."""
        definition = documents.read(text, name)
        if not isinstance(definition, Pipeline) or definition.name != name:
            raise UsageError(
                f"{name}: this is not the definition of the pipeline {name!r}",
                f"Keep `kind: Pipeline` and `name: {name}`; create another pipeline on its own page.",
            )
        self._require_parts(definition, name)

    def _apply_repository(self, name: str) -> AppliedDocument:
        change = "unchanged" if name in self.store.repositories.list_names() else "created"
        self.source.create(name)
        self.store.repositories.put(name, self.clock.now())
        return AppliedDocument("Repository", name, change, f"git clone {self.clone_url(name)}")

    def _require_parts(self, pipeline: Pipeline, file: str) -> None:
        """UsageError naming the place for a repository, service or policy that does not exist."""
        services = {service.name for service in self.store.services.list()}
        repositories = self.store.repositories.list_names()
        for stage in pipeline.stages:
            for action in stage.actions:
                settings, place = action.configuration, f"{file}: {stage.name}/{action.name}"
                if action.type is ActionType.SOURCE and settings["repository"] not in repositories:
                    raise UsageError(
                        f"{place}: no repository {settings['repository']!r}", "Apply its Repository document first."
                    )
                if action.type is ActionType.DEPLOY and settings["service"] not in services:
                    raise UsageError(
                        f"{place}: no service {settings['service']!r}", "Apply its Service document first."
                    )
                if action.type is ActionType.APPROVAL and "policy" in settings:
                    self._require_policy(str(settings["policy"]), place)

    def _apply_pipeline(self, pipeline: Pipeline, file: str, text: str) -> AppliedDocument:
        self._require_parts(pipeline, file)
        before = self.store.pipelines.get(pipeline.name) if pipeline.name in self.store.pipelines.list_names() else None
        after = self.store.pipelines.put(pipeline, self.clock.now(), text)
        change = "created" if before is None else "unchanged" if before.version == after.version else "updated"
        advice = f"dockgate pipeline show {pipeline.name}"
        types = {action.type for stage in pipeline.stages for action in stage.actions}
        if ActionType.DEPLOY in types and ActionType.APPROVAL not in types:
            advice = "It asks for no approval: it can deploy only digests that another pipeline got approved."
        return AppliedDocument("Pipeline", pipeline.name, change, advice)

    def _require_policy(self, policy: str, place: str) -> None:
        """UsageError naming the place for a policy that does not exist."""
        try:
            self.policies(policy)
        except NotFoundError as error:
            raise UsageError(f"{place}: {error}", error.advice) from None

    def _apply_assignment(self, assignment: PolicyAssignment, file: str, by: str) -> AppliedDocument:
        for policy in assignment.policies:
            self._require_policy(policy, f"{file}: {assignment.name}")
        self._require_owners(assignment.owners, f"{file}: {assignment.name}")
        present = {record.assignment.name: record.assignment for record in self.store.policy_assignments.list()}
        before = present.pop(assignment.name, None)
        for existing in present.values():
            if shared_repositories := sorted(set(existing.repositories) & set(assignment.repositories)):
                raise ConflictError(
                    f"{file}: the assignment {existing.name} names the repositories {shared_repositories[0]!r} already",
                    "Name a pattern in one assignment only.",
                )
        self.store.policy_assignments.put(assignment, by, self.clock.now())
        change = "created" if before is None else "unchanged" if before == assignment else "updated"
        advice = "dockgate policy assignments"
        if silent := self.event_targets.read_owners().find_owners_without_target(assignment.owners):
            advice = f"No target notifies {', '.join(silent)}: apply a Target (`for` names principals and roles)."
        return AppliedDocument("PolicyAssignment", assignment.name, change, advice)

    def _require_owners(self, owners: Sequence[str], place: str) -> None:
        """UsageError naming the place for an owner that is not an active principal."""
        principals = {principal.name for principal in self.store.principals.list() if not principal.disabled_at}
        for owner in owners:
            if ":" not in owner and owner not in principals:
                raise UsageError(
                    f"{place}: there is no active principal {owner!r}",
                    "Create it with `dockgate principal add`, or write role:NAME or target:NAME.",
                )

    def _apply_policy(self, policy: documents.PolicyDocument, text: str, by: str) -> AppliedDocument:
        after, before = self.policies.put_document(policy.document, text, by)
        change = "unchanged" if after.version == before else "updated" if before else "created"
        return AppliedDocument("Policy", after.name, change, f"dockgate policy show {after.name}")

    def _apply_service(self, definition: ServiceDefinition, by: str) -> AppliedDocument:
        self._require_target(definition)
        name, target = definition.service.name, definition.service.target
        advice = f"dockgate deploy show {name}"
        if all(service.name != name for service in self.store.services.list()):
            self.rollouts.create_service(definition.service, definition.definition)
            return AppliedDocument("Service", name, "created", advice)
        change = ServiceChange(target=target, definition=definition.definition)
        rollout = self.rollouts.begin(name, change, by)
        if rollout is None:
            return AppliedDocument("Service", name, "unchanged", advice)
        return AppliedDocument("Service", name, "updated", advice, rollout.number)

    def _require_target(self, definition: ServiceDefinition) -> None:
        name, target = definition.service.name, definition.service.target
        if target not in self.targets:
            raise UsageError(f"{name}: this server has no target {target}", "Use `target: podman` or `target: ecs`.")
