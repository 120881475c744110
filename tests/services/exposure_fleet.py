"""A fleet of images in which tests look for vulnerabilities, day by day."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from tests.scanned_platforms import list_platforms
from tests.services.fleet.test_index import (
    KINDS,
    AdvisoryDatabase,
    digest,
    index_of,
    make_inventory,
)

from dockgate.delivery.definitions.approval_request import read_requested_policy
from dockgate.gate.model import Policy
from dockgate.gate.policy import make_policy
from dockgate.gate.rules import load as load_rules
from dockgate.scanner.model import Package, Unread
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.exposure.answer import (
    Exposure,
    ExposureRequest,
)
from dockgate.services.exposure.search import ExposureSearch
from dockgate.services.exposure.waived_findings import UNGROUPED_LIMIT
from dockgate.services.exposure.waiver_history import CachedWaiverHistory
from dockgate.services.fleet.index import FleetIndex
from dockgate.services.images.fleet_packages import FleetPackages
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.packages import Purls
from dockgate.services.policies.policies import Policies
from dockgate.services.policies.selection import PolicySelection
from dockgate.services.policies.timeline import PolicyTimeline
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.store import Store
from dockgate.store.records import PushedImage


def format_day(number: int) -> str:
    return f"2026-11-{number:02}T10:00:00.000Z"


@dataclass(frozen=True)
class FixedPolicy:
    """One policy that always judged everything."""

    policy: Policy

    def read_timeline(self) -> PolicyTimeline:
        return PolicyTimeline(list, lambda name: [("", self.policy)])


@dataclass
class Fleet:
    """A fleet whose clock a test sets by the day. Its feeds were checked on the day `checked_on`, None for today."""

    store: Store
    database: AdvisoryDatabase
    today: int = 20
    policy: Policy = field(default_factory=lambda: make_policy("default", {}))
    ungrouped_limit: int = UNGROUPED_LIMIT
    selection: PolicySelection | None = None
    checked_on: int | None = None

    def use_stored_policies(self) -> PolicySelection:
        """Take the policies from the store."""
        policies = Policies(self.store, load_rules(), self.make_clock(), Effects())
        read_file = partial(read_requested_policy, rules=())
        self.selection = PolicySelection(self.store, policies, read_file, policies.read_versions)
        return self.selection

    def make_clock(self) -> ServerClock:
        return ServerClock(lambda: datetime(2026, 11, self.today, 10, tzinfo=UTC))

    @property
    def index(self) -> FleetIndex:
        return replace(index_of(self.store, self.database), clock=self.make_clock())

    def push(
        self,
        image: str,
        repository: str,
        tag: str,
        *packages: Package,
        unread_paths: tuple[Unread, ...] = (),
        base_layers: int = 1,
    ) -> str:
        self.store.images.add_push(PushedImage(repository, tag, digest(image), format_day(self.today)))
        scan = self.store.images.request_scan(digest(image), repository, format_day(self.today))
        content = replace(make_inventory(digest(image), *packages), unread=unread_paths, base_layers=base_layers)
        self.store.images.finish_scan(digest(image), scan.number, list_platforms(content), None, format_day(self.today))
        self.index.add(digest(image))
        return digest(image)

    def find_exposure(self, question: str, as_of: int | None = None, **options: object) -> Exposure:
        time = None if as_of is None else f"2026-11-{as_of:02}T12:00:00.000Z"
        return self.make_search().find(ExposureRequest(question, as_of=time, **options))  # type: ignore[arg-type]

    def make_search(self) -> ExposureSearch:
        self.database.checked_at = format_day(self.checked_on or self.today)
        clock, effects = self.make_clock(), Effects()
        server_waivers = ServerWaivers(
            self.store,
            lambda repository, digest: [],
            KINDS,
            clock,
            effects,
            7,
        )
        selection = self.selection or PolicySelection(
            self.store, lambda name: self.policy, partial(read_requested_policy, rules=())
        )
        return ExposureSearch(
            self.store,
            self.database,
            server_waivers,
            WatchedImages(self.store, selection, clock, clock, "registry.example"),
            FleetPackages(self.store, Purls(KINDS)),
            CachedWaiverHistory(self.store, (self.selection or FixedPolicy(self.policy)).read_timeline),
            clock,
            "registry.example",
            lambda feeds: f"Refresh {' and '.join(feeds) or 'the feeds'}.",
            self.ungrouped_limit,
        )
