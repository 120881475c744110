"""A fix: what to change so that an image passes that its policies reject now. Pure.

`plan_fix` says how a repository's files make the upgrades with which the image was proven to pass. It is a *change* of
files, a *rebuild* that takes newer packages or a newer base image by itself, or something that people have to do
*by hand*.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from dockgate.delivery.dependency_files import (
    PinError,
    has_npm_dependency,
    repin_digest,
    repin_npm,
    repin_requirement,
    require_install_step,
    require_unpinned,
)
from dockgate.delivery.model import ExecutionId, FixAction
from dockgate.gate.model import Upgrade
from dockgate.scanner.model import Package
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest, get_hex
from dockgate.shared.purl import is_of_type
from dockgate.shared.references import ImageReference, strip_digest

# Branches with fixes. No pipeline watches them unless it names one.
BRANCH_PREFIX = "dockgate/fix-"
AUTHOR = "Dockgate <dockgate@localhost>"
_SYSTEM_PACKAGES = ("deb", "rpm", "apk", "alpm")
_PYTHON_LOCKS = ("poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock")
_OTHER_NPM_LOCKS = ("yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb")
_NPM_LOCKS = ("package-lock.json", "npm-shrinkwrap.json")
# Upgrades in the first line of a commit's message.
_NAMED_CHANGES = 3


class FixKind(StrEnum):
    """The way in which a fix is made."""

    CHANGE = "change"
    REBUILD = "rebuild"
    BY_HAND = "by hand"


class FixState(StrEnum):
    """The state of a fix.

    PLANNED: not offered yet; OFFERED: announced, its branch made, or its execution started; WITHHELD: not made, because
    the pipeline had as many fixes as it may have within a day.
    """

    PLANNED = "Planned"
    OFFERED = "Offered"
    APPLIED = "Applied"
    SUPERSEDED = "Superseded"
    FAILED = "Failed"
    WITHHELD = "Withheld"

    @property
    def is_open(self) -> bool:
        """Return whether the fix still concerns what its pipeline delivered last."""
        return self in (FixState.PLANNED, FixState.OFFERED)


@dataclass(frozen=True, slots=True)
class FixDetails:
    """The content of a fix: changes, cleared vulnerabilities, why it needs people, and their commands."""

    changes: tuple[str, ...]
    vulnerabilities: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fix:
    """A proven fix of the image that a pipeline delivered last.

    `repository` is the image's. `source` is the git repository, `parent` the commit to change, `commit` the change on
    `branch`; `execution` rebuilds. `reason` is why it ended. Times are RFC 3339. None: not so, or not yet.
    """

    id: str
    pipeline: str
    image: str
    repository: str
    kind: FixKind
    action: FixAction
    details: FixDetails
    source: str
    parent: str
    created_at: str
    state: FixState = FixState.PLANNED
    branch: str | None = None
    commit: str | None = None
    execution: ExecutionId | None = None
    reason: str | None = None
    ended_at: str | None = None

    @property
    def should_make_branch(self) -> bool:
        """Return whether the server offers a branch.

        A pipeline that asked for rebuilds gets a branch for what a rebuild cannot do.
        """
        return self.kind is FixKind.CHANGE and self.action is not FixAction.NOTIFY

    @property
    def should_start_execution(self) -> bool:
        """Return whether the server builds the source again."""
        return self.kind is FixKind.REBUILD and self.action is FixAction.REBUILD


@dataclass(frozen=True, slots=True)
class BaseChange:
    """A newer base image: the name in the Dockerfile, and the digest of today.

    The name has its digest if it is written there.
    """

    reference: str
    new_digest: str

    @property
    def pinned_digest(self) -> str | None:
        """The digest that the Dockerfile names, None for a tag alone."""
        reference = ImageReference.parse(self.reference)
        return reference.digest if reference else None


@dataclass(frozen=True, slots=True)
class NeededUpgrade:
    """An upgrade with which the image passes. `package` is the installed one."""

    upgrade: Upgrade
    package: Package


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """The files of a repository that name dependencies: text by path.

    `names` are all paths that were seen.
    """

    dockerfile: str
    texts: Mapping[str, str]
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class LockUpdate:
    """A lockfile that npm has to make: in `folder`, with these packages in at least these versions.

    Direct dependencies are in the package.json already.
    """

    folder: str
    lock: str
    packages: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FixChange:
    """What a fix changes: a package or a base image (`is_base`), from a version or digest to another one.

    `old` is None for a base image that is not pinned. The text is for people.
    """

    name: str
    old: str | None
    new: str
    is_base: bool = False

    def __str__(self) -> str:
        if self.old is None:
            return f"{self.name} has a newer image, {self.new}"
        return f"{'FROM ' if self.is_base else ''}{self.name}: {self.old} → {self.new}"

    @property
    def short_name(self) -> str:
        """The name without its folders."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class FixPlan:
    """The files of a fix: new texts by path, the lockfiles that follow, and what only people can do.

    Without `changes` a new build of the same source is enough.
    """

    kind: FixKind
    changes: tuple[FixChange, ...]
    texts: Mapping[str, str] = field(default_factory=dict)
    locks: tuple[LockUpdate, ...] = ()
    obstacles: tuple[str, ...] = ()

    def describe_changes(self) -> tuple[str, ...]:
        """Return the changes in words."""
        return tuple(map(str, self.changes)) or ("a new build of the same source",)


