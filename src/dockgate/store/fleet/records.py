"""The rows of the fleet index, as light values: there are tens of thousands of each."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from dockgate.gate.model import Status
from dockgate.scanner.model import Inventory, Package
from dockgate.vulnerabilities.model import Cve, Finding, Rating, Severity


class ClosingReason(StrEnum):
    """The reason why a component or an image has a finding no longer.

    What ends it in an image is derived, not stored.
    """

    # An advisory was changed or withdrawn.
    ADVISORY = "advisory changed"
    # This version of Dockgate matches differently.
    ENGINE = "matching changed"
    # The image's tags have moved on to other images, of which it is not known that they lack it.
    MOVED = "tag moved on"
    # The tag moved on to an image with another version of the package, or without the package.
    UPGRADED = "package upgraded"
    REMOVED = "package removed"
    # The image was deleted.
    GONE = "image gone"
    # The image still has it, and it is accepted. It opens again when that is over.
    WAIVED = "waived"
    VEX = "VEX"


class Component(NamedTuple):
    """A package version, known once for the whole fleet. The fields are those of `scanner.model.Package`.

    Not part of it is what differs from image to image: path, layer, owner, and the import paths of Go programs. So the
    index does not know `Finding.reachable`.
    """

    ecosystem: str
    name: str
    version: str
    purl: str
    source_name: str
    source_version: str
    module: str | None = None
    vendor: str | None = None

    @classmethod
    def from_fields(cls, fields: Sequence[str]) -> "Component":
        """Read the fields as `list_fields` lists them."""
        component = cls(*fields)
        return component._replace(module=component.module or None, vendor=component.vendor or None)

    @classmethod
    def from_package(cls, package: Package) -> "Component":
        """The component that a package of an image is an instance of."""
        return cls(
            package.ecosystem,
            package.name,
            package.version,
            package.purl,
            package.source_name,
            package.source_version,
            package.module,
            package.vendor,
        )

    @property
    def key(self) -> str:
        """The digest of the identity: 32 hex digits."""
        text = "\0".join(self.list_fields()).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=16).hexdigest()

    def list_fields(self) -> tuple[str, ...]:
        """Return the fields as they are stored: an absent one is an empty text.

        Components are sorted in this form.
        """
        return tuple(field or "" for field in self)

    def to_package(self) -> Package:
        """The component as a package without path and layer."""
        return Package(
            name=self.name,
            version=self.version,
            purl=self.purl,
            ecosystem=self.ecosystem,
            source_name=self.source_name,
            source_version=self.source_version,
            path="",
            module=self.module,
            vendor=self.vendor,
        )


class Vulnerability(NamedTuple):
    """A vulnerability as findings name it, and what KEV and EPSS say.

    See `vulnerabilities.model.Finding`.
    """

    name: str
    aliases: tuple[str, ...]
    exploited: str | None = None
    due: str | None = None
    epss: float | None = None
    percentile: float | None = None

    def with_facts(self, facts: Finding | Cve) -> "Vulnerability":
        """The vulnerability with these values of KEV and EPSS."""
        return self._replace(
            exploited=facts.exploited,
            due=facts.due,
            epss=facts.epss,
            percentile=facts.percentile,
        )

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> "Vulnerability":
        """Read a row of the columns `_fields`, as `to_row` writes it."""
        name, aliases, exploited, due, epss, percentile = row
        return cls(name, aliases, exploited, due, None if epss < 0 else epss, None if percentile < 0 else percentile)

    def to_row(self) -> dict[str, Any]:
        """Return the values of the columns. An unknown score is -1 there: it is ordered after all others."""
        epss = -1.0 if self.epss is None else self.epss
        percentile = -1.0 if self.percentile is None else self.percentile
        return {**self._asdict(), "epss": epss, "percentile": percentile}


class ReportSubjects(NamedTuple):
    """The components in which a report of another scanner on an image has findings.

    `platform_image` is the digest of the platform that it is about. `names` are the names of the findings, by package.
    """

    image: str
    platform_image: str
    names: Mapping[Component, frozenset[str]]


class ComponentFinding(NamedTuple):
    """A vulnerability of a component, by their ids. `source`, `score` and `vector` are the rating's.

    `opened` is when the index first had it, `fixed_since` when a fix appeared after that; None without a fix, and if
    there was one from the beginning.
    """

    component: int
    vulnerability: int
    severity: Severity
    source: str | None
    score: float | None
    vector: str | None
    fixed: str | None
    note: str | None
    is_disputed: bool
    published: str | None
    fixed_at: str | None
    opened: str
    fixed_since: str | None = None

    def make_finding(self, package: Package, vulnerability: Vulnerability) -> Finding:
        """The finding that matching made, without its summary.

        What only an image says (`reachable`) is left out, too.
        """
        rating = Rating(self.source, self.severity, self.score, self.vector)
        return Finding(
            id=vulnerability.name,
            aliases=vulnerability.aliases,
            package=package,
            severity=self.severity,
            rating=rating,
            fixed=self.fixed,
            note=self.note,
            exploited=vulnerability.exploited,
            due=vulnerability.due,
            epss=vulnerability.epss,
            percentile=vulnerability.percentile,
            is_disputed=self.is_disputed,
            published=self.published,
            fixed_at=self.fixed_at,
        )


class Change(NamedTuple):
    """A finding that has changed: what it was and is, None for one that is new or has ended."""

    component: int
    vulnerability: int
    before: ComponentFinding | None
    after: ComponentFinding | None


class NewFindingKind(StrEnum):
    """Why a finding is announced: it is new, worse or exploited."""

    NEW = "new"
    # It has a worse severity than before.
    WORSE = "worse"
    # KEV lists its vulnerability, and did not before.
    EXPLOITED = "exploited"


class UndeterminedEntry(NamedTuple):
    """A fact that could not be determined of a component: see `vulnerabilities.model.UndeterminedFact`."""

    kind: str | None
    reason: str
    ids: tuple[str, ...] = ()


class BundleContent(NamedTuple):
    """The components of a bundle, by id, with the number of paths at which each lies.

    `owned_components` belong to a package of the distribution, whose advisories cover them: they have no findings.
    """

    counted_components: Mapping[int, int]
    owned_components: Mapping[int, int]


class ImageBundle(NamedTuple):
    """A bundle in an image.

    `platform` and `position` count from 0; `layer` is None for packages without one.
    """

    image: int
    platform: int
    position: int
    bundle: int
    layer: str | None
    is_in_base: bool


class IndexedImage(NamedTuple):
    """An indexed image. `repository` is where it was scanned, `seen_at` when it was first known.

    `inventories` is the digest of the list of its inventories' digests, `scanner` the version that read them, None if
    unknown. `gone_at` is when it was deleted.
    """

    id: int
    digest: str
    repository: str
    inventories: str
    scanner: str | None
    seen_at: str
    scanned_at: str
    gone_at: str | None = None


class IndexedImagePlatform(NamedTuple):
    """A platform of an image. `facts` is its inventory without packages."""

    image: int
    position: int
    facts: Inventory
    package_count: int


class FleetVerdict(NamedTuple):
    """The current verdict of an image (by id) by a policy.

    `counts` has the findings by severity, in the order of `Severity`. `reason` is one line for people, None where the
    counts say enough. `since` is when the status began, `next_at` when time alone can change it. The status is the last
    one that could be judged; feeds are stale or missing since `cannot_judge_since`, None while they are not.
    `waived_count` is how many findings, violations and unread paths waivers and VEX statements excuse.
    """

    policy: str
    image: int
    status: Status
    counts: tuple[int, ...]
    reason: str | None
    since: str
    next_at: str | None = None
    cannot_judge_since: str | None = None
    waived_count: int = 0


class VerdictChange(NamedTuple):
    """A verdict that was written, and the one that it replaced: None for the first."""

    verdict: FleetVerdict
    previous: FleetVerdict | None


class TagPeriod(NamedTuple):
    """A time in which a digest was under a tag, or under none (None). `until` is None while it still is."""

    repository: str
    tag: str | None
    digest: str
    since: str
    pushed_at: str
    until: str | None = None
