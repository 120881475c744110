"""Advisories and the findings that matching makes of them, as frozen values."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from operator import attrgetter

from dockgate.scanner.model import Package
from dockgate.shared.canonical import STORED_AS_EMPTY, STORED_AS_MINUS_ONE


class Severity(StrEnum):
    """The severity of a finding, worst first. UNTRIAGED: no source rates it."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"
    INFORMATIONAL = "INFORMATIONAL"
    UNTRIAGED = "UNTRIAGED"

    __hash__ = str.__hash__  # the hash of an enum is slow Python, and each finding needs it several times

    @property
    def rank(self) -> int:
        """The rank of the severity, 0 for the worst."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}
_BANDS = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM), (0.1, Severity.LOW))


def rate_score(score: float | None) -> Severity:
    """The severity by CVSS' bands ("Qualitative Severity Rating Scale"); UNTRIAGED without a score."""
    if score is None:
        return Severity.UNTRIAGED
    return next((severity for minimum, severity in _BANDS if score >= minimum), Severity.INFORMATIONAL)


def rank_score(score: float | None) -> float:
    """The key that sorts scores, the highest first and absent ones last."""
    return 1.0 if score is None else -score


def select_highest_score(scores: Iterable[float | None]) -> float | None:
    """The highest of the scores, None if all are absent."""
    return max([score for score in scores if score is not None], default=None)


@dataclass(frozen=True, slots=True)
class Range:
    """One OSV range.

    `type` is ECOSYSTEM or SEMVER (GIT ranges are dropped when read); events are `(kind, version)` with kind introduced,
    fixed, last_affected or limit, in the order they are published.
    """

    type: str
    events: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Rating:
    """A severity and its source.

    `source` is "distribution", "advisory", "cve" or another scanner, None if no source rates. `score` is 0.0 to 10.0,
    None without a score.
    """

    source: str | None = field(metadata=STORED_AS_EMPTY)
    severity: Severity
    score: float | None = field(default=None, metadata=STORED_AS_MINUS_ONE)
    vector: str | None = None


