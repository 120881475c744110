"""What the workflows are handed. `services/server.py` fills it in with real adapters, tests with fakes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dockgate.delivery.ports import (
    Advisories,
    Answers,
    Attestor,
    Builder,
    Clock,
    FindingsSource,
    ImageReader,
    ImageResolver,
    ProvenanceReader,
    Registry,
    RepositoryHost,
    Target,
    VexReader,
)
from dockgate.events.ports import Notifier, Webhooks
from dockgate.gate.model import Policy
from dockgate.gate.rule import Rule
from dockgate.scanner.ports import Ecosystem
from dockgate.store import Store


@dataclass(frozen=True, slots=True)
class Dependencies:
    """`policies` gives a policy by name or the text of a `PolicyReference` (NotFoundError lists what there is). `asks`
    reads what a repository's `.dockgate.yaml` asks of itself, None for nothing: out of its bytes, and its name for
    errors. `secret` is known to the server alone; `scratch` is a folder for what is in work, emptied at every start.
    `risk_days` is how long an image that runs may stay at risk, `keep_days` how long settled approvals and handled
    events are kept, `notice_days` how long before it lapses a waiver is announced. Callbacks whose URL has a scheme in
    `answers` are answered by that, all others by `webhooks`. Images that `findings` knows are not read: it is asked.
    Approvals are attested by `attestor` (None: not at all), for `attestation_days`, and so are builds. `url` is the
    server's own, under which its repositories lie."""

    store: Store
    source: RepositoryHost
    builder: Builder
    registry: Registry
    read_image: ImageReader
    vex: VexReader
    provenance: ProvenanceReader
    resolve_image: ImageResolver
    webhooks: Webhooks
    targets: Mapping[str, Target]
    notifiers: Sequence[Notifier]
    advisories: Advisories
    policies: Callable[[str], Policy]
    asks: Callable[[bytes, str], Policy | None]
    ecosystems: Sequence[Ecosystem]
    rules: Sequence[Rule]
    engine_version: str
    secret: str
    scratch: Path
    clock: Clock
    answers: Mapping[str, Answers] = field(default_factory=dict)
    findings: FindingsSource | None = None
    attestor: Attestor | None = None
    attestation_days: float = 30
    risk_days: float = 14
    keep_days: float = 90
    notice_days: float = 7
    url: str = ""

    def now(self) -> str:
        return text(self.clock())

    def ago(self, days: float) -> str:
        return text(self.clock() - timedelta(days=days))

    def later(self, seconds: float) -> str:
        return text(self.clock() + timedelta(seconds=seconds))


def text(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
