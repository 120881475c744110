"""Provenance: record how our builds were made, and collect what is known of an image for its verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dockgate.delivery.model import Action, ActionKey, ActionRun, ActionType, Pipeline
from dockgate.delivery.pipeline import select_latest_runs
from dockgate.delivery.ports import AttachedDocuments, Attestor, BuildResult
from dockgate.gate import provenance
from dockgate.gate.model import Policy
from dockgate.gate.policy import PROVENANCE_RULE, list_provenance_keys
from dockgate.services.clock import ServerClock
from dockgate.services.verdicts.attached_statements import select_envelopes, verify
from dockgate.shared.errors import DockgateError
from dockgate.shared.references import RepositoryReference
from dockgate.store import Store
from dockgate.store.records import BuiltStatement

# Bytes of all statements that are stored for one image.
_BYTES_LIMIT = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Provenance:
    """The provenance of our builds, and that of images.

    Without an `attestor`, builds have no provenance. `url` is the server's URL, under which its repositories are;
    `registry` is the address of our own registry.
    """

    store: Store
    attached_documents: AttachedDocuments
    attestor: Attestor | None
    policies: Callable[[str], Policy]
    clock: ServerClock
    url: str
    registry: str
    engine_version: str

    # --- our own builds ------------------------------------------------------------------------------------------

    def record(self, key: ActionKey, pipeline: Pipeline, action: Action, result: BuildResult) -> None:
        """Sign and store the statement of a build. A second call for the same build changes nothing.

        Only builds of a repository's commit have a statement: the source of others is unknown.
        """
        runs = self.store.executions.list_runs(key.execution)
        source = _find_source(pipeline, runs, action.input)
        if self.attestor is None or source is None:
            return
        repository = str(action.configuration["image"])
        arguments = action.configuration["args"]
        run = next((candidate for candidate in runs if candidate.key == key), None)
        record = provenance.BuildRecord(
            builder=provenance.BUILDER if result.is_sandboxed else provenance.UNSANDBOXED_BUILDER,
            invocation=str(key),
            source=f"git+{self.url}/git/{source.variables['RepositoryName']}.git",
            commit=source.variables["CommitId"],
            dockerfile=str(action.configuration["dockerfile"]),
            dockerfile_digest=result.dockerfile_digest,
            bases=tuple((base.reference, base.digest) for base in result.bases),
            arguments=tuple(arguments) if isinstance(arguments, dict) else (),
            started_at=run.started_at if run else None,
            finished_at=self.clock.now(),
            engine=self.engine_version,
        )
        name = str(RepositoryReference(repository, self.registry))
        envelope = self.attestor.sign(provenance.write_statement(record, name, result.digest))
        self.store.provenance.add(
            BuiltStatement(str(key), result.digest, repository, envelope.decode(), self.clock.now())
        )

    # --- for a verdict -------------------------------------------------------------------------------------------

    def fetch_once(self, repository: str, image: str, policy_name: str) -> None:
        """Fetch the statements of an image that were never fetched.

        The rule may be newer than the last approval.
        """
        if not self.store.provenance.list_statements(image, repository).fetched_at:
            self.fetch(repository, image, policy_name)

    def fetch(self, repository: str, image: str, policy_name: str) -> None:
        """Fetch the statements that are attached to an image, if the policy requires provenance.

        A failed fetch is recorded, and the verdict reports it until a later one works (`attachment_retries`).
        """
        try:
            is_required = PROVENANCE_RULE in self.policies(policy_name).rules
        except DockgateError:
            return  # a policy that cannot be read approves nothing
        if is_required:
            self.fetch_statements(repository, image)

    def fetch_statements(self, repository: str, image: str) -> DockgateError | None:
        """Fetch the statements that are attached to an image, and record them, or why that failed.

        Returns the error, None if it worked.
        """
        try:
            fetched_envelopes = select_envelopes(self.attached_documents(repository, image))
        except DockgateError as error:
            self.store.provenance.record_fetch_error(image, repository, str(error), self.clock.now())
            return error
        accepted_envelopes, size = [], 0
        for envelope in fetched_envelopes[: provenance.STATEMENT_LIMIT]:
            size += len(envelope)
            if size <= _BYTES_LIMIT:
                accepted_envelopes.append(envelope)
        self.store.provenance.replace_fetched(image, repository, accepted_envelopes, self.clock.now())
        return None

    def collect_facts(self, image: str, repository: str, policy: Policy) -> provenance.ProvenanceFacts | None:
        """The provenance of the image in a repository.

        None if the policy does not require it, or nothing was fetched.
        """
        keys = list_provenance_keys(policy)
        statements = self.store.provenance.list_statements(image, repository) if keys else None
        if statements is None or not (statements.envelopes or statements.fetched_at):
            return None
        return provenance.collect(image, statements.envelopes, keys, verify, statements.fetch_error)


def _find_source(pipeline: Pipeline, runs: Sequence[ActionRun], name: str | None) -> ActionRun | None:
    """Return the run of the source action that made this artifact, None if another action made it."""
    last = select_latest_runs(runs)
    for stage in pipeline.stages:
        for action in stage.actions:
            run = last.get((stage.name, action.name))
            if name is not None and action.output == name and run is not None and run.artifact:
                return run if action.type is ActionType.SOURCE else None
    return None
