"""Provenance: what our builds record about themselves, and what is known of an image's when it is judged."""

from collections.abc import Callable, Sequence

from dockgate.delivery.model import Action, ActionKey, ActionRun, ActionType, Pipeline
from dockgate.delivery.pipeline import latest_runs
from dockgate.delivery.ports import Attestor, BuildResult, ProvenanceReader
from dockgate.gate import provenance
from dockgate.gate.model import Policy
from dockgate.gate.policy import PROVENANCE_RULE, provenance_keys
from dockgate.services.clock import ServerClock
from dockgate.shared import canonical
from dockgate.shared.digest import digest_of
from dockgate.shared.errors import DockgateError
from dockgate.store import Store
from dockgate.store.records import BuiltStatement

_BYTES_LIMIT = 4 * 2**20
"""of all statements that are kept of one image"""


class Provenance:
    """Records the provenance of builds, and reads that of images. Without an `attestor` builds have none. `url` is the
    server's own, under which its repositories are; `registry` is the address of our own registry."""

    def __init__(
        self,
        store: Store,
        reader: ProvenanceReader,
        attestor: Attestor | None,
        policies: Callable[[str], Policy],
        clock: ServerClock,
        url: str,
        registry: str,
        engine_version: str,
    ) -> None:
        self._store = store
        self._statements = store.provenance
        self._reader = reader
        self._attestor = attestor
        self._policies = policies
        self._clock = clock
        self._url = url
        self._registry = registry
        self._engine_version = engine_version

    # --- our own builds ------------------------------------------------------------------------------------------

    def record(self, key: ActionKey, pipeline: Pipeline, action: Action, built: BuildResult) -> None:
        """Sign and keep the statement of a build. Called again for the same build, the first stands.

        A build of something else than a repository's commit has no statement: its source is not known.
        """
        runs = self._store.executions.runs(key.execution)
        source = _source(pipeline, runs, action.input)
        if self._attestor is None or source is None:
            return
        repository = str(action.configuration["image"])
        arguments = action.configuration["args"]
        run = next((one for one in runs if one.key == key), None)
        record = provenance.BuildRecord(
            builder=provenance.BUILDER if built.is_sandboxed else provenance.UNSANDBOXED_BUILDER,
            invocation=str(key),
            source=f"git+{self._url}/git/{source.variables['RepositoryName']}.git",
            commit=source.variables["CommitId"],
            dockerfile=str(action.configuration["dockerfile"]),
            dockerfile_digest=built.dockerfile_digest,
            bases=tuple((one.reference, one.digest) for one in built.bases),
            arguments=tuple(arguments) if isinstance(arguments, dict) else (),
            started_at=run.started_at if run else "",
            finished_at=self._clock.now(),
            engine=self._engine_version,
        )
        name = f"{self._registry}/{repository}"
        envelope = self._attestor.sign(provenance.statement(record, name, built.digest))
        self._statements.add(BuiltStatement(str(key), built.digest, repository, envelope.decode(), self._clock.now()))

    # --- for a verdict -------------------------------------------------------------------------------------------

    def look_once(self, repository: str, image: str, policy_name: str) -> None:
        """As `look`, for an image that nobody has looked at: the rule may be newer than its last approval."""
        if not self._statements.statements(image).looked_at:
            self.look(repository, image, policy_name)

    def look(self, repository: str, image: str, policy_name: str) -> None:
        """Fetch the statements beside an image, if the policy asks for provenance. Where they cannot be fetched, that
        is kept: the verdict says so."""
        try:
            asks = PROVENANCE_RULE in self._policies(policy_name).rules
        except DockgateError:
            return  # a policy that cannot be read approves nothing
        if not asks:
            return
        try:
            found = self._reader.attached(repository, image)
        except DockgateError as error:
            self._statements.record_fetch_error(image, str(error), self._clock.now())
            return
        kept, size = [], 0
        for envelope in found[: provenance.STATEMENT_LIMIT]:
            size += len(envelope)
            if size <= _BYTES_LIMIT:
                kept.append(envelope)
        self._statements.replace_fetched(image, kept, self._clock.now())

    def facts(self, image: str, policy: Policy) -> provenance.ProvenanceFacts | None:
        """What is known of the image's provenance; None where the policy does not ask, or nobody looked."""
        keys = provenance_keys(policy)
        kept = self._statements.statements(image) if keys else None
        if kept is None or not (kept.envelopes or kept.looked_at):
            return None
        return provenance.collect(image, kept.envelopes, keys, self._reader.verify, kept.unavailable)

    def state(self, image: str) -> str:
        """Other text whenever `facts` could give something else under the same policy."""
        return digest_of(canonical.encode(self._statements.statements(image)))


def _source(pipeline: Pipeline, runs: Sequence[ActionRun], name: str) -> ActionRun | None:
    """The run of the source action whose output has this name, None when it is of another action."""
    last = latest_runs(runs)
    for stage in pipeline.stages:
        for action in stage.actions:
            run = last.get((stage.name, action.name))
            if action.output == name and run is not None and run.artifact:
                return run if action.type is ActionType.SOURCE else None
    return None
