"""The targets of the owners of the image repositories that an event concerns."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dockgate.delivery.model import Pipeline
from dockgate.delivery.registry_access import (
    list_built_repositories,
    list_deployed_services,
    list_source_repositories,
)
from dockgate.events.model import Target
from dockgate.gate import patterns
from dockgate.gate.model import Waiver
from dockgate.gate.owner import Owner
from dockgate.gate.policy_choice import PolicyAssignment, choose_assignment
from dockgate.identity.model import Principal
from dockgate.shared.errors import DockgateError
from dockgate.shared.references import parse_ecr_repository
from dockgate.store import Store

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Owners:
    """The owners of repositories, as they are now."""

    assignments: Sequence[PolicyAssignment]
    principals: Sequence[Principal]
    targets: Sequence[Target]
    store: Store
    registry: str | None
    _by_repository: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _all_repositories: Sequence[str] | None = None

    @classmethod
    def load(cls, store: Store, targets: Sequence[Target], registry: str | None) -> "Owners":
        """Read them once: the events of a batch have few repositories.

        `registry` is our own; without it they find no owners of events.
        """
        assignments = [record.assignment for record in store.policy_assignments.list()]
        principals = store.principals.list() if any(assignment.owners for assignment in assignments) else ()
        return cls(assignments, principals, targets, store, registry)

    def find_targets(self, event: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the targets that an event in its envelope goes to as its owners'.

        Each target is named once. A waiver concerns all repositories that it can apply to, an advisory feed all, and an
        execution those of its pipeline (`_list_pipeline_repositories`). What concerns no repository of an owner, such
        as a waiver for others, goes to the person that it names as `owner`.
        """
        detail = event.get("detail")
        if not isinstance(detail, Mapping):
            return ()
        if "feed" in detail:
            return self._find_all_targets()
        repositories = self._list_repositories(detail)
        targets = dict.fromkeys(target for name in repositories for target in self._find_repository_targets(name))
        return tuple(targets) or self._find_person_targets(detail)

    def is_owner(self, target: str) -> bool:
        """Return whether any repository's events go to the target."""
        return target in self._find_all_targets()

    def is_owner_of(self, target: str, repository: str) -> bool:
        """Return whether the events of the repository go to the target."""
        return target in self._find_repository_targets(repository)

    def is_owner_of_waiver(self, target: str, waiver: Waiver) -> bool:
        """Return whether the waiver can apply to a repository whose events go to the target."""
        repositories = self._list_waiver_repositories(waiver.repository, waiver.image)
        return any(self.is_owner_of(target, name) for name in repositories)

    def find_owners_without_target(self, owners: Sequence[Owner]) -> tuple[Owner, ...]:
        """Return the owners that no target notifies."""
        return tuple(owner for owner in owners if not self._find_owner_targets(owner))

    def _find_all_targets(self) -> tuple[str, ...]:
        owners = dict.fromkeys(owner for assignment in self.assignments for owner in assignment.owners)
        return tuple(dict.fromkeys(target for owner in owners for target in self._find_owner_targets(owner)))

    def _find_repository_targets(self, repository: str) -> tuple[str, ...]:
        if repository not in self._by_repository:
            self._by_repository[repository] = self._read_repository_targets(repository)
        return self._by_repository[repository]

    def _read_repository_targets(self, repository: str) -> tuple[str, ...]:
        try:
            assignment = choose_assignment(self.assignments, repository)
        except DockgateError as error:
            _log.warning("the owners of %s are unknown: %s", repository, error)
            return ()
        names: dict[str, None] = {}
        for owner in assignment.owners if assignment else ():
            targets = self._find_owner_targets(owner)
            if not targets:
                advice = f"the Target {owner.target}" if owner.target else f"a Target with `for: [{owner}]`"
                _log.warning("%s, an owner of %s, has no target: apply %s", owner, repository, advice)
            names |= dict.fromkeys(targets)
        return tuple(names)

    def _find_person_targets(self, detail: Mapping[str, Any]) -> tuple[str, ...]:
        name = detail.get("owner")
        owner = Owner(name) if isinstance(name, str) else None
        return tuple(self._find_owner_targets(owner)) if owner is not None and owner.principal is not None else ()

    def _find_owner_targets(self, owner: Owner) -> list[str]:
        if owner.target is not None:
            return [target.name for target in self.targets if target.name == owner.target]
        recipients = {owner}
        if (role := owner.role) is not None:
            active_principals = (entry for entry in self.principals if not entry.disabled_at)
            recipients |= {Owner(principal.name) for principal in active_principals if role in principal.roles}
        return [target.name for target in self.targets if recipients & set(target.recipients)]

    def _list_repositories(self, detail: Mapping[str, Any]) -> Sequence[str]:
        """The repositories that the event with this detail concerns."""
        repository = detail.get("repository") or detail.get("repository-name")
        if isinstance(repository, str) and repository:
            return [parse_ecr_repository(repository)]
        scope, service = detail.get("scope"), detail.get("service")
        if "waiver" in detail and isinstance(scope, Mapping):
            return self._list_waiver_repositories(scope.get("repository"), scope.get("image"))
        service_repository = self._find_service_repository(service) if isinstance(service, str) and service else None
        if service_repository is not None:
            return [service_repository]
        pipeline = detail.get("pipeline")
        if not isinstance(pipeline, str):
            return []
        try:
            return self._list_pipeline_repositories(self.store.pipelines.get(pipeline))
        except DockgateError:
            return []

    def _list_pipeline_repositories(self, pipeline: Pipeline) -> Sequence[str]:
        """The repositories that a pipeline pushes its builds to.

        Of a pipeline without builds, those of the images that its services run; before its first deploy, the image
        repositories with the name of one of its git repositories, or below it, as the server names them.
        """
        if built_repositories := list_built_repositories([pipeline]):
            return sorted(built_repositories)
        running_repositories = map(self._find_service_repository, list_deployed_services(pipeline))
        if repositories := sorted({name for name in running_repositories if name is not None}):
            return repositories
        sources = list_source_repositories(pipeline)
        return sorted(
            {*sources, *(name for name in self._read_all_repositories() if name.partition("/")[0] in sources)}
        )

    def _list_waiver_repositories(self, pattern: str | None, image: str | None) -> Sequence[str]:
        """The repositories that a waiver for this pattern and this image can apply to; None for any."""
        if image is not None:
            repositories = self.store.tag_history.list_image_repositories(image)
        elif pattern is not None and "*" not in pattern:
            return [pattern]
        else:
            repositories = self._read_all_repositories()
        return [name for name in repositories if pattern is None or patterns.is_match(name, pattern)]

    def _read_all_repositories(self) -> Sequence[str]:
        if self._all_repositories is None:
            self._all_repositories = self.store.exposures.list_repositories()
        return self._all_repositories

    def _find_service_repository(self, name: str) -> str | None:
        try:
            service = self.store.services.get(name)
            image = self.store.services.get_definition(name, service.revision).image
        except DockgateError:
            return None
        return image.strip_registry(self.registry or "") if image else None