@dataclass(frozen=True, slots=True)
class Advisory:
    """The content of one OSV record about one package (`ecosystem`, `name`).

    Times are RFC 3339 in UTC, None if unknown. `ratings` are sorted, the most relevant source first. `note` is the
    distribution's reason for having no fix: "unimportant", "no-dsa", "wont-fix", "end-of-life". `module` is the rpm
    module and stream of its versions ("nodejs:18"), or None. `is_disputed`: the record says that it is disputed.
    `imports` are the vulnerable import paths of a Go module, () if the record does not list them. `alias_groups` are
    the alias groups of its names, each sorted, if other records of the database know more aliases. They make a
    vulnerability's name independent of which other packages are looked up.
    """

    id: str
    ecosystem: str
    name: str
    ranges: tuple[Range, ...]
    versions: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    ratings: tuple[Rating, ...] = ()
    summary: str | None = None
    published: str | None = None
    modified: str | None = None
    withdrawn: str | None = None
    note: str | None = None
    module: str | None = None
    is_disputed: bool = False
    alias_groups: tuple[tuple[str, ...], ...] = ()
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AdvisoryText:
    """What the OSV record `id` says to people beside its summary. No verdict depends on it.

    `details` is plain text or Markdown, None without details. `references` are URLs, `weaknesses` CWE ids ("CWE-79").
    """

    id: str
    details: str | None = None
    references: tuple[str, ...] = ()
    weaknesses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cve:
    """Facts about a CVE that hold in every package.

    `rating` comes from the CVE record (source "cve"). `exploited` is the date at which CISA's KEV catalogue listed it
    ("unknown" without a date), `due` KEV's date to fix it by. Both are YYYY-MM-DD, None if KEV does not list the CVE.
    `epss` is FIRST's probability of exploitation within 30 days, `percentile` its rank, both 0 to 1, None if unknown.
    """

    id: str
    rating: Rating | None = None
    exploited: str | None = None
    due: str | None = None
    epss: float | None = field(default=None, metadata=STORED_AS_MINUS_ONE)
    percentile: float | None = field(default=None, metadata=STORED_AS_MINUS_ONE)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The degree to which the database covers an ecosystem or one of CATALOGUES.

    An ecosystem has its release ("Debian:13"). `is_complete`: the feed has everything that its publisher says.
    Otherwise it covers only `names` (source names). `checked_at` is the last successful check, RFC 3339 in UTC, None
    if unknown. A check that finds nothing new counts.
    """

    ecosystem: str
    is_complete: bool
    names: tuple[str, ...]
    checked_at: str | None = field(metadata=STORED_AS_EMPTY)


def strip_release(ecosystem: str) -> str:
    """The name of an OSV ecosystem alone: "Debian" of "Debian:12"."""
    return ecosystem.partition(":")[0]


def is_same_ecosystem(first: str, second: str) -> bool:
    """Return whether two OSV ecosystems are the same. Releases are compared only if both have one."""
    base, _, release = first.partition(":")
    other_base, _, other_release = second.partition(":")
    return base == other_base and (not release or not other_release or release == other_release)


# Feeds about CVEs, independent of packages. A database may lack them.
CATALOGUES = ("epss", "kev")


def select_ecosystems(coverage: Iterable[Coverage]) -> tuple[Coverage, ...]:
    """Return the coverage of ecosystems, without that of catalogues."""
    return tuple(entry for entry in coverage if entry.ecosystem not in CATALOGUES)


@dataclass(frozen=True, slots=True)
class AdvisorySnapshot:
    """The part of the advisory database that a verdict consulted, stored as long as the verdict.

    `coverage` has an entry for each ecosystem of the inventory that the database covers, with the `names` of the
    inventory's packages only, and then one for each of the CATALOGUES in the database. `cves` are those that the
    advisories name, sorted.
    """

    advisories: tuple[Advisory, ...]
    coverage: tuple[Coverage, ...]
    cves: tuple[Cve, ...] = ()


# The note of a finding whose advisories list affected versions and say nothing about a fix.
VERSIONS_ONLY = "versions-only"

# The note of a finding whose source does not say whether, or in which version, it is fixed: another scanner, or an
# advisory whose range ends with the last affected version or a limit.
FIX_UNKNOWN = "fix-unknown"


class State(StrEnum):
    """The maintainers' plan for a vulnerability in a package."""

    FIXED = "fixed"
    UNFIXED = "unfixed"
    WONT_FIX = "won't fix"
    END_OF_LIFE = "end of life"
    UNKNOWN = "fix unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One vulnerability in one package. `id` is its best known name (CVE first), `aliases` all others.

    `fixed` is the lowest version without it, None without a fix; `rating` is the preferred rating. `note` is as in
    `Advisory`; `exploited`, `due`, `epss` and `percentile` as in `Cve`. `published` is the publication of the first
    advisory that affects the package, `fixed_at` of the first that names a fix; RFC 3339 in UTC, None if unknown.
    `reachable` is "yes" if the program contains a vulnerable package, "no" if not, None if advisory or program do not
    say; a finding counts in any case.
    """

    id: str
    aliases: tuple[str, ...]
    package: Package
    severity: Severity
    rating: Rating
    fixed: str | None = field(metadata=STORED_AS_EMPTY)
    note: str | None = None
    exploited: str | None = None
    due: str | None = None
    epss: float | None = field(default=None, metadata=STORED_AS_MINUS_ONE)
    percentile: float | None = field(default=None, metadata=STORED_AS_MINUS_ONE)
    is_disputed: bool = False
    published: str | None = None
    fixed_at: str | None = None
    summary: str | None = None
    reachable: str | None = None

    def with_package(self, package: Package) -> "Finding":
        """The same finding in another package. A hot path: `dataclasses.replace` takes three times as long."""
        return Finding(self.id, self.aliases, package, *_fields_after_package(self))

    @property
    def is_malicious(self) -> bool:
        """Return whether the package itself is malware, by an OpenSSF malicious packages advisory ("MAL-…")."""
        return any(name.startswith("MAL-") for name in (self.id, *self.aliases))

    @property
    def has_unknown_fix(self) -> bool:
        """Return whether it is unknown if a fixed version exists.

        Policies treat this as undetermined, not as "no fix".
        """
        return not self.fixed and self.note in (VERSIONS_ONLY, FIX_UNKNOWN)

    @property
    def state(self) -> State:
        """The maintainers' plan, from the fixed version and the note."""
        if self.fixed:
            return State.FIXED
        if self.note == "end-of-life":
            return State.END_OF_LIFE
        if self.has_unknown_fix:
            return State.UNKNOWN
        return State.WONT_FIX if self.note in ("no-dsa", "wont-fix") else State.UNFIXED


_fields_after_package = attrgetter(*[entry.name for entry in fields(Finding)][3:])


@dataclass(frozen=True, slots=True)
class UndeterminedFact:
    """Something about the image that the available data does not answer.

    `subject` is a purl, a path, an ecosystem or "database"; `reason` a sentence. `kind` is that of the rule `evidence`:
    "unread", "uncomparable", "uncovered" or "stale"; a policy cannot relax None. `ids` are the vulnerabilities that may
    affect the subject. `advice` is the next step, a sentence; None if it follows from the kind (`gate.next_steps`).
    """

    subject: str
    reason: str
    kind: str | None = field(default=None, metadata=STORED_AS_EMPTY)
    ids: tuple[str, ...] = ()
    advice: str | None = None


def rank_undetermined(entry: UndeterminedFact) -> tuple[str, str, str]:
    """The key that sorts undetermined entries as `Matches` has them."""
    return entry.kind or "", entry.subject, entry.reason


@dataclass(frozen=True, slots=True)
class Matches:
    """The findings of a package list, worst first, and what could not be determined."""

    findings: tuple[Finding, ...]
    undetermined: tuple[UndeterminedFact, ...]
