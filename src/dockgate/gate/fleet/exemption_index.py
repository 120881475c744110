"""The waivers and VEX statements that apply to each image of a fleet. Pure."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

from dockgate.gate import vex_statements, waivers
from dockgate.gate.fleet.model import FleetImage, FleetPlatform, FleetWaivers
from dockgate.gate.model import VexStatement, Waiver
from dockgate.shared.purl import is_purl
from dockgate.vulnerabilities.model import Finding


@dataclass(frozen=True, eq=False)
class Exemptions:
    """The active waivers and the statements that apply to some platforms.

    `image` and `index` are the digests that these name, None if they name none: then many images share this.
    `own_waivers` and `own_statements` are those that do not apply to every image. `is_exact` is false if a statement
    depends on packages that only the inventory has.
    """

    waivers: tuple[Waiver, ...] = ()
    statements: tuple[VexStatement, ...] = ()
    own_waivers: tuple[Waiver, ...] = ()
    own_statements: tuple[VexStatement, ...] = ()
    image: str | None = None
    index: str | None = None
    is_exact: bool = True
    _by_name: dict[str, list[VexStatement]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for statement in self.statements:
            for name in statement.vulnerabilities:
                self._by_name.setdefault(name, []).append(statement)

    @cached_property
    def _finding_waivers(self) -> tuple[Waiver, ...]:
        return tuple(waiver for waiver in self.waivers if not waiver.rule and not waiver.unread)

    @cached_property
    def rule_waivers(self) -> frozenset[str]:
        """The rules that waivers name."""
        return frozenset(waiver.rule for waiver in self.waivers if waiver.rule and not waiver.unread)

    @cached_property
    def can_accept_unread(self) -> bool:
        """Return whether a waiver accepts files that could not be read."""
        return any(waiver.unread for waiver in self.waivers)

    @cached_property
    def can_accept_undetermined(self) -> bool:
        """Return whether a waiver accepts packages that cannot be judged."""
        return any(waiver.unread and is_purl(waiver.unread) for waiver in self.waivers)

    def select_waivers(self, names: Collection[str]) -> tuple[Waiver, ...]:
        """The waivers that could accept a finding of these names."""
        return tuple(_select_waivers_naming(self._finding_waivers, names))

    def select_statements(self, names: Iterable[str]) -> tuple[VexStatement, ...]:
        """The statements about vulnerabilities of these names."""
        return tuple(dict.fromkeys(chain.from_iterable(self._by_name.get(name, ()) for name in names)))

    def has_own_exemption(self, names: Collection[str]) -> bool:
        """Return whether findings of these names may be excused here and not in every image."""
        has_waiver = any(
            not waiver.rule and not waiver.unread for waiver in _select_waivers_naming(self.own_waivers, names)
        )
        return has_waiver or any(name in names for entry in self.own_statements for name in entry.vulnerabilities)


class ExemptionIndex:
    """The exemptions of a fleet's images at one time. `general` are those of every image."""

    def __init__(self, fleet_waivers: FleetWaivers, now: str) -> None:
        self._now = now
        self._attached_by_digest = fleet_waivers.attached_statements
        self._statements = fleet_waivers.statements
        # By image; None for those that name none.
        self._waivers: dict[str | None, list[Waiver]] = {}
        for waiver in fleet_waivers.waivers:
            self._waivers.setdefault(waiver.image, []).append(waiver)
        self._statements_by_image: dict[str, list[VexStatement]] = {}
        for statement in fleet_waivers.statements:
            for digest in dict.fromkeys(filter(None, map(vex_statements.parse_image_digest, statement.products))):
                self._statements_by_image.setdefault(digest, []).append(statement)
        general = [waiver for waiver in self._waivers.get(None, ()) if not waiver.repository]
        self.general = Exemptions(waivers.select_waivers(general, None, (), now), self._statements)
        self._has_named_images = bool(
            self._attached_by_digest or self._statements_by_image or self._waivers.keys() - {None}
        )
        self._by_repository: dict[str | None, Exemptions] = {}

    @property
    def conditional(self) -> tuple[VexStatement, ...]:
        """The statements about packages inside other packages, which an image may contain or not."""
        return tuple(filter(_is_conditional, self._statements))

    def get_exemptions(self, image: FleetImage, platform: FleetPlatform) -> Exemptions:
        """The exemptions of one platform of an image."""
        repository_exemptions = self._get_repository_exemptions(image.repository)
        if not self._has_named_images:
            return repository_exemptions
        named_digests = {platform.digest, image.digest}
        bound_waivers = [waiver for digest in named_digests for waiver in self._waivers.get(digest, ())]
        image_statements = [entry for digest in named_digests for entry in self._statements_by_image.get(digest, ())]
        attached_statements: list[VexStatement] = []
        if self._attached_by_digest:
            for digest in dict.fromkeys((image.digest, *(entry.digest for entry in image.platforms))):
                attached_statements += self._attached_by_digest.get(digest, ())
        if not bound_waivers and not image_statements and not attached_statements:
            return repository_exemptions
        selected_waivers = waivers.select_waivers(bound_waivers, image.repository, named_digests, self._now)
        return Exemptions(
            tuple(sorted((*repository_exemptions.waivers, *selected_waivers), key=lambda waiver: waiver.id)),
            (*self._statements, *attached_statements),
            (*repository_exemptions.own_waivers, *selected_waivers),
            (*image_statements, *attached_statements),
            platform.digest,
            image.digest,
            not any(map(_is_conditional, attached_statements)),
        )

    def _get_repository_exemptions(self, repository: str | None) -> Exemptions:
        if repository not in self._by_repository:
            selected_waivers = waivers.select_waivers(self._waivers.get(None, ()), repository, (), self._now)
            own_waivers = tuple(waiver for waiver in selected_waivers if waiver.repository)
            context = Exemptions(selected_waivers, self._statements, own_waivers) if own_waivers else self.general
            self._by_repository[repository] = context
        return self._by_repository[repository]


def collect_names(findings: Iterable[Finding]) -> frozenset[str]:
    """All names of the findings."""
    return frozenset(name for finding in findings for name in (finding.id, *finding.aliases))


def _is_conditional(statement: VexStatement) -> bool:
    return bool(statement.packages) and any(
        vex_statements.parse_image_digest(product) is None for product in statement.products
    )


def _select_waivers_naming(candidates: Iterable[Waiver], names: Collection[str]) -> Iterator[Waiver]:
    return (waiver for waiver in candidates if not waiver.vulnerability or waiver.vulnerability in names)
