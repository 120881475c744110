"""Record waivers and VEX documents, select those of an image, and announce their end."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

from dockgate.delivery.ports import AttachedDocuments
from dockgate.events import governance_events
from dockgate.gate import patterns, vex_formats, vex_statements, waivers
from dockgate.gate.fleet.model import FleetWaivers
from dockgate.gate.model import ExemptionSet, Policy, VexSigner, VexStatement, Waiver
from dockgate.gate.policy import list_vex_authors
from dockgate.gate.unread_waivers import check_protected
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Ecosystem
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import EffectKind, Effects
from dockgate.services.error_isolation import run_for_each
from dockgate.services.verdicts.attached_statements import find_vex_signer, read_attached_vex
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import ConflictError, DockgateError, NotFoundError, UnavailableError, UsageError
from dockgate.shared.references import ImageReference
from dockgate.shared.timestamps import compute_latest_time, format_time, parse_time, shift_time
from dockgate.store import Store
from dockgate.store.records import ImageLocation, VexRecord, VexVersion, WaiverRecord

# A VEX document with its statements.
VexDocument = tuple[VexRecord, Sequence[VexStatement]]
# Ended waivers that an event names.
ENDS_LIMIT = 5

_log = logging.getLogger(__name__)


class ServerExemptions(NamedTuple):
    """The waivers and VEX documents that are active at one moment, the documents by their versions.

    See `Vex.list_all_active`.
    """

    waivers: tuple[Waiver, ...]
    documents: Mapping[VexVersion, VexDocument]

    @property
    def waiver_ids(self) -> frozenset[str]:
        """The ids of the waivers."""
        return frozenset(waiver.id for waiver in self.waivers)


@dataclass(frozen=True, slots=True)
class ServerWaivers:
    """The waivers and VEX documents of the server, and the selection of those that apply.

    `attached_documents` finds VEX documents beside images. A waiver is announced `notice_days` before its end.
    """

    store: Store
    attached_documents: AttachedDocuments
    ecosystems: Sequence[Ecosystem]
    clock: ServerClock
    effects: Effects
    notice_days: float

    # --- recording ------------------------------------------------------------------------------------------------

    def add_waiver(self, waiver: Waiver) -> WaiverRecord:
        """Record a waiver, once for each id. UsageError for an invalid or expired one."""
        return self.effects.run(EffectKind.ACCEPT, lambda: self.store.waivers.add(self.check(waiver)))

    def revoke_waiver(self, waiver_id: str, by: str) -> WaiverRecord:
        """Revoke a waiver. An earlier revocation keeps its author and time. Raises NotFoundError."""
        return self.effects.run(EffectKind.ACCEPT, self.store.waivers.revoke, waiver_id, by, self.clock.now())

    def upload_vex(self, data: bytes, name: str, by: str) -> VexRecord:
        """Record a VEX document that `by` vouches for. UsageError naming the invalid statement."""
        return self.effects.run(EffectKind.ACCEPT, self._upload_vex, data, name, by)

    def remove_vex(self, document: str, by: str) -> VexRecord:
        """Remove an uploaded document. An earlier removal keeps its author and time. Raises NotFoundError."""
        return self.effects.run(EffectKind.ACCEPT, self.store.vex.remove, document, by, self.clock.now())

    def refresh_attached_vex(self, repository: str, image: str) -> None:
        """Record the VEX documents that are attached to an image by now.

        Raises ConflictError for too many, NotFoundError for an image that the registry does not have, and
        UnavailableError if the registry does not say what is attached.
        """
        error, refusal = self.effects.run(EffectKind.ACCEPT, self._record_attached, repository, image)
        if error is not None:
            kind = NotFoundError if isinstance(error, NotFoundError) else UnavailableError
            raise kind(
                f"cannot read the documents attached to {ImageReference(repository, image)}: {error}",
                f"{error.next_step or 'Check the registry.'} The server also asks again by itself, every ten minutes. "
                "Until then, the documents that it has read before count.",
            )
        if refusal is not None:
            raise ConflictError(refusal, "Upload the documents that count: `dockgate vex add FILE`.")

    def record_attached_vex(self, repository: str, image: str) -> str | None:
        """Record the VEX documents that are attached to an image.

        Documents that cannot be read, or are too many, are logged, and raise nothing. A registry that does not answer
        is asked again later (`attachment_retries`): a document that is missing could retract an excuse. Returns why not
        all are recorded, None if they are.
        """
        return self._record_attached(repository, image)[1]

    def fetch_attached_vex(self, repository: str, image: str) -> DockgateError | None:
        """Do what `record_attached_vex` does, but return why the registry did not answer, None if it did."""
        return self._record_attached(repository, image)[0]

    def _record_attached(self, repository: str, image: str) -> tuple[DockgateError | None, str | None]:
        """Return why the registry did not answer, and why not all documents are recorded."""
        try:
            documents = self.attached_documents(repository, image)
        except DockgateError as error:
            _log.warning("cannot read the documents attached to %s@%s: %s", repository, image, error)
            self.store.vex.record_failed_fetch(image, repository, self.clock.now())
            return error, None
        refusal: str | None = None
        for vex in read_attached_vex(documents, image):
            try:
                statements = vex_formats.read(vex.document, f"what is attached to {image}")
                if statements:
                    self._put_vex(vex.document, statements, image, None, (vex.envelope,) if vex.envelope else ())
            except UsageError as error:
                _log.warning("%s", error)
            except ConflictError as error:
                _log.warning("%s", error)
                refusal = str(error)
        self.store.vex.forget_failed_fetch(image, repository)
        return None, refusal

    def check(self, waiver: Waiver) -> Waiver:
        """Return a waiver as it would be recorded now. UsageError for an invalid or expired one."""
        waivers.check_waiver(waiver)
        check_protected(waiver, [path for ecosystem in self.ecosystems for path in ecosystem.database_paths])
        now = self.clock.now()
        end, until = waiver.until, parse_time(waiver.until)
        waiver = replace(waiver, until=format_time(until) if until else None, created_at=now)
        if not waivers.is_active(waiver, now):
            raise UsageError(f"until: {end} is in the past", "Give a date in the future.")
        return waiver

    def _upload_vex(self, data: bytes, name: str, by: str) -> VexRecord:
        statements = vex_formats.read(data, name)
        if not statements:
            raise UsageError(f"{name} has no statements", "Name a document with statements.")
        bare = next((statement for statement in statements if not statement.products), None)
        if bare is not None:
            raise UsageError(
                f"{name}: the statement on {bare.vulnerabilities[0]} names no product",
                "Name the image by its digest, or packages. Only documents attached to an image may omit that.",
            )
        return self._put_vex(data, statements, None, VexSigner.make_principal(by), ())

    def _put_vex(
        self,
        data: bytes,
        statements: Sequence[VexStatement],
        image: str | None,
        signer: VexSigner | None,
        envelopes: tuple[str, ...],
    ) -> VexRecord:
        record = VexRecord(
            document=compute_digest(data),
            image=image,
            format=statements[0].format,
            author=statements[0].author,
            signer=signer,
            added_at=self.clock.now(),
            envelopes=envelopes,
        )
        return self.store.vex.add(record, data, statements)

    # --- for an image ---------------------------------------------------------------------------------------------

    def select_for_image(
        self, image: str, inventories: Sequence[Inventory], policy: Policy, repository: str | None, now: str
    ) -> ExemptionSet:
        """Return the waivers and VEX statements that may apply to this image.

        Each statement says who vouches for it. Waivers of a repository apply in `repository` only, in none if that is
        None.
        """
        images = list(dict.fromkeys((image, *(inventory.image_digest for inventory in inventories))))
        active_waivers = (record.waiver for record in self.store.waivers.list_active(now))
        return ExemptionSet(
            waivers.select_waivers(active_waivers, repository, images, now),
            self.select_statements(self.store.vex.list_active(images), images, inventories, policy),
        )

    def select_statements(
        self, documents: Iterable[VexDocument], images: Sequence[str], inventories: Sequence[Inventory], policy: Policy
    ) -> tuple[VexStatement, ...]:
        """Return the statements of documents (`Vex.list_all_active`) that may apply to an image.

        Each says who vouches for it.
        """
        statements = [
            statement
            for record, document_statements in documents
            for statement in self._complete_statements(record, document_statements, policy)
        ]
        return vex_statements.select_statements(statements, images, inventories)

    def read_exemptions(self, active: Iterable[WaiverRecord]) -> ServerExemptions:
        """Return these waivers with all VEX documents that are active now."""
        return ServerExemptions(tuple(record.waiver for record in active), self.store.vex.list_all_active())

    def select_for_fleet(self, exemptions: ServerExemptions, policy: Policy) -> FleetWaivers:
        """Return all waivers and VEX statements, from which `select_for_image` selects those of an image."""
        general: list[VexStatement] = []
        attached_statements: dict[str, list[VexStatement]] = {}
        for record, document_statements in exemptions.documents.values():
            statements = attached_statements.setdefault(record.image, []) if record.image else general
            statements += self._complete_statements(record, document_statements, policy)
        return FleetWaivers(
            exemptions.waivers,
            tuple(general),
            {image: tuple(statements) for image, statements in attached_statements.items()},
        )

    def _complete_statements(
        self, record: VexRecord, statements: Iterable[VexStatement], policy: Policy
    ) -> Iterator[VexStatement]:
        """Yield the statements of a document, each with the signer who vouches for it.

        Statements without a product are about the image that the document is attached to.
        """
        signer = record.signer or self._find_signer(record, policy)
        for statement in statements:
            if statement.products:
                yield replace(statement, signer=signer)
            elif record.image:
                yield replace(statement, signer=signer, products=(record.image,))

    def _find_signer(self, record: VexRecord, policy: Policy) -> VexSigner | None:
        """The key that the policy lists for the document's author and that signed the document, or None."""
        if record.image is None:
            return None
        keys = [key for author in list_vex_authors(policy) if author.name == record.author for key in author.keys]
        for envelope in record.envelopes if keys else ():
            if fingerprint := find_vex_signer(envelope, record.document, record.image, keys):
                return VexSigner.make_key(fingerprint)
        return None

    # --- announcements --------------------------------------------------------------------------------------------

    def announce_expiring(self) -> None:
        """Announce once each waiver that expires soon, and each that has expired.

        Announcements made by a clock that was ahead are undone; the event `waiver.restored` corrects the end of a
        waiver that has not ended.
        """
        now = self.clock.now()
        notice_until = format_time(shift_time(self.clock(), timedelta(days=self.notice_days)))
        self.store.waivers.forget_announcements(compute_latest_time(now), now, notice_until)
        active = self.store.waivers.list_active(now)
        unannounced_waivers = [record.waiver for record in active if record.announced_at is None]
        expiring = waivers.select_expiring_waivers(unannounced_waivers, now, self.notice_days)
        expired_waivers = self.store.waivers.list_unannounced_ends(now)
        by_vulnerability: dict[str, list[Waiver]] = {}
        for record in active:
            by_vulnerability.setdefault(record.waiver.vulnerability or "", []).append(record.waiver)
        for has_ended, announced_waivers in ((False, expiring), (True, expired_waivers)):
            announce = partial(self._announce, has_ended, by_vulnerability)
            run_for_each(announced_waivers, announce, lambda waiver: waiver.id)

    def _announce(self, has_ended: bool, by_vulnerability: Mapping[str, Sequence[Waiver]], waiver: Waiver) -> None:
        """Announce the end of a waiver. Another one with its vulnerability, or without any, may cover it."""
        now, shared_names = self.clock.now(), self._list_shared_names(waiver.vulnerability)
        other_waivers = chain.from_iterable(by_vulnerability.get(name, ()) for name in ("", *sorted(shared_names)))
        covering_waiver = waivers.find_covering_waiver(waiver, other_waivers, shared_names)
        covered_by = covering_waiver.id if covering_waiver is not None else None
        kind = "waiver.expired" if has_ended else "waiver.expiring"
        mark = self.store.waivers.mark_end_announced if has_ended else self.store.waivers.mark_announced
        event = governance_events.make_waiver_event(kind, waiver, now, covered_by=covered_by)
        self.effects.run(EffectKind.ANNOUNCE, mark, waiver.id, now, [event])

    def _list_shared_names(self, name: str | None) -> set[str]:
        """The names that all findings of the vulnerability with this name have, this one included."""
        if not name:
            return set()
        vulnerabilities = self.store.component_search.find_vulnerabilities(name, should_ignore_case=False).values()
        names = [{entry.name, *entry.aliases} for entry in vulnerabilities if name in (entry.name, *entry.aliases)]
        return {name}.union(set.intersection(*names) if names else ())

    def explain_ends(self, locations: Mapping[ImageLocation, str], since: str) -> dict[ImageLocation, str]:
        """Return which waivers that may have counted for images (repository and digest) ended since that time.

        Each location has a time from which on its image had the verdict that is to be explained: a waiver that ended
        before did not count then. Images that no such waiver names are left out.
        """
        ended_waivers = self.store.waivers.list_ended(since, self.clock.now()) if locations else ()
        reasons = {
            location: "; ".join(islice(_describe_ends(ended_waivers, *location, verdict_since), ENDS_LIMIT))
            for location, verdict_since in locations.items()
        }
        return {location: reason for location, reason in reasons.items() if reason}


def _describe_ends(ended_waivers: Sequence[WaiverRecord], repository: str, image: str, since: str) -> Iterator[str]:
    """Yield how each of the waivers ended since that time that may have counted for an image."""
    for record in ended_waivers:
        waiver = record.waiver
        if max(filter(None, (record.revoked_at or waiver.until, record.fix_announced_at))) < since:
            continue
        if (not waiver.image or waiver.image == image) and patterns.is_match(repository, waiver.repository or "**"):
            if record.revoked_at:
                yield f"the waiver {waiver.id} was revoked by {record.revoked_by}"
            elif record.fix_announced_at:
                yield f"a fix exists for what the waiver {waiver.id} accepted"
            else:
                yield f"the waiver {waiver.id} ended at {waiver.until}"
