"""`dockgate apply`: makes the server match documents."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from dockgate.delivery.definitions import documents
from dockgate.delivery.definitions.service import ServiceDefinition
from dockgate.delivery.model import ActionType, Pipeline
from dockgate.delivery.ports import Target
from dockgate.delivery.service_model import ServiceChange
from dockgate.delivery.source_ports import RepositoryHost
from dockgate.events.definitions.target import TargetDefinition
from dockgate.events.model import Rule
from dockgate.gate.owner import Owner
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.identity.model import Caller, Permission, require_permission
from dockgate.services.clock import ServerClock
from dockgate.services.images.name_search import read_own_pattern
from dockgate.services.notifications.event_rules import EventRules
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.services.pipelines.deployments import Rollouts
from dockgate.services.policies.policies import Policies
from dockgate.shared.errors import ChangedError, ConflictError, NotFoundError, UsageError
from dockgate.shared.yaml import load_document
from dockgate.store import Store
from dockgate.store.delivery.pipelines import PipelineState

# The kinds in the order in which documents are applied: each after those that it can name.
_ORDER = ("Repository", "Service", "Policy", "Pipeline", "Target", "Rule", "PolicyAssignment")


@dataclass(frozen=True, slots=True)
class DocumentText:
    """A YAML document, and the name of its file, for errors."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class _ReadDocument:
    file: str
    text: str
    kind: str
    name: str
    definition: documents.Definition


# The documents that are applied together, by kind and name.
_PlannedDocuments = Mapping[tuple[str, str], _ReadDocument]


