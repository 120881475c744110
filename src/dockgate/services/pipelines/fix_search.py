"""Search for a fix of the image that a pipeline delivered last.

It is proven by judging the image that it would give.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dockgate.delivery.dockerfile import find_base_images
from dockgate.delivery.fixes import BaseChange, FixDetails, FixKind, FixPlan, NeededUpgrade, ProjectFiles, plan_fix
from dockgate.delivery.model import Action, ActionType, Execution, Pipeline, RunState
from dockgate.delivery.pipeline import collect_variables, resolve_variables, select_latest_runs
from dockgate.delivery.ports import Advisories, ImageResolver
from dockgate.delivery.repository_files import EntryKind, RepositoryFiles, TreeEntry
from dockgate.gate import evaluate
from dockgate.gate.model import Status, Verdict, VerdictCase
from dockgate.gate.replay.case_diff import rebase_inventories
from dockgate.gate.rule import Rule
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Ecosystem
from dockgate.scanner.registry_reference import parse_remote
from dockgate.services.clock import ServerClock
from dockgate.services.verdicts.case_builder import DeploymentContext, find_running_image
from dockgate.services.verdicts.verdicts import Verdicts
from dockgate.shared.digest import PLACEHOLDER
from dockgate.shared.errors import DockgateError, NotFoundError, UsageError
from dockgate.shared.references import ImageReference, strip_digest
from dockgate.store import Store
from dockgate.vulnerabilities.matching import set_versions
from dockgate.vulnerabilities.ports import AdvisoryReader

# Means the image that a build would give: waivers that name an image do not apply to it.
REBUILT = PLACEHOLDER
# How often a registry is asked what a tag means.
# For how long the answer of a registry about a tag counts.
RESOLVE_PERIOD = timedelta(hours=1)
# Executions in which the last delivery is looked for.
_EXECUTIONS = 20
# Folders of a repository that are listed, and files that are read.
_FOLDERS, _FILES = 200, 50
_SKIPPED_FOLDERS = frozenset({"node_modules", "vendor", ".git", "site-packages"})
_LOCKS = frozenset({"package-lock.json", "npm-shrinkwrap.json"})
_OTHER_LOCKS = frozenset({"poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock", "yarn.lock", "pnpm-lock.yaml"}) | {
    "bun.lock",
    "bun.lockb",
}
_VULNERABILITIES = 50


@dataclass(frozen=True, slots=True)
class DeliveredImage:
    """The image that a pipeline delivered last, and the commit of `source` that it was built from."""

    pipeline: Pipeline
    execution: Execution
    image: str
    context: DeploymentContext
    source: str
    branch: str
    commit: str
    dockerfile: str
    arguments: Mapping[str, str]

    @property
    def repository(self) -> str:
        """The image's repository."""
        return self.context.repository


@dataclass(frozen=True, slots=True)
class ProvenFix:
    """A plan whose result was judged and passes.

    `details` are what it clears, and lines that people can add to a build.
    """

    plan: FixPlan
    details: FixDetails


@dataclass(frozen=True, slots=True)
class _Proof:
    upgrades: tuple[NeededUpgrade, ...]
    commands: tuple[str, ...]


@dataclass(slots=True)
class NewestImages:
    """The digests of tags in other registries, each resolved once an hour. What is new is scanned first."""

    store: Store
    resolve: ImageResolver
    request_scan: Callable[[str, str], object]
    clock: ServerClock
    _answers: dict[str, tuple[datetime, ImageReference | None]] = field(default_factory=dict, init=False)

    def __call__(self, reference: str) -> str | None:
        """Return the digest of a tag, None if it is unknown or its image was not scanned yet."""
        now = self.clock()
        resolved_at, image = self._answers.get(reference, (None, None))
        if resolved_at is None or abs(now - resolved_at) >= RESOLVE_PERIOD:  # a clock may have been ahead
            try:
                image = self.resolve(reference, should_check_existence=True)
            except DockgateError:
                image = None
            self._answers[reference] = now, image
            if image is not None and self.store.images.find_newest_scan(image.digest) is None:
                self.request_scan(image.repository, image.digest)
        return image.digest if image is not None and self.store.images.list_inventories(image.digest) else None


