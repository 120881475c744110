"""The values of the gate: policies, waivers, cases, verdicts, remediations."""

from dataclasses import dataclass, field
from enum import StrEnum

from dockgate.gate.policy_reference import PolicyReference
from dockgate.gate.provenance import ProvenanceFacts
from dockgate.scanner.model import Inventory
from dockgate.shared.canonical import STORED_AS_EMPTY
from dockgate.shared.text_types import TextType
from dockgate.vulnerabilities.model import AdvisorySnapshot, Finding, Matches, UndeterminedFact


class Status(StrEnum):
    """The status of a verdict. UNDETERMINED and REJECTED block the image."""

    APPROVED = "Approved"
    UNDETERMINED = "Undetermined"
    REJECTED = "Rejected"

    def make_summary(self, reason: str) -> str:
        """Write the status before its reason ("Undetermined: …"), for a text that is shown without it."""
        return f"{self.value}: {reason}"

    def strip_from(self, summary: str) -> str:
        """Remove this status from the beginning of a verdict's summary, for a text that is beside the status."""
        return summary.removeprefix(self.make_summary(""))


def select_worst_status(statuses: "list[Status]") -> Status:
    """The worst of the statuses: Rejected, then Undetermined, then Approved; Undetermined for no statuses."""
    for status in (Status.REJECTED, Status.UNDETERMINED, Status.APPROVED):
        if status in statuses:
            return status
    return Status.UNDETERMINED


class RuleAction(StrEnum):
    """The consequence of a violated rule: reject the image, warn, or only take a note."""

    REJECT = "reject"
    WARN = "warn"
    NOTE = "note"


