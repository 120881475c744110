"""What a gate rule is asked, and what it may look at. The contract suite of rules holds every one of them to it.

Apart from `ports`, for a scan has no use for it, and has to start at once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dockgate.gate.provenance import ProvenanceFacts
from dockgate.scanner.model import Inventory, Package
from dockgate.shared.errors import UncomparableError
from dockgate.vulnerabilities.model import Coverage, Finding, Matches, Undetermined

if TYPE_CHECKING:
    from dockgate.gate.model import NonBlockingViolation, Violation

# A finding as (its id, ecosystem without release, source name): in whatever version.
FindingKey = tuple[str, str, str]


class Exemption(NamedTuple):
    """By what leave a baseline has a finding; none for one that it just has. `unfixed`: it had no fix when the baseline
    was approved; `in_grace_at`: it was young then, at that time (RFC 3339, "" for none)."""

    unfixed: bool = False
    in_grace_at: str = ""


# Findings that something has already, without those that were waived or excused when it was approved.
BaselineFindings = Mapping[FindingKey, Exemption]


def finding_key(finding: Finding) -> FindingKey:
    """How a finding is known again in another image."""
    package = finding.package
    return finding.id, package.ecosystem.partition(":")[0], package.source_name


def uncomparable(ecosystem: str, one: str, other: str) -> int:
    """`Facts.compare` where no version can be ordered."""
    raise UncomparableError(f"No ecosystem here orders versions of {ecosystem or 'unknown packages'}.")


class PackageMatcher(Protocol):
    """What is asked of package lists: `match.Matcher`, or what another scanner found
    (`reported.ExternalReportMatcher`)."""

    def match(self, packages: Sequence[Package]) -> Matches: ...

    def compare(self, ecosystem: str, one: str, other: str) -> int:
        """-1, 0 or 1, as the first version is before, the same as, or after the other. Raises UncomparableError."""
        ...


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule may look at, for one platform. Times are RFC 3339 in UTC.

    `matches` are without what is waived. `compare` orders versions: see `PackageMatcher.compare`. `baseline_findings`
    are the findings that each baseline ("running", "approved") has; one that there is not has no entry, and then
    everything is new. `is_external`: another scanner's findings are judged, which say nothing of the image's config,
    distribution or feeds; then `source`, `at`, `unlisted_counts` and `missing_fields` are as in
    `verdict.ExternalReport`. `catalogues` are those ("epss", "kev") that the policy's rules look at; one that is too
    old is not `complete` in the coverage. `provenance` is of the digest that the verdict is on, None where nobody
    looked for it. `has_accepted_unread`: a waiver accepts something unread, which the inventory does not name any more.
    """

    inventory: Inventory
    matches: Matches
    coverage: tuple[Coverage, ...]
    now: str
    compare: Callable[[str, str, str], int] = uncomparable
    baseline_findings: Mapping[str, BaselineFindings] = field(default_factory=dict)
    is_external: bool = False
    source: str = ""
    at: str = ""
    unlisted_counts: Mapping[str, int] = field(default_factory=dict)
    missing_fields: tuple[str, ...] = ()
    catalogues: tuple[str, ...] = ()
    provenance: ProvenanceFacts | None = None
    has_accepted_unread: bool = False


class Rule(Protocol):
    """A gate rule: one module in `rules/` with one object named `RULE`. Pure.

    A policy may name it several times, with other settings each. What follows from a violation (`action`: reject, warn
    or note) is not the rule's to know.
    """

    # Its key in a policy.
    name: str
    # Settings with which it holds when a policy does not name it; None: only when named. What always holds always
    # rejects: its `action` cannot be chosen.
    mandatory_settings: Mapping[str, object] | None
    # The fields of `Finding` that it cannot judge without ("exploited", "epss"): it is undetermined where another
    # scanner does not tell one of them (`Facts.missing_fields`), or only counted findings (`Facts.unlisted_counts`). ()
    # for what looks at no findings, or knows what to make of that itself.
    required_fields: tuple[str, ...]
    # JSON Schema (2020-12) of the settings as a person may write them, for editors; `settings` decides.
    schema: Mapping[str, Any]

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        """The settings in full, defaults filled in, without `action`. Raises DefinitionError naming the key and what is
        allowed."""
        ...

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        """What it cannot do without under these settings, which are in full, beyond the standard library: names of
        third-party packages, or "ecosystems" for the order of versions; () for most. Where a need is not met the policy
        cannot be judged by."""
        ...

    def judge(
        self, facts: Facts, settings: Mapping[str, object]
    ) -> "Iterable[Violation | Undetermined | NonBlockingViolation]":
        """Every violation and every undetermined entry, in a stable order."""
        ...