@dataclass(frozen=True, slots=True)
class AppliedDocument:
    """The result of `apply`: `change` is created, updated or unchanged; `advice` the next step.

    `rollout` is the number of the rollout that changes a service, which is updated when that has succeeded.
    """

    kind: str
    name: str
    change: str
    advice: str
    rollout: int | None = None


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents that people apply.

    `clone_url` gives the URL of a repository, `registry_names` are those of our own registry.
    """

    store: Store
    source: RepositoryHost
    targets: Mapping[str, Target]
    policies: Policies
    rollouts: Rollouts
    event_rules: EventRules
    event_targets: EventTargets
    clock: ServerClock
    clone_url: Callable[[str], str]
    registry_names: Sequence[str]

    def apply(self, text: str, name: str, caller: Caller) -> AppliedDocument:
        """Make the server match a document: create, change, or leave the object as it is.

        Raises DefinitionError for an invalid document, DeniedError when the caller lacks the permission.
        """
        return self.apply_all([DocumentText(name, text)], caller)[0]

    def create(self, text: str, name: str, caller: Caller) -> AppliedDocument:
        """Apply a document that describes something new.

        Raises ConflictError if it exists, and what `apply` raises.
        """
        document = self._read(DocumentText(name, text))
        _require_permissions(document.definition, caller)
        exists_error = ConflictError(
            f"{name}: {document.kind} {document.name} exists already",
            "Choose another name, or change it on its own page.",
        )
        if document.name in self._list_existing_names(document.kind):
            raise exists_error
        self._check_all([document])
        try:
            return self._apply(document, caller.name, is_new=True)
        except ChangedError:  # another person created it meanwhile
            raise exists_error from None

    def change_pipeline(self, text: str, name: str, caller: Caller, expected_state: PipelineState) -> AppliedDocument:
        """Apply the definition of a pipeline that a person changed.

        Raises ChangedError if it is not in the `expected_state` any more, UsageError for the definition of something
        else, and what `apply` raises.
        """
        document, pipeline = self._read_pipeline(text, name)
        _require_permissions(pipeline, caller)
        self._check_all([document])
        return self._apply_pipeline(pipeline, text, caller.name, expected_state)

    def _list_existing_names(self, kind: str) -> Sequence[str]:
        match kind:
            case "Repository":
                return self.store.repositories.list_names()
            case "Pipeline":
                return self.store.pipelines.list_names()
            case "Service":
                return [service.name for service in self.store.services.list()]
            case "Policy":
                return [version.name for version in self.store.policies.list()]
            case "PolicyAssignment":
                return [record.assignment.name for record in self.store.policy_assignments.list()]
            case "Rule":
                return [record.rule.name for record in self.event_rules.list_records()]
        return [record.target.name for record in self.event_targets.list_records()]

    def apply_all(self, texts: Sequence[DocumentText], caller: Caller) -> list[AppliedDocument]:
        """Make the server match documents, which may name each other.

        All are checked before the first is applied; then each is applied after those that it names. Raises what `apply`
        raises.
        """
        read_documents = [self._read(text) for text in texts]
        for document in read_documents:
            _require_permissions(document.definition, caller)
        self._check_all(read_documents)
        read_documents.sort(key=lambda document: _ORDER.index(document.kind))
        return [self._apply(document, caller.name) for document in read_documents]

    def check(self, text: str, name: str) -> str:
        """Check a document as `apply` does, and change nothing. Return its kind. Raises what `apply` raises."""
        document = self._read(DocumentText(name, text))
        self._check_all([document])
        return document.kind

    def _read(self, text: DocumentText) -> _ReadDocument:
        """Read a document. Raises DefinitionError, and UsageError for a pattern that cannot be of our own registry."""
        document = load_document(text.text, text.name)
        definition = documents.parse_definition(document)
        kind, name = str(document.value["kind"]), str(document.value.get("name", ""))
        read_document = _ReadDocument(text.name, text.text, kind, name, definition)
        if isinstance(definition, PolicyAssignment):
            with _name_in_errors(read_document):
                patterns = [read_own_pattern(pattern, self.registry_names) for pattern in definition.repositories]
            assignment = replace(definition, repositories=tuple(dict.fromkeys(patterns)))
            read_document = replace(read_document, definition=assignment)
        return read_document

    def _check_all(self, read_documents: Sequence[_ReadDocument]) -> None:
        """Raise an error that names file and document for what cannot be applied."""
        planned_documents: dict[tuple[str, str], _ReadDocument] = {}
        for document in read_documents:
            first = planned_documents.setdefault((document.kind, document.name), document)
            if first is not document:
                raise UsageError(
                    f"{document.file}: {document.kind} {document.name}: {first.file} describes it, too",
                    "Keep one of these documents.",
                )
        for document in read_documents:
            with _name_in_errors(document):
                self._check(document, planned_documents)

    def _check(self, document: _ReadDocument, planned_documents: _PlannedDocuments) -> None:
        definition = document.definition
        if isinstance(definition, documents.PolicyDocument):
            self.policies.check_document(definition.document)
        elif isinstance(definition, Pipeline):
            self._require_parts(definition, planned_documents)
        elif isinstance(definition, PolicyAssignment):
            self._check_assignment(definition, planned_documents)
        elif isinstance(definition, ServiceDefinition):
            self._check_service(definition)
        elif isinstance(definition, Rule):
            self.event_rules.check(definition, _list_names("Target", planned_documents))
        elif isinstance(definition, TargetDefinition):
            self.event_targets.check(definition, _list_names("Pipeline", planned_documents))

    def _apply(self, document: _ReadDocument, by: str, is_new: bool = False) -> AppliedDocument:
        """Apply a document that was checked.

        With `is_new`, raise ChangedError for a pipeline, a policy or a service that exists.
        """
        definition = document.definition
        if isinstance(definition, documents.PolicyDocument):
            return self._apply_policy(definition, document.text, by, 0 if is_new else None)
        if isinstance(definition, PolicyAssignment):
            return self._apply_assignment(definition, by)
        if isinstance(definition, documents.Repository):
            return self._apply_repository(definition.name)
        if isinstance(definition, Pipeline):
            return self._apply_pipeline(definition, document.text, by, PipelineState(0) if is_new else None)
        if isinstance(definition, Rule):
            record, change = self.event_rules.apply(definition, by)
            return AppliedDocument("Rule", record.rule.name, change, f"dockgate rule show {record.rule.name}")
        if isinstance(definition, TargetDefinition):
            applied_record, change = self.event_targets.apply(definition, by)
            return AppliedDocument(
                "Target", applied_record.target.name, change, f"dockgate target test {applied_record.target.name}"
            )
        return self._apply_service(definition, by, is_new)

    def check_pipeline(self, text: str, name: str) -> None:
        """Check a document as `check`, which must be the pipeline of this name."""
        self._check_all([self._read_pipeline(text, name)[0]])

    def _read_pipeline(self, text: str, name: str) -> tuple[_ReadDocument, Pipeline]:
        document = self._read(DocumentText(name, text))
        if not isinstance(document.definition, Pipeline) or document.name != name:
            raise UsageError(
                f"{name}: this is not the definition of the pipeline {name!r}",
                f"Keep `kind: Pipeline` and `name: {name}`; create another pipeline on its own page.",
            )
        return document, document.definition

    def _apply_repository(self, name: str) -> AppliedDocument:
        change = "unchanged" if name in self.store.repositories.list_names() else "created"
        self.source.create(name)
        self.store.repositories.put(name, self.clock.now())
        return AppliedDocument("Repository", name, change, f"git clone {self.clone_url(name)}")

    def _require_parts(self, pipeline: Pipeline, planned_documents: _PlannedDocuments) -> None:
        """UsageError naming the action for a repository, service or policy that does not exist."""
        services = {service.name for service in self.store.services.list()} | _list_names("Service", planned_documents)
        repositories = {*self.store.repositories.list_names()} | _list_names("Repository", planned_documents)
        for stage in pipeline.stages:
            for action in stage.actions:
                settings, action_name = action.configuration, f"{stage.name}/{action.name}"
                if action.type is ActionType.SOURCE and settings["repository"] not in repositories:
                    raise UsageError(
                        f"{action_name}: no repository {settings['repository']!r}",
                        "Apply its Repository document, too.",
                    )
                if action.type is ActionType.DEPLOY and settings["service"] not in services:
                    raise UsageError(
                        f"{action_name}: no service {settings['service']!r}", "Apply its Service document, too."
                    )
                if action.type is ActionType.APPROVAL and "policy" in settings:
                    self._require_policy(str(settings["policy"]), planned_documents, f"{action_name}: ")

    def _apply_pipeline(
        self, pipeline: Pipeline, text: str, by: str, expected_state: PipelineState | None
    ) -> AppliedDocument:
        before = self.store.pipelines.get(pipeline.name) if pipeline.name in self.store.pipelines.list_names() else None
        after = self.store.pipelines.put(pipeline, self.clock.now(), text, by, expected_state)
        change = "created" if before is None else "unchanged" if before.version == after.version else "updated"
        advice = f"dockgate pipeline show {pipeline.name}"
        types = {action.type for stage in pipeline.stages for action in stage.actions}
        if ActionType.DEPLOY in types and ActionType.APPROVAL not in types:
            advice = "It asks for no approval: it can deploy only digests that another pipeline got approved."
        return AppliedDocument("Pipeline", pipeline.name, change, advice)

    def _require_policy(self, policy: str, planned_documents: _PlannedDocuments, prefix: str = "") -> None:
        """UsageError naming the action for a policy that does not exist."""
        if ("Policy", policy) in planned_documents:
            return
        try:
            self.policies(policy)
        except NotFoundError as error:
            raise UsageError(f"{prefix}{error}", error.advice) from None

    def _check_assignment(self, assignment: PolicyAssignment, planned_documents: _PlannedDocuments) -> None:
        for policy in assignment.policies:
            self._require_policy(policy, planned_documents)
        self._require_owners(assignment.owners)
        other_assignments = {
            record.assignment.name: record.assignment for record in self.store.policy_assignments.list()
        }
        for document in planned_documents.values():
            if isinstance(document.definition, PolicyAssignment):
                other_assignments[document.name] = document.definition
        other_assignments.pop(assignment.name, None)
        for existing in other_assignments.values():
            if shared_repositories := sorted(set(existing.repositories) & set(assignment.repositories)):
                raise ConflictError(
                    f"the assignment {existing.name} names the repositories {shared_repositories[0]!r} already",
                    "Name a pattern in one assignment only.",
                )

    def _apply_assignment(self, assignment: PolicyAssignment, by: str) -> AppliedDocument:
        present_assignments = {
            record.assignment.name: record.assignment for record in self.store.policy_assignments.list()
        }
        before = present_assignments.get(assignment.name)
        self.store.policy_assignments.put(assignment, by, self.clock.now())
        change = "created" if before is None else "unchanged" if before == assignment else "updated"
        advice = "dockgate policy assignments"
        if silent := self.event_targets.read_owners().find_owners_without_target(assignment.owners):
            advice = f"No target notifies {', '.join(silent)}: apply a Target (`for` names principals and roles)."
        return AppliedDocument("PolicyAssignment", assignment.name, change, advice)

    def _require_owners(self, owners: Sequence[Owner]) -> None:
        """UsageError for an owner that is not an active principal."""
        principals = {principal.name for principal in self.store.principals.list() if not principal.disabled_at}
        for owner in owners:
            if owner.principal is not None and owner.principal not in principals:
                raise UsageError(
                    f"there is no active principal {owner!r}",
                    "Create it with `dockgate principal add`, or write role:NAME or target:NAME.",
                )

    def _apply_policy(
        self, policy: documents.PolicyDocument, text: str, by: str, expected_version: int | None
    ) -> AppliedDocument:
        after, before = self.policies.put_document(policy.document, text, by, expected_version)
        change = "unchanged" if after.version == before else "updated" if before else "created"
        return AppliedDocument("Policy", after.name, change, f"dockgate policy show {after.name}")

    def _check_service(self, definition: ServiceDefinition) -> None:
        name, target = definition.service.name, definition.service.target
        if target not in self.targets:
            raise UsageError(f"this server has no target {target}", "Use `target: podman` or `target: ecs`.")
        if name in self._list_existing_names("Service"):
            self.store.rollouts.check(name, ServiceChange(target=target, definition=definition.definition))

    def _apply_service(self, definition: ServiceDefinition, by: str, is_new: bool) -> AppliedDocument:
        name, target = definition.service.name, definition.service.target
        advice = f"dockgate deploy show {name}"
        is_unknown = name not in self._list_existing_names("Service")
        if is_unknown and self.rollouts.create_service(definition.service, definition.definition):
            return AppliedDocument("Service", name, "created", advice)
        if is_new:
            raise ChangedError(f"the service {name} exists already", "Change it on its own page.")
        change = ServiceChange(target=target, definition=definition.definition)
        rollout = self.rollouts.begin(name, change, by)
        if rollout is None:
            return AppliedDocument("Service", name, "unchanged", advice)
        return AppliedDocument("Service", name, "updated", advice, rollout.number)


def _require_permissions(definition: documents.Definition, caller: Caller) -> None:
    """Raise DeniedError unless the caller may apply the document."""
    is_about_policies = isinstance(definition, documents.PolicyDocument | PolicyAssignment)
    require_permission(caller, Permission.ACCEPT if is_about_policies else Permission.ADMINISTER)
    if isinstance(definition, Pipeline) and any(
        "policy" in action.configuration for stage in definition.stages for action in stage.actions
    ):
        # A policy that a pipeline names judges images instead of the repository's own.
        require_permission(caller, Permission.ACCEPT)


def _list_names(kind: str, planned_documents: _PlannedDocuments) -> set[str]:
    return {name for planned_kind, name in planned_documents if planned_kind == kind}


@contextmanager
def _name_in_errors(document: _ReadDocument) -> Iterator[None]:
    """Let errors begin with the file and the document, unless they name the file already."""
    try:
        yield
    except (UsageError, ConflictError, NotFoundError) as error:
        if str(error).startswith(f"{document.file}:"):
            raise
        message = f"{document.file}: {document.kind} {document.name}: {error}"
        raise type(error)(message, error.advice) from error
