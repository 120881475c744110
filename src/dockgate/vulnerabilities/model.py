"""Advisories and the findings that matching makes of them, as frozen values."""

from dataclasses import dataclass
from enum import StrEnum

from dockgate.scanner.model import Package


class Severity(StrEnum):
    """How bad a finding is, worst first. UNTRIAGED: nobody has said."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"
    INFORMATIONAL = "INFORMATIONAL"
    UNTRIAGED = "UNTRIAGED"

    __hash__ = str.__hash__  # an enum's own is Python, and every finding asks for it several times

    @property
    def rank(self) -> int:
        """0 is worst."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Range:
    """One OSV range. `type` is ECOSYSTEM or SEMVER (GIT ranges are dropped when read); events are
    `(kind, version)` with kind introduced, fixed, last_affected or limit, in the order they are published."""

    type: str
    events: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Rating:
    """A severity somebody gave. `source` says who: "distribution", "advisory", "cve". `score` is 0.0 to 10.0, or -1
    without one."""

    source: str
    severity: Severity
    score: float = -1.0
    vector: str = ""


@dataclass(frozen=True, slots=True)
class Advisory:
    """One OSV record as far as it speaks of one package (`ecosystem`, `name`): what matching consults.

    `ratings` stand in the order of their worth, best source first. `note` holds the distribution's own word when
    there is no fix: "unimportant", "no-dsa", "wont-fix", "end-of-life". Times are RFC 3339 in UTC, "" when the record
    has none. `module` is the rpm module and stream that its versions are of ("nodejs:18"), "" for none; `disputed`
    means that the record says so of itself. `kin` are the alias groups of its names, each sorted, where all records
    together know more than it says itself: what a vulnerability is called does not hang on what else is consulted.
    `imports` are the import paths of a Go module's packages that are vulnerable, () where it does not say.
    """

    id: str
    ecosystem: str
    name: str
    ranges: tuple[Range, ...]
    versions: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    ratings: tuple[Rating, ...] = ()
    summary: str = ""
    published: str = ""
    modified: str = ""
    withdrawn: str = ""
    note: str = ""
    module: str = ""
    disputed: bool = False
    alias_group: tuple[tuple[str, ...], ...] = ()
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cve:
    """What is known of a CVE whatever package it is in.

    `rating` is its record's own (source "cve"). `exploited` is the date at which CISA's KEV catalogue took it up
    ("unknown" without one), `due` the date by which it wants it mended, both YYYY-MM-DD and "" when it is not listed.
    `epss` is FIRST's probability of exploitation within 30 days, `percentile` its rank among all, 0 to 1, -1 unknown.
    """

    id: str
    rating: Rating | None = None
    exploited: str = ""
    due: str = ""
    epss: float = -1.0
    percentile: float = -1.0


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the database says of itself for one ecosystem with its release ("Debian:13"), or one of CATALOGUES.

    `complete` means that the feed holds all its publisher has said; otherwise it speaks only of `names` (source names).
    `checked_at` is the last successful check, RFC 3339 in UTC: unchanged counts as a check.
    """

    ecosystem: str
    complete: bool
    names: tuple[str, ...]
    checked_at: str


# The feeds that speak of CVEs in whatever package; a database may lack them.
CATALOGUES = ("epss", "kev")


@dataclass(frozen=True, slots=True)
class AdvisorySnapshot:
    """The part of the advisory database that a verdict consulted, kept for as long as the verdict.

    `coverage` has an entry for each ecosystem of the inventory that the database knows, its `names` cut down to the
    inventory's; an ecosystem without an entry is not covered. Then it has one for each of the
    CATALOGUES that the database holds. `cves` are those that the advisories name, sorted.
    """

    advisories: tuple[Advisory, ...]
    coverage: tuple[Coverage, ...]
    cves: tuple[Cve, ...] = ()


# The note of a finding whose advisories list versions, and say nothing of any fix.
VERSIONS_ONLY = "versions-only"

# The note of a finding when a source does not say whether, or in which version, it is fixed: another scanner, or an
# advisory whose range ends with the last affected version or a limit.
FIX_NOT_TOLD = "fix-not-told"


class State(StrEnum):
    """What became of a vulnerability in a package, by the word of those who maintain it."""

    FIXED = "fixed"
    UNFIXED = "unfixed"
    WONT_FIX = "won't fix"
    END_OF_LIFE = "end of life"
    UNKNOWN = "not told"


@dataclass(frozen=True, slots=True)
class Finding:
    """One vulnerability in one package. `id` is the one its readers know (CVE first), `aliases` all others.

    `fixed` is the lowest version that is free of it, "" when none exists; `rating` is the one that won. `note` is as
    in `Advisory`; `exploited`, `due`, `epss` and `percentile` as in `Cve`. `published` is when the first of the
    advisories that affect the package appeared, `fixed_at` the first of those that name a fix; RFC 3339 in UTC, "" when
    none says. `reachable` is "yes" where the program holds a vulnerable package, "no" where it holds none, "" where
    advisory or program do not say. It is evidence: a finding counts whatever it is.
    """

    id: str
    aliases: tuple[str, ...]
    package: Package
    severity: Severity
    rating: Rating
    fixed: str
    note: str = ""
    exploited: str = ""
    due: str = ""
    epss: float = -1.0
    percentile: float = -1.0
    disputed: bool = False
    published: str = ""
    fixed_at: str = ""
    summary: str = ""
    reachable: str = ""

    def of(self, package: Package) -> "Finding":
        """The same said of another package. Judging does so all the time; `dataclasses.replace` is thrice as slow."""
        return Finding(
            self.id,
            self.aliases,
            package,
            self.severity,
            self.rating,
            self.fixed,
            self.note,
            self.exploited,
            self.due,
            self.epss,
            self.percentile,
            self.disputed,
            self.published,
            self.fixed_at,
            self.summary,
            self.reachable,
        )

    @property
    def malicious(self) -> bool:
        return any(name.startswith("MAL-") for name in (self.id, *self.aliases))

    @property
    def has_unknown_fix(self) -> bool:
        """Whether no source says if a fixed version exists. A policy treats it as doubt, not as "no fix"."""
        return not self.fixed and self.note in (VERSIONS_ONLY, FIX_NOT_TOLD)

    @property
    def state(self) -> State:
        if self.fixed:
            return State.FIXED
        if self.note == "end-of-life":
            return State.END_OF_LIFE
        if self.has_unknown_fix:
            return State.UNKNOWN
        return State.WONT_FIX if self.note in ("no-dsa", "wont-fix") else State.UNFIXED


@dataclass(frozen=True, slots=True)
class Undetermined:
    """Something that cannot be said. `subject` is a purl, a path, an ecosystem or "database"; `reason` a whole
    sentence.

    `kind` is what a policy may relax it by: "unread", "uncomparable", "uncovered", "stale"; "" cannot be relaxed.
    `ids` are the vulnerabilities of which it cannot be said whether they affect the subject, where that is what it is.
    `advice` is what to do about it, a whole sentence; "" where that follows from the kind (`core.next_steps`).
    """

    subject: str
    reason: str
    kind: str = ""
    ids: tuple[str, ...] = ()
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Matches:
    """What a package list suffers, sorted worst first, and what cannot be said of it."""

    findings: tuple[Finding, ...]
    undetermined: tuple[Undetermined, ...]
