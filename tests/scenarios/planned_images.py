"""Images whose findings a case chooses, and the advisories that find them: a scanner that reads nothing."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from hashlib import sha256

from tests.scenarios.defects import PlannedFindings

from dockgate.scanner.model import Distribution, Inventory, Package, Unread
from dockgate.shared.errors import DatabaseError, NotAnImageError
from dockgate.shared.timestamps import format_time
from dockgate.vulnerabilities.model import (
    Advisory,
    AdvisorySnapshot,
    AdvisoryText,
    Coverage,
    Cve,
    Range,
    Rating,
    Severity,
)

# A file of images whose `PlannedFindings.status` is UNREAD.
UNREAD = "opt/vendor/app.jar"
# Findings of one severity that an image may have.
MAX_FINDINGS = 20


def make_package(name: str, version: str = "1") -> Package:
    return Package(name, version, f"pkg:deb/debian/{name}@{version}", "Debian:13", name, version, "var/lib/dpkg/status")


@cache
def make_advisory(name: str, severity: Severity, fixed: str, variant: str = "") -> Advisory:
    """An advisory about a package. Another `variant` is another vulnerability of it."""
    events = (("introduced", "0"), ("fixed", fixed)) if fixed else (("introduced", "0"),)
    number = int(sha256(f"{name}{variant}".encode()).hexdigest()[:5], 16)  # 7 digits
    return Advisory(
        id=f"CVE-2026-{number}",
        ecosystem="Debian:13",
        name=name,
        ranges=(Range("ECOSYSTEM", events),),
        ratings=(Rating("advisory", severity),),
    )


@lru_cache(maxsize=64)  # rounds of a server ask for it several times a second
def _compute_digest(advisories: tuple[Advisory, ...], catalogue: tuple[tuple[str, Cve], ...]) -> str:
    return "sha256:" + sha256(repr((advisories, catalogue)).encode()).hexdigest()


@dataclass
class AdvisoryDatabase:
    """An advisory database of Debian's complete feed and the KEV catalogue, always just checked."""

    clock: "AdjustableClock"
    advisories: list[Advisory] = field(default_factory=list)
    catalogue: dict[str, Cve] = field(default_factory=dict, kw_only=True)
    texts: list[AdvisoryText] = field(default_factory=list, kw_only=True)

    @property
    def digest(self) -> str:
        return _compute_digest(tuple(self.advisories), tuple(self.catalogue.items()))

    def read_snapshot(self, inventories: Sequence[Inventory]) -> AdvisorySnapshot:
        names = {package.source_name for inventory in inventories for package in inventory.packages}
        affecting = tuple(advisory for advisory in self.advisories if advisory.name in names)
        cves = tuple(self.find_cves(sorted(entry.id for entry in affecting)).values())
        advisories = tuple(sorted(affecting, key=lambda item: (item.name, item.id)))
        return AdvisorySnapshot(advisories, tuple(self.list_coverage()), cves)

    def read_catalogues(self, cve_names: Collection[str]) -> AdvisorySnapshot:
        return AdvisorySnapshot((), tuple(self.list_coverage())[1:])

    def find_cves(self, names: Iterable[str]) -> Mapping[str, Cve]:
        return {name: self.catalogue[name] for name in names if name in self.catalogue}

    def find_packages(self, names: Sequence[str]) -> Collection[tuple[str, str]] | None:
        return {("Debian", entry.name) for entry in self.advisories if entry.id in names} or None

    def has_package(self, names: Sequence[str]) -> bool:
        return any(entry.name in names for entry in self.advisories)

    def list_advisories(self, names: Sequence[str]) -> Sequence[Advisory]:
        return [entry for entry in self.advisories if entry.id in names]

    def list_texts(self, names: Sequence[str]) -> Sequence[AdvisoryText]:
        return [text for text in self.texts if text.id in names]

    def list_coverage(self) -> Sequence[Coverage]:
        now = format_time(self.clock())
        return (Coverage("Debian:13", True, (), now), Coverage("kev", True, (), now))


class MissingAdvisories(AdvisoryDatabase):
    """The database's file has vanished."""

    @property
    def digest(self) -> str:
        raise DatabaseError("there is no advisory database at advisories.db", "Run `dockgate db update`.")

    def read_snapshot(self, inventories: Sequence[Inventory]) -> AdvisorySnapshot:
        raise DatabaseError("there is no advisory database at advisories.db", "Run `dockgate db update`.")

    def list_coverage(self) -> Sequence[Coverage]:
        raise DatabaseError("there is no advisory database at advisories.db", "Run `dockgate db update`.")


class OldAdvisories(AdvisoryDatabase):
    """Feeds that were checked too long ago."""

    def list_coverage(self) -> Sequence[Coverage]:
        old_time = format_time(self.clock() - timedelta(days=8))
        return tuple(replace(entry, checked_at=old_time) for entry in super().list_coverage())


@dataclass
class AdjustableClock:
    """The present time, how far a test is ahead of it, and how far the clock is wrong."""

    ahead: timedelta = timedelta()
    wrong_by: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead + self.wrong_by

    def read_uptime(self) -> float:
        """The seconds for which the host has been up: a wrong clock does not change them."""
        return time.monotonic() + self.ahead.total_seconds()


def list_planned_advisories() -> list[Advisory]:
    """An advisory for every finding that an image may have."""
    return [
        make_advisory(f"{severity.lower()}-{kind}-{number}", severity, "2" if kind == "fixed" else "")
        for severity in Severity
        for kind in ("fixed", "open")
        for number in range(MAX_FINDINGS)
    ]


def make_planned_inventory(digest: str, name: str, plan: PlannedFindings) -> Inventory:
    """What the scan of an image gives. Raises where the plan is that the scan fails."""
    if plan.status == "ARTIFACT":
        raise NotAnImageError(f"Manifest {digest} is not a container image.")
    if plan.status == "STRANGE":
        raise RuntimeError("unforeseen")
    packages = [make_package(name)]
    for kind, counts in (("fixed", plan.counts), ("open", plan.unfixable)):
        for severity, count in counts.items():
            packages += [make_package(f"{severity.lower()}-{kind}-{number}") for number in range(count)]
    inventory = Inventory(
        image=digest,
        platform="linux/amd64",
        distribution=Distribution("debian", "13", "Debian GNU/Linux 13 (trixie)"),
        layers=(),
        packages=tuple(sorted(packages, key=lambda item: item.name)),
        unread=(),
    )
    if plan.status == "UNREAD":
        inventory = replace(inventory, unread=(Unread(UNREAD, f"{UNREAD} is encrypted."),))
    if plan.status == "UNSUPPORTED":
        unread_paths = (Unread("/", "The image names no operating system."),)
        inventory = replace(inventory, distribution=None, packages=(), unread=unread_paths)
    return inventory
