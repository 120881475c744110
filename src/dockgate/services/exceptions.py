"""What is accepted: waivers and VEX documents, put on record, found for an image, announced before they lapse."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from dockgate.events.ports import Notice
from dockgate.gate import patterns, vex_statements, waivers
from dockgate.gate.model import Policy, VexStatement, Waiver, Waivers
from dockgate.gate.policy import vex_authors
from dockgate.gate.unread_waivers import check_protected
from dockgate.scanner.model import Inventory
from dockgate.services.dependencies import Dependencies
from dockgate.services.notifications import notify
from dockgate.shared.digest import digest_of
from dockgate.shared.errors import DockgateError, UsageError
from dockgate.shared.timestamps import moment, written
from dockgate.store.records import VexRecord, WaiverRecord

_log = logging.getLogger(__name__)


class Exceptions:
    def __init__(self, parts: Dependencies) -> None:
        self._parts = parts
        self._store = parts.store

    # --- on record -----------------------------------------------------------------------------------------------

    def add(self, waiver: Waiver) -> WaiverRecord:
        """UsageError for one that cannot be, or has lapsed already."""
        waivers.check_waiver(waiver)
        check_protected(waiver, [path for one in self._parts.ecosystems for path in one.databases])
        now = self._parts.now()
        until = moment(waiver.until)
        waiver = replace(waiver, until=written(until) if until else "", created_at=now)
        if not waivers.is_active(waiver, now):
            raise UsageError(f"until: {waiver.until} is over", "Name a date to come.")
        return self._store.waivers.add(waiver)

    def revoke(self, waiver_id: str, who: str) -> WaiverRecord:
        return self._store.waivers.revoke(waiver_id, who, self._parts.now())

    def upload(self, data: bytes, name: str, who: str) -> VexRecord:
        """Keeps a document, vouched for by `who`. UsageError names the place at fault."""
        said = self._parts.vex.read(data, name)
        if not said:
            raise UsageError(f"{name} states nothing", "Give a document with statements.")
        bare = next((number for number, one in enumerate(said) if not one.products), None)
        if bare is not None:
            raise UsageError(
                f"{name}: the statement on {said[bare].vulnerabilities[0]} names no product",
                "Name the image by its digest, or packages; only what is attached to an image may leave that out.",
            )
        return self._keep(data, said, "", f"{vex_statements.PRINCIPAL}{who}", ())

    def remove(self, document: str, who: str) -> VexRecord:
        return self._store.vex.remove(document, who, self._parts.now())

    def look(self, repository: str, image: str) -> None:
        """Keeps the VEX documents that are attached to an image. Not to find one makes nothing pass: a registry that
        does not say, and a document that cannot be read, are told in the log alone."""
        try:
            attached = self._parts.vex.attached(repository, image)
        except DockgateError as error:
            _log.warning("what is attached to %s@%s was not read: %s", repository, image, error)
            return
        for one in attached:
            try:
                said = self._parts.vex.read(one.document, f"what is attached to {image}")
            except UsageError as error:
                _log.warning("%s", error)
            else:
                if said:
                    self._keep(one.document, said, image, "", (one.envelope,) if one.envelope else ())

    def _keep(
        self, data: bytes, said: Sequence[VexStatement], image: str, signer: str, envelopes: tuple[str, ...]
    ) -> VexRecord:
        record = VexRecord(
            document=digest_of(data),
            image=image,
            format=said[0].format,
            author=said[0].author,
            signer=signer,
            added_at=self._parts.now(),
            envelopes=envelopes,
        )
        return self._store.vex.add(record, data, said)

    # --- for an image --------------------------------------------------------------------------------------------

    def of(self, image: str, inventories: Sequence[Inventory], policy: Policy, repository: str, now: str) -> Waivers:
        """What may speak of this image: waivers that stand, and statements with who vouches for them."""
        images = list(dict.fromkeys((image, *(one.image for one in inventories))))
        given = (record.waiver for record in self._store.waivers.active(now))
        said = [
            replace(one, signer=signer, products=one.products or (record.image,))
            for record, listed in self._store.vex.active(images)
            for signer in (record.signer or self._vouched(record, policy),)
            for one in listed
        ]
        return Waivers(
            waivers.select_waivers(given, repository, images, now),
            vex_statements.select_statements(said, images, inventories),
        )

    def _vouched(self, record: VexRecord, policy: Policy) -> str:
        """By one of the keys that the policy lists for the document's author."""
        keys = [key for author in vex_authors(policy) if author.name == record.author for key in author.keys]
        for envelope in record.envelopes if keys else ():
            if found := self._parts.vex.signer(envelope, record.document, record.image, keys):
                return f"{vex_statements.KEY}{found}"
        return ""

    def state(self, repository: str, now: str) -> str:
        """Other text whenever `of` could give something else for an image of this repository."""
        given = (record.waiver for record in self._store.waivers.active(now))
        ids = [one.id for one in given if not one.repository or patterns.matches(repository, one.repository)]
        return f"{self._store.vex.revision()} {' '.join(ids)}"

    # --- announcements -------------------------------------------------------------------------------------------

    def lapsing(self) -> list[WaiverRecord]:
        """Those that lapse soon, and of which nobody was told."""
        now = self._parts.now()
        untold = {one.waiver.id: one for one in self._store.waivers.active(now) if not one.announced_at}
        soon = waivers.expiring_waivers((one.waiver for one in untold.values()), now, self._parts.notice_days)
        return [untold[waiver.id] for waiver in soon]

    def announce(self, record: WaiverRecord) -> None:
        waiver = record.waiver
        what = " ".join(
            filter(
                None,
                (waiver.vulnerability, waiver.package, waiver.rule, waiver.unread, waiver.repository, waiver.image),
            )
        )
        notify(
            self._parts,
            Notice(
                key=f"waiver-lapses/{waiver.id}",
                kind="Waiver Lapses",
                title=f"The waiver {waiver.id} of {waiver.owner} lapses at {waiver.until}",
                body=f"{what}: {waiver.reason}\nWhat it accepts counts again then; what runs by it will be at risk.",
                detail={"waiver": waiver.id, "owner": waiver.owner, "until": waiver.until},
            ),
        )
        self._store.waivers.mark_announced(waiver.id, self._parts.now())
