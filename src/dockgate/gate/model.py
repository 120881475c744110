"""The nouns of the gate, as frozen values: policy, waiver, verdict, remediation, and the case a verdict is made
from."""

from dataclasses import dataclass, field
from enum import StrEnum

from dockgate.gate.provenance import ProvenanceFacts
from dockgate.scanner.model import Inventory
from dockgate.vulnerabilities.model import AdvisorySnapshot, Finding, Matches, Undetermined


class Status(StrEnum):
    """What a verdict says. Both other than APPROVED block."""

    APPROVED = "Approved"
    UNDETERMINED = "Undetermined"
    REJECTED = "Rejected"


def worst(statuses: "list[Status]") -> Status:
    """Rejected before Undetermined before Approved; nothing judged at all is Undetermined."""
    order = list(Status)
    return max(statuses, key=order.index, default=Status.UNDETERMINED)


# --- what is judged by -------------------------------------------------------------------------------------------


class RuleAction(StrEnum):
    """What follows from a rule that is broken: the image is rejected, or people are told. A note is not even a
    warning."""

    REJECT = "reject"
    WARN = "warn"
    NOTE = "note"


# A rule's settings in full: a JSON object, `action` (RuleAction) among them.
Settings = dict[str, object]


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy in canonical form: rule name -> its settings, once for each time that the policy names the rule.
    `digest` is of the canonical bytes."""

    name: str
    rules: dict[str, tuple[Settings, ...]]
    digest: str


@dataclass(frozen=True, slots=True)
class Waiver:
    """Something accepted: findings, violations of a rule, or unread content. What is "" holds for any.

    `vulnerability` is one of the finding's names ("CVE-2024-1"), `package` a purl pattern ("pkg:npm/lodash@4.*"),
    `repository` a pattern of repositories ("team-*"), `image` a manifest's or index's digest. Instead of a
    vulnerability it may name a `rule`: then it accepts that rule's violations that have no findings, of one `image`;
    with `violation` (a violation's message) that one alone. Or it names `unread`: a path that could not be read, a
    pattern of paths, or a pattern of packages that cannot be judged ("pkg:…"; `core.unread_waivers`).

    It lapses at `until` (RFC 3339 in UTC; "" for never) and, with `until_fixed`, once a fixed version exists; one of
    the two is always there. `owner` answers for it.
    """

    id: str
    owner: str
    reason: str
    vulnerability: str = ""
    package: str = ""
    repository: str = ""
    image: str = ""
    rule: str = ""
    violation: str = ""
    unread: str = ""
    until: str = ""
    until_fixed: bool = False
    created_at: str = ""
    created_by: str = ""


class VexStatus(StrEnum):
    """What a VEX document says of a vulnerability in a product, in OpenVEX's words."""

    NOT_AFFECTED = "not_affected"
    AFFECTED = "affected"
    FIXED = "fixed"
    UNDER_INVESTIGATION = "under_investigation"


@dataclass(frozen=True, slots=True)
class VexStatement:
    """One statement of a VEX document, in whatever format it was written.

    `document` is the document's digest, `format` "openvex", "cyclonedx" or "csaf", `author` whom it names as its author
    and `signer` who vouches for that: "principal:NAME" for whoever uploaded it, "key:sha256:…" for the key that signed
    what is attached to the image, "" for nobody. `vulnerabilities` are all names of one vulnerability. `products` are
    purls or digests that it speaks of (empty: whatever image it is attached to), `packages` purls inside of these
    (empty: the products themselves). `justification` is OpenVEX's word or the format's own, `impact` free text, `at`
    RFC 3339.
    """

    document: str
    format: str
    author: str
    signer: str
    vulnerabilities: tuple[str, ...]
    status: VexStatus
    products: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    justification: str = ""
    impact: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Waivers:
    """All that was accepted or excused for an image: the part of the server's waivers and VEX statements that may speak
    of it, kept for as long as the verdict."""

    waivers: tuple[Waiver, ...] = ()
    statements: tuple[VexStatement, ...] = ()


# --- what is decided ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a finding or a count breaks. `findings` are those that count towards it (empty for other facts).

    `allowed`: with so many of them the rule would be kept; -1 where it is not their number alone that decides."""

    rule: str
    message: str
    findings: tuple[Finding, ...] = ()
    allowed: int = -1


@dataclass(frozen=True, slots=True)
class NonBlockingViolation:
    """A violation that a rule itself wants no image rejected for, whatever its use's action: it warns, or notes."""

    action: RuleAction
    violation: Violation


@dataclass(frozen=True, slots=True)
class AppliedWaiver:
    """A finding that does not count, or a violation without findings (then `finding` is None and `violation` its
    message). `unread` is the path or package of unread content (then `violation` is why it was not read), "" for
    anything else.

    `by` is the waiver's id, or the digest of the VEX document; `kind` "waiver" or "vex"; `owner` the waiver's owner or
    the document's author; `reason` the waiver's reason, or the justification; `until` when it lapses ("" for no date).
    """

    kind: str
    by: str
    owner: str
    reason: str
    until: str = ""
    finding: Finding | None = None
    violation: str = ""
    unread: str = ""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Part of the remediation: bring `package` (its purl, wherever it lies) from `version` to `fixed` or later, which
    clears `clears` (finding ids). `base`: the base image alone brought it, so that a newer base image is the better
    way."""

    package: str
    name: str
    version: str
    fixed: str
    clears: tuple[str, ...]
    base: bool = False


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What no upgrade takes away: a finding (`id`, in `package`, a purl) or, with both "", a violation of another kind
    or something undetermined. `reason` is a whole sentence."""

    reason: str
    id: str = ""
    package: str = ""


@dataclass(frozen=True, slots=True)
class Remediation:
    """The upgrades that would turn the verdict, proven by judging again with them applied.

    `is_sufficient`: with all of them the image is Approved; otherwise they clear what can be cleared, and `obstacles`
    say what stands in the way. `is_minimum`: no smaller set turns it; otherwise none of its members can be left out.
    `commands` are for a shell inside the image's build, one a package manager; one that begins with "#" is said to
    people. `base_commands` upgrade what the base image brought, for when no newer base image has it.
    """

    upgrades: tuple[Upgrade, ...] = ()
    is_sufficient: bool = False
    is_minimum: bool = False
    obstacles: tuple[Obstacle, ...] = ()
    commands: tuple[str, ...] = ()
    base_commands: tuple[str, ...] = ()


NO_REMEDIATION = Remediation()


@dataclass(frozen=True, slots=True)
class PlatformVerdict:
    """The gate's word on one platform of the image. `counts` has every severity, absent ones as 0.

    `findings` are all, those that are `waived` too. `warnings` and `notes` are of rules whose action is no rejection.
    `source` is the other scanner whose findings are judged, "" where the image was scanned.
    """

    image: str
    platform: str
    status: Status
    counts: dict[str, int]
    violations: tuple[Violation, ...]
    undetermined: tuple[Undetermined, ...]
    findings: tuple[Finding, ...]
    remediation: Remediation = NO_REMEDIATION
    warnings: tuple[Violation, ...] = ()
    notes: tuple[Violation, ...] = ()
    waived: tuple[AppliedWaiver, ...] = ()
    source: str = ""

    @property
    def label(self) -> str:
        """ "linux/amd64", "linux/amd64 by trivy": what people tell it from others by."""
        return f"{self.platform} by {self.source}".strip() if self.source else self.platform


@dataclass(frozen=True, slots=True)
class InputDigests:
    """What a verdict was made from: digests of inventories, snapshot, policy and waivers; the time asked (RFC 3339,
    UTC) and the engine's version.

    `baselines` are the inventories, by platform, of what "running" or "approved" stands for in the policy's rules, and
    `baseline_exemptions` what each of these was approved with by leave alone; `external_reports` the findings that
    other scanners made, in place of inventory and snapshot; `no_scan_reason` is why there is neither. `provenance` is
    the digest of what is known of the image's provenance, "" where nobody looked for it.
    """

    inventories: tuple[str, ...]
    snapshot: str
    policy: str
    now: str
    engine: str
    waivers: str = ""
    baselines: dict[str, tuple[str, ...]] = field(default_factory=dict)
    external_reports: tuple[str, ...] = ()
    no_scan_reason: str = ""
    baseline_exemptions: dict[str, str] = field(default_factory=dict)
    provenance: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer on a digest (of a manifest, or of an index: then the worst of its platforms)."""

    image: str
    policy: str
    status: Status
    summary: str
    platform_verdicts: tuple[PlatformVerdict, ...]
    inputs: InputDigests


EMPTY_SNAPSHOT = AdvisorySnapshot((), ())
NO_WAIVERS = Waivers()


# --- what it is made from ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExternalReport:
    """Findings that another scanner made on one platform. `source` is its name ("inspector", "trivy"), `at` when (RFC
    3339, "" when it does not say), `inventory` holds the packages that it names.

    `unlisted_counts` are findings that it counted without saying which: severity -> how many. Under "" are those of
    LOW, INFORMATIONAL or UNTRIAGED of which it does not say which of the three. `missing_fields` are the fields of
    `Finding` that it says nothing of: where they are empty, that means nothing.
    """

    source: str
    at: str
    inventory: Inventory
    matches: Matches
    unlisted_counts: dict[str, int] = field(default_factory=dict)
    missing_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BaselineExemptions:
    """What a baseline's image was approved with by leave, at `at`: findings as (id, ecosystem without release, source
    name) that were `waived` or excused by VEX, that were `unfixed`, or that were `in_grace`, where the policy spared
    those."""

    at: str = ""
    waived: tuple[tuple[str, str, str], ...] = ()
    unfixed: tuple[tuple[str, str, str], ...] = ()
    in_grace: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class VerdictCase:
    """All that a verdict is made from. The same case gives the same bytes: see `InputDigests` for each."""

    image: str
    policy: Policy
    now: str
    engine: str
    inventories: tuple[Inventory, ...] = ()
    snapshot: AdvisorySnapshot = EMPTY_SNAPSHOT
    waivers: Waivers = NO_WAIVERS
    baselines: dict[str, tuple[Inventory, ...]] = field(default_factory=dict)
    external_reports: tuple[ExternalReport, ...] = ()
    no_scan_reason: str = ""
    baseline_exemptions: dict[str, BaselineExemptions] = field(default_factory=dict)
    provenance: ProvenanceFacts | None = None
