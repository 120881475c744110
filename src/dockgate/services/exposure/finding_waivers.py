"""The waivers of a vulnerability in an image, and the statements that it is not affected."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dockgate.gate import patterns, waivers
from dockgate.gate.model import ExemptionSet, Policy, VexStatement, Waiver
from dockgate.gate.policy import make_policy
from dockgate.identity.model import Caller
from dockgate.scanner.model import Inventory, Package
from dockgate.services.exposure.finding_life import Excuse
from dockgate.services.exposure.waiver_history import WaiverHistory
from dockgate.services.images.waiver_visibility import select_visible_waivers
from dockgate.services.verdicts.waivers import ServerWaivers, VexDocument
from dockgate.store import Store
from dockgate.store.exposure.records import AffectedComponent
from dockgate.store.fleet.records import ClosingReason, IndexedImage, Vulnerability
from dockgate.store.records import VexRecord
from dockgate.vulnerabilities.model import Finding, Matches, Rating

# The latest changes of what excuses a finding that are looked at.
CHANGES_LIMIT = 50
_NO_POLICY = make_policy("", {})


@dataclass(frozen=True, slots=True)
class FindingWaiver:
    """A waiver or VEX statement because of which a finding does not count. `until` is null without a date.

    It holds in images of `repository`.
    """

    kind: str
    by: str
    owner: str
    reason: str
    until: str | None
    repository: str


@dataclass(frozen=True, slots=True)
class NamingWaiver:
    """A waiver that names a vulnerability, with its scope, null for everywhere.

    `is_active`: it counts as of now.
    """

    id: str
    owner: str
    reason: str
    until: str | None
    repository: str | None
    image: str | None
    package: str | None
    is_active: bool


class ExposedFinding(NamedTuple):
    """A vulnerability of a package."""

    package: Package
    affected_component: AffectedComponent
    vulnerability: Vulnerability

    def to_finding(self) -> Finding:
        """Return the stored vulnerability of the package as a finding that the gate can judge."""
        rating = Rating(None, self.affected_component.severity)
        return Finding(
            self.vulnerability.name,
            self.vulnerability.aliases,
            self.package,
            self.affected_component.severity,
            rating,
            self.affected_component.fixed,
            self.affected_component.note,
        )


class WaiverFinder:
    """The waivers and statements as of a time, for the images of one answer.

    Policies decide whose VEX statements count. A waiver of one platform of an index is not found. In a repository that
    a pipeline builds, the gate counts waivers only for images that the server or its operator pushed
    (`services/verdicts/case_builder.py`), which is not checked here: a waiver may be named that the gate does not
    count.
    """

    def __init__(
        self,
        store: Store,
        server_waivers: ServerWaivers,
        history: WaiverHistory,
        now: str,
        names: Collection[str],
        as_of: str | None = None,
    ) -> None:
        """`names` are those of the vulnerability.

        With `as_of`, VEX documents count that were there at that time, which is `now`, too.
        """
        self._server_waivers = server_waivers
        self._history = history
        self._moment = now
        self._as_of = as_of
        self._records = [
            record
            for record in history.waivers
            if _is_added(record.waiver, now) and record.waiver.vulnerability in {None, "", *names}
        ]
        self._waivers = [record.waiver for record in self._records if not record.revoked_at or record.revoked_at > now]
        self._names = frozenset(names)
        # The policies that count in the answer.
        self._policies: dict[str, Policy] = {}
        self._store = store
        # VEX documents on the vulnerability, also removed ones: attached to no image, and by the image.
        self._general = self._select_relevant(history.documents)
        self._attached_documents: dict[str, list[VexDocument]] = {}
        # What was found in images that no waiver or document names, by all that it depends on.
        self._by_inputs: dict[tuple[object, ...], list[FindingWaiver]] = {}

    @property
    def has_any(self) -> bool:
        """Return whether there is a waiver or a VEX document that may apply to some image."""
        return bool(self._waivers or self._general or self._history.images)

    def find_accepting_waivers(self, entry: ExposedFinding) -> list[Waiver]:
        """The waivers that accept the finding, in some image."""
        finding = entry.to_finding()
        if finding.is_malicious:
            return []
        return [waiver for waiver in self._waivers if waivers.is_finding_accepted(waiver, finding, self._moment)]

    def find_images_with_documents(self) -> set[str]:
        """The images (digests) to which a VEX document is or was attached."""
        return set(self._history.images)

    def read_general_statements(self) -> list[VexStatement]:
        """The statements about the vulnerability in documents that are attached to no image."""
        all_statements = (
            statement for _, statements in self._select_present(self._general) for statement in statements
        )
        return [statement for statement in all_statements if not self._names.isdisjoint(statement.vulnerabilities)]

    def read_policies(self, repositories: Collection[str]) -> Mapping[str, Policy]:
        """Return the policies of the repositories, as of the time of the answer."""
        timeline = self._history.timeline
        for repository in set(repositories) - self._policies.keys():
            self._policies[repository] = timeline.find_policy(repository, self._as_of)
        return self._policies

    def prepare(self, images: Collection[str]) -> None:
        """Read the VEX documents that are or were attached to images (digests)."""
        having = sorted(self._history.images.intersection(images))
        for document in self._select_relevant(self._store.vex.list_history(having) if having else ()):
            if document[0].image is not None:
                self._attached_documents.setdefault(document[0].image, []).append(document)

    def find_naming_waivers(self, caller: Caller | None) -> list[NamingWaiver]:
        """The waivers that name the vulnerability, newest first.

        A limited caller gets those that count in its repositories.
        """
        naming_records = [record for record in self._records if record.waiver.vulnerability]
        return [
            NamingWaiver(
                id=waiver.id,
                owner=waiver.owner,
                reason=waiver.reason,
                until=waiver.until or None,
                repository=waiver.repository or None,
                image=waiver.image or None,
                package=waiver.package or None,
                is_active=not record.revoked_at and waivers.is_active(waiver, self._moment),
            )
            for record in select_visible_waivers(self._store, naming_records, caller)
            for waiver in (record.waiver,)
        ]

    def find(self, image: IndexedImage, repositories: Sequence[str], entry: ExposedFinding) -> list[FindingWaiver]:
        """Find what excuses the finding, in each of the image's repositories, after `prepare`."""
        if self._list_documents(image.digest) or any(waiver.image for waiver in self._waivers):
            return self._find(image, repositories, entry)
        key = tuple(repositories), entry.package, entry.affected_component, entry.vulnerability.name
        if key not in self._by_inputs:
            self._by_inputs[key] = self._find(image, repositories, entry)
        return self._by_inputs[key]

    def find_excuses(
        self, image: IndexedImage, repositories: Sequence[str], entry: ExposedFinding, since: str
    ) -> list[Excuse]:
        """The times from which the finding was, or was not, excused in all repositories, oldest first.

        The policies of each time decide whose statements counted. `since` is when the image had it first. A document
        that was removed and added again counts since then.
        """
        component = entry.affected_component
        records = [record for record in self._records if _can_accept(record.waiver, entry, image.digest)]
        documents = self._list_documents(image.digest)
        if not repositories or not (records or documents) or entry.to_finding().is_malicious:
            return []
        times = {since, *filter(None, (component.fixed_at,))}
        times |= {time for record in records for time in (record.waiver.created_at, record.waiver.until) if time}
        times |= {record.revoked_at for record in records if record.revoked_at}
        times |= {time for record, _ in documents for time in (record.added_at, record.removed_at) if time}
        if documents:
            times.update(time for name in repositories for time in self._history.timeline.list_author_changes(name))
        excuses: list[Excuse] = []
        for at in sorted(time for time in times if since <= time <= self._moment)[-CHANGES_LIMIT:]:
            active = [
                record.waiver
                for record in records
                if _is_added(record.waiver, at) and (not record.revoked_at or record.revoked_at > at)
            ]
            documents_then = [document for document in documents if _is_present(document[0], at)]
            has_fix = not component.fixed_at or component.fixed_at <= at
            at_that_time = entry if has_fix else entry._replace(affected_component=component._replace(fixed=""))
            applied_waivers = (
                self._apply(image, repositories, at_that_time, active, documents_then, at)
                if active or documents_then
                else []
            )
            is_excused = {waiver.repository for waiver in applied_waivers} >= set(repositories)
            by = applied_waivers[0] if is_excused else None
            reason = None if by is None else ClosingReason.WAIVED if by.kind == "waiver" else ClosingReason.VEX
            excuses.append(Excuse(at, reason, by.by if by else None))
        return excuses

    def _find(self, image: IndexedImage, repositories: Sequence[str], entry: ExposedFinding) -> list[FindingWaiver]:
        documents = self._select_present(self._list_documents(image.digest))
        if not documents and not any(
            (not waiver.image or waiver.image == image.digest)
            and (not waiver.package or patterns.is_package_match(waiver.package, entry.package))
            for waiver in self._waivers
        ):
            return []
        return self._apply(image, repositories, entry, self._waivers, documents, self._moment)

    def _apply(
        self,
        image: IndexedImage,
        repositories: Sequence[str],
        entry: ExposedFinding,
        active: Sequence[Waiver],
        documents: Sequence[VexDocument],
        now: str,
    ) -> list[FindingWaiver]:
        """Return what excuses the finding in each repository, of these waivers and documents at a time."""
        finding = entry.to_finding()
        inventory = Inventory(image.digest, None, None, (), (entry.package,), ())
        waivers_by_repository = []
        for repository in repositories:
            policy = self._read_policy(repository, documents, now)
            applicable_waivers = self._select_waivers(
                image.digest, inventory, policy, repository, active, documents, now
            )
            waived_matches = waivers.apply_to_findings(
                Matches((finding,), ()), applicable_waivers, policy, inventory, image.digest, now
            )
            waivers_by_repository += [
                FindingWaiver(entry.kind, entry.by, entry.owner, entry.reason, entry.until or None, repository)
                for entry in waived_matches.applied_waivers
            ]
        return waivers_by_repository

    def _select_waivers(
        self,
        image: str,
        inventory: Inventory,
        policy: Policy,
        repository: str,
        active: Sequence[Waiver],
        documents: Sequence[VexDocument],
        now: str,
    ) -> ExemptionSet:
        selected_waivers = waivers.select_waivers(active, repository, [image], now)
        if not documents:
            return ExemptionSet(selected_waivers)
        return ExemptionSet(
            selected_waivers, self._server_waivers.select_statements(documents, [image], [inventory], policy)
        )

    def _read_policy(self, repository: str, documents: Sequence[VexDocument], at: str) -> Policy:
        """The repository's policy, which says whose VEX statements count: it is not read where there are none."""
        if not documents:
            return _NO_POLICY
        if at != self._moment:
            return self._history.timeline.find_policy(repository, at)
        return self.read_policies([repository])[repository]

    def _select_relevant(self, documents: Iterable[VexDocument]) -> list[VexDocument]:
        """The documents that say something about the vulnerability."""
        return [
            document
            for document in documents
            if any(not self._names.isdisjoint(statement.vulnerabilities) for statement in document[1])
        ]

    def _list_documents(self, image: str) -> list[VexDocument]:
        """The documents that may be about an image (digest), removed ones too, after `prepare` with the image."""
        return [*self._general, *self._attached_documents.get(image, ())]

    def _select_present(self, documents: Iterable[VexDocument]) -> list[VexDocument]:
        """Return those of the documents that count in the answer."""
        return [document for document in documents if _is_present(document[0], self._as_of)]


def _is_present(record: VexRecord, at: str | None) -> bool:
    """Return whether a document was there at a time, None for now."""
    if at is None:
        return not record.removed_at
    return record.added_at <= at and (not record.removed_at or record.removed_at > at)


def _is_added(waiver: Waiver, at: str) -> bool:
    """Return whether the server had the waiver at a time."""
    return waiver.created_at is not None and waiver.created_at <= at


def _can_accept(waiver: Waiver, entry: ExposedFinding, image: str) -> bool:
    """Return whether a waiver could accept the finding at some time."""
    return (
        not waiver.rule
        and not waiver.unread
        and (not waiver.image or waiver.image == image)
        and (not waiver.package or patterns.is_package_match(waiver.package, entry.package))
    )