@dataclass(slots=True)
class FixSearch:
    """The search for fixes. `registry` is the address of our own registry.

    `find_newest` gives the digest of a tag in another registry, None if it is unknown or that image was not scanned.
    """

    store: Store
    verdicts: Verdicts
    advisories: Advisories
    files: RepositoryFiles
    ecosystems: Sequence[Ecosystem]
    rules: Sequence[Rule]
    clock: ServerClock
    registry: str
    find_newest: Callable[[str], str | None]
    # By source, commit, Dockerfile and arguments: the last base image, or None.
    _bases: dict[tuple[str, ...], str | None] = field(default_factory=dict, init=False)

    def find_delivered_image(self, name: str) -> DeliveredImage | None:
        """Return what a pipeline delivered last.

        None if it delivers at this moment, or what it deployed was replaced. Of several images, the first that is
        rejected now.
        """
        executions = self.store.executions.list_for_pipeline(name, _EXECUTIONS)
        if any(not execution.state.is_final for execution in executions):
            return None
        newest_execution = next((execution for execution in executions if execution.state is RunState.SUCCEEDED), None)
        if newest_execution is None:
            return None
        images = self._find_images(newest_execution)
        return next((image for image in images if self.is_rejected(image.image)), images[0] if images else None)

    def is_rejected(self, image: str) -> bool:
        """Return whether the newest verdict on the image by any of its policies rejects it."""
        newest_statuses: dict[str, str] = {}
        for record in self.store.verdicts.list_of_image(image):
            if record.is_requested:
                newest_statuses.setdefault(record.policy, record.status)
        return Status.REJECTED in newest_statuses.values()

    def find(self, delivered_image: DeliveredImage, commit: str) -> ProvenFix | None:
        """Return the fix with the fewest changes to this commit, None where none is proven."""
        deployed_cases = self.verdicts.build_deployed_cases(delivered_image.image, delivered_image.context)
        if not deployed_cases or any(case.no_scan_reason or case.external_reports for case in deployed_cases):
            return None
        # The same for the image as it is and as it would be rebuilt: an update in between is no fix.
        advisories = self.advisories()
        cases = [_replace_inventories(case, case.inventories, advisories) for case in deployed_cases]
        present_verdicts = [self._judge(case, should_remediate=False) for case in cases]
        if all(verdict.status is Status.APPROVED for verdict in present_verdicts):
            return None
        project = self._read_project_files(delivered_image, commit)
        best_fix: ProvenFix | None = None
        for base in dict.fromkeys((None, self._find_newer_base(delivered_image, commit))):
            proof = self._prove(cases, base, advisories)
            if proof is None:
                continue
            plan = plan_fix(base, proof.upgrades, project)
            details = FixDetails(
                plan.describe_changes(),
                self._list_cleared_vulnerabilities(present_verdicts),
                plan.obstacles,
                proof.commands if plan.obstacles else (),
            )
            if plan.kind is not FixKind.BY_HAND:
                return ProvenFix(plan, details)
            best_fix = best_fix or ProvenFix(plan, details)
        return best_fix

    def find_base_digest(self, delivered_image: DeliveredImage, commit: str) -> str | None:
        """Return the digest that the tag of the Dockerfile's last base image has now, None if that is unknown."""
        reference = self._find_base_reference(delivered_image, commit)
        return self._find_current_digest(delivered_image, reference) if reference else None

    def _find_images(self, execution: Execution) -> list[DeliveredImage]:
        """Return the images that an execution built from a commit, unless a service runs another one by now."""
        pipeline = self.store.pipelines.get(execution.pipeline, execution.pipeline_version)
        runs = self.store.executions.list_runs(execution.id)
        last, variables = select_latest_runs(runs), collect_variables(pipeline, runs)
        actions = [(stage.name, action) for stage in pipeline.stages for action in stage.actions]
        images = []
        for stage, action in actions:
            run = last.get((stage, action.name))
            source = next((producer for _, producer in actions if producer.output == action.input), None)
            if action.type is not ActionType.BUILD or run is None or source is None:
                continue
            pulled_run = last.get((pipeline.stages[0].name, source.name))
            if source.type is not ActionType.SOURCE or pulled_run is None or "IMAGE_DIGEST" not in run.variables:
                continue
            service = _find_service(actions, action)
            context = DeploymentContext(
                run.variables["IMAGE_REPOSITORY"], service, execution.id, should_keep_baselines=True
            )
            running = find_running_image(self.store, service, self.registry) if service else None
            if service and (running is None or running[0] != run.variables["IMAGE_DIGEST"]):
                continue
            arguments = action.configuration["args"]
            values = arguments if isinstance(arguments, dict) else {}
            images.append(
                DeliveredImage(
                    self.store.pipelines.get(execution.pipeline),
                    execution,
                    run.variables["IMAGE_DIGEST"],
                    context,
                    pulled_run.variables["RepositoryName"],
                    pulled_run.variables["BranchName"],
                    pulled_run.variables["CommitId"],
                    str(action.configuration["dockerfile"]),
                    {key: resolve_variables(value, variables) for key, value in values.items()},
                )
            )
        return images

    # --- the proof -----------------------------------------------------------------------------------------------

    def _prove(
        self, cases: Sequence[VerdictCase], base: BaseChange | None, advisories: AdvisoryReader
    ) -> _Proof | None:
        """The upgrades with which all policies approve a rebuilt image; None where there are no such upgrades."""
        rebuilt = [self._rebuild_case(case, base, advisories) for case in cases]
        upgrades: dict[str, NeededUpgrade] = {}
        commands: dict[str, None] = {}
        for case in rebuilt:
            packages = {package.purl: package for inventory in case.inventories for package in inventory.packages}
            for verdict in self._judge(case).platform_verdicts:
                remediation = verdict.remediation
                if verdict.status is not Status.APPROVED and not remediation.is_sufficient:
                    return None
                upgrades |= {
                    upgrade.package: NeededUpgrade(upgrade, packages[upgrade.package])
                    for upgrade in remediation.upgrades
                }
                commands |= dict.fromkeys((*remediation.commands, *remediation.base_commands))
        versions = {purl: needed_upgrade.upgrade.fixed for purl, needed_upgrade in upgrades.items()}
        for case in rebuilt:
            upgraded_inventories = tuple(set_versions(inventory, versions) for inventory in case.inventories)
            if (
                self._judge(replace(case, inventories=upgraded_inventories), should_remediate=False).status
                is not Status.APPROVED
            ):
                return None
        return _Proof(tuple(upgrades.values()), tuple(commands))

    def _rebuild_case(self, case: VerdictCase, base: BaseChange | None, advisories: AdvisoryReader) -> VerdictCase:
        """Return the case of the image that a build would give now."""
        now = self.clock.now()
        inventories = case.inventories
        if base is not None:
            base_inventories = self.store.images.list_inventories(base.new_digest)
            bases = [replace(inventory, base_layers=len(inventory.layers)) for inventory in base_inventories]
            inventories = tuple(rebase_inventories(bases, inventories))
        rebuilt = tuple(replace(inventory, image=REBUILT, created=now) for inventory in inventories)
        return replace(_replace_inventories(case, rebuilt, advisories), image=REBUILT)

    def _judge(self, case: VerdictCase, *, should_remediate: bool = True) -> Verdict:
        return evaluate.judge(case, self.ecosystems, self.rules, should_remediate=should_remediate)

    def _list_cleared_vulnerabilities(self, verdicts: Sequence[Verdict]) -> tuple[str, ...]:
        """Return the vulnerabilities in violations."""
        platforms = [platform_verdict for verdict in verdicts for platform_verdict in verdict.platform_verdicts]
        violations = [violation for platform_verdict in platforms for violation in platform_verdict.violations]
        return tuple(sorted({finding.id for violation in violations for finding in violation.findings}))[
            :_VULNERABILITIES
        ]

    # --- the base image ------------------------------------------------------------------------------------------

    def _find_newer_base(self, delivered_image: DeliveredImage, commit: str) -> BaseChange | None:
        """Return the base image of today, if it was scanned and has other layers than the image's own base."""
        reference = self._find_base_reference(delivered_image, commit)
        digest = self._find_current_digest(delivered_image, reference) if reference else None
        if reference is None or digest is None:
            return None
        bases = {inventory.platform: inventory for inventory in self.store.images.list_inventories(digest)}
        for inventory in self.store.images.list_inventories(delivered_image.image):
            base = bases.get(inventory.platform)
            if base is None or not inventory.base_layers or _is_based_on(inventory, base):
                return None
        change = BaseChange(reference, digest)
        return change if bases and change.pinned_digest != digest else None

    def _find_base_reference(self, delivered_image: DeliveredImage, commit: str) -> str | None:
        arguments = (f"{name}={value}" for name, value in sorted(delivered_image.arguments.items()))
        key = delivered_image.source, commit, delivered_image.dockerfile, *arguments
        if key not in self._bases:
            if len(self._bases) > _EXECUTIONS * 50:
                self._bases.clear()
            try:
                text = self.files.read(delivered_image.source, commit, delivered_image.dockerfile).decode()
                self._bases[key] = find_base_images(text, delivered_image.arguments).final_base
            except (DockgateError, UnicodeDecodeError):
                self._bases[key] = None  # the build says why
        return self._bases[key]

    def _find_current_digest(self, delivered_image: DeliveredImage, reference: str) -> str | None:
        """The digest that a reference would have without its own: that of its tag."""
        try:
            image = parse_remote(reference)
        except DockgateError:
            return None
        if image.registry != self.registry:
            # Only registries that a build was allowed to read are asked.
            built_on = self._find_base_reference(delivered_image, delivered_image.commit) or ""
            is_known = strip_digest(built_on) == strip_digest(reference)
            return self.find_newest(str(image._replace(digest=None))) if image.tag and is_known else None
        tag = image.tag or self._find_only_tag(image.repository, image.digest)
        return self.store.tag_history.find_digest(image.repository, tag) if tag else None

    def _find_only_tag(self, repository: str, digest: str | None) -> str | None:
        """Return the tag that a digest had; None if it had several, or none."""
        periods = self.store.tag_history.list_periods([digest] if digest else [])
        tags = {period.tag for period in periods if period.repository == repository and period.tag}
        return tags.pop() if len(tags) == 1 else None

    # --- the files -----------------------------------------------------------------------------------------------

    def _read_project_files(self, delivered_image: DeliveredImage, commit: str) -> ProjectFiles:
        """The files of a commit that name dependencies. What cannot be read is left out."""
        names: set[str] = set()
        folders = [""]
        for folder in folders:
            for entry in self._list_entries(delivered_image.source, commit, folder):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.kind is EntryKind.FILE:
                    names.add(path)
                elif entry.kind is EntryKind.FOLDER and entry.name not in _SKIPPED_FOLDERS and len(folders) < _FOLDERS:
                    folders.append(path)
        paths = [path for path in sorted(names) if path == delivered_image.dockerfile or _is_dependency_file(path)]
        texts = {path: self._read_text(delivered_image.source, commit, path) for path in paths[:_FILES]}
        locks = {path for path in names if path.rpartition("/")[2] in _LOCKS | _OTHER_LOCKS}
        readable = {path: text for path, text in texts.items() if text is not None}
        return ProjectFiles(delivered_image.dockerfile, readable, frozenset(locks | readable.keys()))

    def _list_entries(self, source: str, commit: str, folder: str) -> Sequence[TreeEntry]:
        """The entries of a folder; none of one whose name cannot be read, such as one that is not UTF-8."""
        try:
            return self.files.list(source, commit, folder)
        except (NotFoundError, UsageError):
            return ()

    def _read_text(self, source: str, commit: str, path: str) -> str | None:
        try:
            return self.files.read(source, commit, path).decode()
        except (DockgateError, UnicodeDecodeError):
            return None


