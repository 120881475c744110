"""The daily summary of a target: how its images and services are, also when all is well."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dockgate.events.message import one_line, shorten
from dockgate.events.rule import Target
from dockgate.gate.waivers import expiring_waivers
from dockgate.services.owners import Owners
from dockgate.shared.timestamps import format_time
from dockgate.store import Store

LIST_LIMIT = 10
WAIVER_DAYS = 7


@dataclass(frozen=True, slots=True)
class NotificationSummary:
    """Makes summaries. A target that is no owner's summarises the whole server."""

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
        waivers = self._expiring(now, owners, target, is_owner)
        is_well = not at_risk and not waivers
        title = (
            f"All is well: {services} services, none at risk"
            if is_well
            else f"{len(at_risk)} of {services} services at risk, {len(waivers)} waivers expire soon"
        )
        scope = "of your repositories" if is_owner else "of this server"
        lines = [f"Services {scope}: {services}, at risk: {len(at_risk)}.", *_listed(at_risk)]
        lines += [f"Waivers that expire within {WAIVER_DAYS} days: {len(waivers)}.", *_listed(waivers)]
        detail = {"services": services, "at_risk": at_risk[:LIST_LIMIT], "expiring_waivers": waivers[:LIST_LIMIT]}
        return title, "\n".join(lines), detail

    def _expiring(self, now: datetime, owners: Owners, target: Target, is_owner: bool) -> list[str]:
        at = format_time(now)
        active = [record.waiver for record in self.store.waivers.active(at)]
        return [
            f"{waiver.id} of {one_line(waiver.owner)} expires at {waiver.until}"
            for waiver in expiring_waivers(active, at, WAIVER_DAYS)
            if not is_owner or (waiver.repository and owners.owns(target.name, waiver.repository))
        ]


def _listed(lines: list[str]) -> list[str]:
    shown = [f"- {shorten(one_line(line), 200)}" for line in lines[:LIST_LIMIT]]
    return [*shown, f"and {len(lines) - LIST_LIMIT} more"] if len(lines) > LIST_LIMIT else shown
