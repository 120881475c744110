"""The daily summary of a target: how its images and services are, also when all is well."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dockgate.events.message import one_line, shorten
from dockgate.events.rule import Target
from dockgate.gate.model import Status
from dockgate.gate.waivers import expiring_waivers
from dockgate.services.owners import Owners
from dockgate.shared.timestamps import format_time
from dockgate.store import Store
from dockgate.store.image_listing import ImageFilter, ImageSort

LIST_LIMIT = 10
WAIVER_DAYS = 7


@dataclass(frozen=True, slots=True)
class NotificationSummary:
    """Makes summaries. A target that is not an owner's summarises the whole server."""

    store: Store

    def of(self, target: Target, now: datetime, registry: str) -> tuple[str, str, Mapping[str, Any]]:
        """Title, text and detail of the summary of a target."""
        owners = Owners.load(self.store, [target], registry)
        is_owner = owners.is_owner(target.name)
        at_risk, services = [], 0
        for service in self.store.services.list():
            if is_owner and not owners.targets_of({"detail": {"service": service.name}}):
                continue
            services += 1
            if service.at_risk:
                at_risk.append(f"{service.name}: replace it before {service.at_risk_until}")
        waivers = self._expiring_waivers(now, owners, target, is_owner)
        counts, rejected = self._images(owners, target, is_owner)
        images, bad = sum(counts.values()), counts.get(Status.REJECTED, 0)
        unknown = counts.get(Status.UNDETERMINED, 0)
        is_well = not at_risk and not waivers and not bad and not unknown
        title = (
            f"All is well: {services} services, none at risk; {images} images, all approved"
            if is_well
            else f"{len(at_risk)} of {services} services at risk, {bad} of {images} images rejected, {unknown}"
            f" undetermined, {len(waivers)} waivers expire soon"
        )
        scope = "of your repositories" if is_owner else "of this server"
        lines = [f"Services {scope}: {services}, at risk: {len(at_risk)}.", *_list_lines(at_risk)]
        lines += [f"Images: {images}, rejected: {bad}, undetermined: {unknown}.", *_list_lines(rejected, bad)]
        lines += [f"Waivers that expire within {WAIVER_DAYS} days: {len(waivers)}.", *_list_lines(waivers)]
        detail = {
            "services": services,
            "at_risk": at_risk[:LIST_LIMIT],
            "images": {status.value: count for status, count in counts.items()},
            "rejected": rejected,
            "expiring_waivers": waivers[:LIST_LIMIT],
        }
        return title, "\n".join(lines), detail

    def _images(self, owners: Owners, target: Target, is_owner: bool) -> tuple[Mapping[Status, int], list[str]]:
        """How many images have each current verdict, and the rejected ones with the worst findings."""
        listing = self.store.image_listing
        repositories = None
        if is_owner:
            repositories = [name for name in self.store.exposures.repositories() if owners.owns(target.name, name)]
        which = ImageFilter(repositories, statuses=(Status.REJECTED,))
        worst, _ = listing.page(which, ImageSort.SEVERITY, None, LIST_LIMIT, judged_before="")
        places = {image.digest: image for image in reversed(worst)}  # one of the tags of each
        names = [f"{each.repository}{f':{each.tag}' if each.tag else f'@{each.digest}'}" for each in places.values()]
        return listing.count_verdicts(repositories), names[::-1]

    def _expiring_waivers(self, now: datetime, owners: Owners, target: Target, is_owner: bool) -> list[str]:
        at = format_time(now)
        active = [record.waiver for record in self.store.waivers.active(at)]
        return [
            f"{waiver.id} of {one_line(waiver.owner)} expires at {waiver.until}"
            for waiver in expiring_waivers(active, at, WAIVER_DAYS)
            if not is_owner or (waiver.repository and owners.owns(target.name, waiver.repository))
        ]


def _list_lines(lines: list[str], count: int | None = None) -> list[str]:
    """The first lines of `count`, by default as many as there are."""
    shown = [f"- {shorten(one_line(line), 200)}" for line in lines[:LIST_LIMIT]]
    remaining = (len(lines) if count is None else count) - len(shown)
    return [*shown, f"and {remaining} more"] if remaining > 0 else shown