def _find_service(actions: Sequence[tuple[str, Action]], build: Action) -> str | None:
    """Return the service that a build's output is deployed to, or None."""
    for _, action in actions:
        if action.type is ActionType.DEPLOY and action.input == build.output:
            return str(action.configuration["service"])
    return None


def _is_dependency_file(path: str) -> bool:
    name = path.rpartition("/")[2].lower()
    is_requirement = name.endswith(".txt") and ("require" in path.lower() or "constraint" in name)
    return is_requirement or name == "package.json" or name in _LOCKS


def _is_based_on(inventory: Inventory, base: Inventory) -> bool:
    """Return whether the image's lowest layers are those of the base image, compressed alike or not."""
    count = len(base.layers)
    has_same_diff_ids = inventory.diff_ids[:count] == base.diff_ids and "" not in base.diff_ids
    return inventory.layers[:count] == base.layers or (bool(base.diff_ids) and has_same_diff_ids)


def _replace_inventories(
    case: VerdictCase, inventories: Sequence[Inventory], advisories: AdvisoryReader
) -> VerdictCase:
    """Return the case with these inventories, and with what the advisory database says of them and of the baselines."""
    baseline_inventories = (
        inventory for listed_inventories in case.baselines.values() for inventory in listed_inventories
    )
    snapshot = advisories.read_snapshot([*inventories, *baseline_inventories])
    return replace(case, inventories=tuple(inventories), snapshot=snapshot)