# All settings of a rule as a JSON object, `action` (RuleAction) included.
Settings = dict[str, object]


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy in canonical form.

    `name` has the digest of a repository's rules if they are in it. `rules` maps the name of a rule to its settings,
    once for each use of the rule. `digest` is that of the canonical bytes (`policy.encode_policy`).
    """

    name: PolicyReference
    rules: dict[str, tuple[Settings, ...]]
    digest: str


@dataclass(frozen=True, slots=True)
class Waiver:
    """An exception that a person grants: for findings, for violations of a rule, or for unread content.

    Fields that are None match everything.
    - For findings: `vulnerability` (any name, "CVE-2024-1"), `package` (a purl pattern, "pkg:npm/lodash@4.*"),
      `repository` (a pattern, "team-*") and `image` (the digest of a manifest or index) narrow it down.
    - For a rule: `rule` names it, and `image` the only image. The waiver accepts violations without findings; with
      `violation`, only the one with this message.
    - For unread content: `unread` is a path, a pattern of paths, or a pattern of packages ("pkg:…") that cannot be
      judged. See `unread_waivers`.

    The waiver expires at `until` (RFC 3339 in UTC; None for never) and, with `until_fixed`, as soon as a fixed version
    exists. At least one of the two is set. `owner` is responsible for it. `created_at` and `created_by` are None for a
    waiver in a file.
    """

    id: str
    owner: str
    reason: str
    vulnerability: str | None = None
    package: str | None = None
    repository: str | None = None
    image: str | None = None
    rule: str | None = None
    violation: str | None = None
    unread: str | None = None
    until: str | None = None
    until_fixed: bool = False
    created_at: str | None = None
    created_by: str | None = None


class VexStatus(StrEnum):
    """The status of a vulnerability in a product, in the words of OpenVEX."""

    NOT_AFFECTED = "not_affected"
    AFFECTED = "affected"
    FIXED = "fixed"
    UNDER_INVESTIGATION = "under_investigation"


class VexSigner(TextType):
    """Who vouches for a VEX document.

    The text is "principal:NAME" of who uploaded it, or "key:sha256:…" of the key that signed a document attached to an
    image.
    """

    __slots__ = ()
    _PRINCIPAL, _KEY = "principal:", "key:"

    @classmethod
    def make_principal(cls, name: str) -> "VexSigner":
        """Make the signer of a document that this principal uploaded."""
        return cls(cls._PRINCIPAL + name)

    @classmethod
    def make_key(cls, fingerprint: str) -> "VexSigner":
        """Make the signer of an attached document, the key with this fingerprint."""
        return cls(cls._KEY + fingerprint)

    @property
    def principal(self) -> str | None:
        """The name of who uploaded the document, None for a key."""
        return self.removeprefix(self._PRINCIPAL) if self.startswith(self._PRINCIPAL) else None

    @property
    def key(self) -> str | None:
        """The fingerprint of the key that signed the document, None for a principal."""
        return self.removeprefix(self._KEY) if self.startswith(self._KEY) else None


@dataclass(frozen=True, slots=True)
class VexStatement:
    """One statement of a VEX document, in a form that all formats share.

    `document` is the document's digest and `format` "openvex", "cyclonedx" or "csaf". `author` is the author that the
    document names; a CycloneDX document may name none, and the API and events have an empty text then.
    `signer` vouches for it, None if it has no signer.
    `vulnerabilities` are all names of one vulnerability. `products` are purls or digests (none: any image that the
    document is attached to), `packages` are purls inside the products (none: the products themselves).
    `justification` is OpenVEX's word or the format's own, `impact` free text, `at` a time in RFC 3339; each is None if
    the document does not say.
    """

    document: str
    format: str
    author: str
    signer: VexSigner | None = field(metadata=STORED_AS_EMPTY)
    vulnerabilities: tuple[str, ...]
    status: VexStatus
    products: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    justification: str | None = None
    impact: str | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True)
class ExemptionSet:
    """The server's waivers and VEX statements that can apply to one image, stored with its verdict."""

    waivers: tuple[Waiver, ...] = ()
    statements: tuple[VexStatement, ...] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that findings or other facts violate.

    `findings` are those that count towards it, () for other facts. `allowed` is the number of findings at which the
    rule would pass, None if the number alone does not decide.
    """

    rule: str
    message: str
    findings: tuple[Finding, ...] = ()
    allowed: int | None = None


@dataclass(frozen=True, slots=True)
class NonBlockingViolation:
    """A violation that the rule itself downgrades to a warning or a note, whatever action the policy sets."""

    action: RuleAction
    violation: Violation


@dataclass(frozen=True, slots=True)
class AppliedExemption:
    """A finding, violation or unread content that does not count, and what waives it.

    That is a waiver or a VEX statement. Exactly one kind of subject is set: `finding`; `violation`, the message of a
    violation without findings; or `unread`, a path or package, with `violation` as the reason why it was not read.

    `kind` is "waiver" or "vex". `by` is the waiver's id or the VEX document's digest, `owner` the waiver's owner or the
    document's author, `reason` the waiver's reason or the statement's justification. `until` is when it expires, None
    for no date.
    """

    kind: str
    by: str
    owner: str
    reason: str
    until: str | None = None
    finding: Finding | None = None
    violation: str | None = None
    unread: str | None = None


@dataclass(frozen=True, slots=True)
class Upgrade:
    """One step of a remediation: upgrade `package` from `version` to `fixed` or later.

    `package` is a purl, upgraded wherever it is installed. `clears` are the ids of the findings that it removes.
    `is_in_base`: the package comes from the base image, so that a newer base image is the better way.
    """

    package: str
    name: str
    version: str
    fixed: str
    clears: tuple[str, ...]
    is_in_base: bool = False


@dataclass(frozen=True, slots=True)
class Obstacle:
    """An obstacle that no upgrade removes, with the reason as a sentence.

    `id` and `package` (a purl) are those of a finding; both are None for other violations, and `id` for undetermined
    entries.
    """

    reason: str
    id: str | None = None
    package: str | None = None


@dataclass(frozen=True, slots=True)
class Remediation:
    """The upgrades with which the image would pass, proven by judging it again with them applied.

    `is_sufficient`: with all upgrades the image is Approved. Otherwise they clear what can be cleared, and `obstacles`
    list the rest. `is_minimum`: no smaller set of upgrades is sufficient. Otherwise none of them can be left out.
    `commands` are shell lines for the image's build, one per package manager; lines that begin with "#" are
    instructions. `base_commands` upgrade packages of the base image, for when no newer base image has the fixes.
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
    """The verdict on one platform of an image.

    `platform` is None if it is unknown, and for an image without a scan. `counts` has every severity, 0 included.
    `findings` are all findings, waived ones included. `warnings` and `notes` come from rules that do not reject.
    `source` is the other scanner that reported the findings, None for our own scan.
    """

    image: str
    platform: str | None = field(metadata=STORED_AS_EMPTY)
    status: Status
    counts: dict[str, int]
    violations: tuple[Violation, ...]
    undetermined: tuple[UndeterminedFact, ...]
    findings: tuple[Finding, ...]
    remediation: Remediation = NO_REMEDIATION
    warnings: tuple[Violation, ...] = ()
    notes: tuple[Violation, ...] = ()
    waived: tuple[AppliedExemption, ...] = ()
    source: str | None = None

    @property
    def label(self) -> str | None:
        """The platform for people: "linux/amd64", or "linux/amd64 by trivy" for another scanner's report.

        It is None for our own scan of an unknown platform.
        """
        return f"{self.platform or ''} by {self.source}".strip() if self.source else self.platform