def plan_fix(base: BaseChange | None, upgrades: Sequence[NeededUpgrade], files: ProjectFiles) -> FixPlan:
    """Plan how to make the upgrades, on a newer base image if there is one."""
    draft = _Draft(files)
    if base is not None:
        draft.change_base(base)
    for needed_upgrade in sorted(
        upgrades, key=lambda needed_upgrade: (needed_upgrade.upgrade.name, needed_upgrade.upgrade.package)
    ):
        draft.upgrade(needed_upgrade)
    return draft.plan()


class _Draft:
    """A plan that is being made."""

    def __init__(self, files: ProjectFiles) -> None:
        self._files = files
        self._texts: dict[str, str] = {}
        self._changes: list[FixChange] = []
        self._obstacles: list[str] = []
        self._upgrades_by_lock: dict[str, dict[str, str]] = {}

    def plan(self) -> FixPlan:
        locks = tuple(
            LockUpdate(lock.rpartition("/")[0], lock, tuple(packages.items()))
            for lock, packages in sorted(self._upgrades_by_lock.items())
        )
        is_change = bool(self._texts or locks)
        kind = FixKind.BY_HAND if self._obstacles else FixKind.CHANGE if is_change else FixKind.REBUILD
        texts = self._texts if kind is FixKind.CHANGE else {}
        return FixPlan(
            kind, tuple(self._changes), texts, locks if kind is FixKind.CHANGE else (), tuple(self._obstacles)
        )

    def change_base(self, base: BaseChange) -> None:
        name = strip_digest(base.reference)
        self._changes.append(FixChange(name, base.pinned_digest, base.new_digest, is_base=True))
        if base.pinned_digest is None:
            return
        path = self._files.dockerfile
        try:
            self._texts[path] = repin_digest(self._get_text(path), path, base.pinned_digest, base.new_digest)
        except PinError as error:
            self._obstacles.append(str(error))

    def upgrade(self, needed_upgrade: NeededUpgrade) -> None:
        upgrade = needed_upgrade.upgrade
        self._changes.append(FixChange(upgrade.name, upgrade.version, upgrade.fixed))
        try:
            if upgrade.is_in_base:
                self._obstacles.append(f"{upgrade.name} is in the base image, and no newer one that passes is known.")
            elif is_of_type(upgrade.package, *_SYSTEM_PACKAGES):
                self._require_rebuild(upgrade)
            elif needed_upgrade.package.ecosystem == "PyPI":
                self._upgrade_python(upgrade)
            elif needed_upgrade.package.ecosystem == "npm":
                self._upgrade_npm(upgrade)
            else:
                self._obstacles.append(
                    f"{upgrade.name} is upgraded in the build of your {needed_upgrade.package.ecosystem}."
                )
        except PinError as error:
            self._obstacles.append(str(error))

    def _get_text(self, path: str) -> str:
        return self._texts.get(path, self._files.texts.get(path, ""))

    def _list_paths(self, *endings: str) -> list[str]:
        return [path for path in sorted(self._files.texts) if path.rpartition("/")[2].endswith(endings)]

    def _require_rebuild(self, upgrade: Upgrade) -> None:
        """Raise PinError if a build of the same files cannot take a newer version."""
        path = self._files.dockerfile
        require_unpinned(self._get_text(path), path, upgrade.name)
        require_install_step(self._get_text(path), path, upgrade.name)

    def _upgrade_python(self, upgrade: Upgrade) -> None:
        require_unpinned(self._get_text(self._files.dockerfile), self._files.dockerfile, upgrade.name)
        is_pinned = False
        for path in self._list_paths(".txt"):
            text = repin_requirement(self._get_text(path), path, upgrade.name, upgrade.version, upgrade.fixed)
            if text is not None:
                self._texts[path], is_pinned = text, True
        locks = [name for name in sorted(self._files.names) if name.rpartition("/")[2] in _PYTHON_LOCKS]
        if not is_pinned and locks:
            raise PinError(f"{locks[0]} is made by your package manager: upgrade {upgrade.name} with it")
        if not is_pinned:
            self._require_rebuild(upgrade)

    def _upgrade_npm(self, upgrade: Upgrade) -> None:
        if locks := [name for name in sorted(self._files.names) if name.rpartition("/")[2] in _OTHER_NPM_LOCKS]:
            raise PinError(f"{locks[0]} is made by your package manager: upgrade {upgrade.name} with it")
        is_pinned = False
        for path in self._list_paths("package.json"):
            folder = path.rpartition("/")[0]
            lock_paths = [f"{folder}/{name}" if folder else name for name in _NPM_LOCKS]
            lock = next((name for name in lock_paths if name in self._files.names), None)
            text = repin_npm(self._get_text(path), path, upgrade.name, upgrade.version, upgrade.fixed)
            if text is not None:
                self._texts[path], is_pinned = text, True
            is_named = has_npm_dependency(self._get_text(path), path, upgrade.name)
            if lock is not None and (is_named or upgrade.name in self._files.texts.get(lock, "")):
                self._upgrades_by_lock.setdefault(lock, {})[upgrade.name] = upgrade.fixed
                is_pinned = True
        if not is_pinned:
            self._require_rebuild(upgrade)