@dataclass(frozen=True, slots=True)
class InputDigests:
    """The inputs of a verdict by digest: a VerdictCase with each part replaced by its digest.

    `now` (RFC 3339 in UTC), `engine` (our version) and `no_scan_reason` are values. `provenance` is None if nothing
    looked for provenance.
    """

    inventories: tuple[str, ...]
    snapshot: str
    policy: str
    now: str
    engine: str
    waivers: str
    baselines: dict[str, tuple[str, ...]] = field(default_factory=dict)
    external_reports: tuple[str, ...] = ()
    no_scan_reason: str | None = None
    baseline_exemptions: dict[str, str] = field(default_factory=dict)
    provenance: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer for the digest of a manifest or of an index.

    An index has the worst status of its platforms.
    """

    image: str
    policy: PolicyReference
    status: Status
    summary: str
    platform_verdicts: tuple[PlatformVerdict, ...]
    inputs: InputDigests

    @property
    def reason(self) -> str:
        """The summary without the status."""
        return self.status.strip_from(self.summary)


EMPTY_SNAPSHOT = AdvisorySnapshot((), ())
NO_WAIVERS = ExemptionSet()


# A key of `ExternalReport.unlisted_counts`, beside the severities.
NOT_ITEMISED = ""


@dataclass(frozen=True, slots=True)
class ExternalReport:
    """The findings of another scanner for one platform.

    `source` is the scanner's name ("inspector", "trivy"), `at` the time of its scan (RFC 3339, None if unknown),
    `inventory` the packages that it names.

    `unlisted_counts` are findings that it counted but did not list, by severity. NOT_ITEMISED counts findings of LOW,
    INFORMATIONAL or UNTRIAGED severity that it does not tell apart. `missing_fields` are the fields of `Finding` that
    it does not report: their empty values mean "unknown".
    """

    source: str
    at: str | None
    inventory: Inventory
    matches: Matches
    unlisted_counts: dict[str, int] = field(default_factory=dict)
    missing_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BaselineExemptions:
    """The findings that a baseline's approval at `at` did not count, because of an exemption that can end.

    Findings are (id, ecosystem without release, source name). `waived` were excused by a waiver or VEX, `unfixed` had
    no fix under a policy that counts fixable findings only, `in_grace` were in their grace period.
    """

    at: str | None = None
    waived: tuple[tuple[str, str, str], ...] = ()
    unfixed: tuple[tuple[str, str, str], ...] = ()
    in_grace: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class VerdictCase:
    """All inputs of a verdict. Equal cases give verdicts of equal bytes.

    `image` is the digest to judge and `inventories` its platforms; without a scan, `no_scan_reason` says why, else it
    is None.
    `baselines` are the inventories behind "running" and "approved" in the policy's rules, and `baseline_exemptions` the
    findings that each of their approvals did not count. `external_reports` come from other scanners. `provenance` is
    None if nothing looked for it. `now` is RFC 3339 in UTC, `engine` our version.
    """

    image: str
    policy: Policy
    now: str
    engine: str
    inventories: tuple[Inventory, ...] = ()
    snapshot: AdvisorySnapshot = EMPTY_SNAPSHOT
    waivers: ExemptionSet = NO_WAIVERS
    baselines: dict[str, tuple[Inventory, ...]] = field(default_factory=dict)
    external_reports: tuple[ExternalReport, ...] = ()
    no_scan_reason: str | None = None
    baseline_exemptions: dict[str, BaselineExemptions] = field(default_factory=dict)
    provenance: ProvenanceFacts | None = None