def make_fix_id(pipeline: str, image: str, action: FixAction, plan: FixPlan) -> str:
    """The id of a fix: the same for the same changes of the same image."""
    parts = [pipeline, image, action, plan.kind, plan.describe_changes()]
    return get_hex(compute_digest(canonical.encode(parts)))[:16]


def make_branch_name(identity: str) -> str:
    """Return the branch that a fix is offered on."""
    return f"{BRANCH_PREFIX}{identity[:12]}"


def make_commit_message(fix: Fix, plan: FixPlan, notes: Sequence[str]) -> str:
    """The message of the commit that makes a fix. `notes` are what the commit leaves undone."""
    changes = plan.changes
    subjects = ", ".join(change.short_name for change in changes[:_NAMED_CHANGES])
    suffix = f" and {len(changes) - _NAMED_CHANGES} more" if len(changes) > _NAMED_CHANGES else ""
    cleared_ids = ", ".join(fix.details.vulnerabilities)
    lines = [
        f"Upgrade {subjects}{suffix}",
        "",
        f"The policy rejects {fix.image}, which {fix.pipeline} delivered.",
        "It was judged again with these changes, and passes:",
        "",
        *(f"- {change}" for change in plan.describe_changes()),
        *(["", f"Clears {cleared_ids}."] if cleared_ids else []),
        *(["", *notes] if notes else []),
        "",
        f"Dockgate-Fix: {fix.id}",
    ]
    return "\n".join(lines) + "\n"
