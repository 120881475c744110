"""Where a vulnerability or a package is: every image that holds it, since when, where it runs, and who waived it."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dockgate.delivery.ports import Advisories
from dockgate.gate.model import Status
from dockgate.identity.model import Caller
from dockgate.services.clock import ServerClock
from dockgate.services.exposure_acceptances import AcceptanceFinder, ExposedFinding, PolicyLookup
from dockgate.services.exposure_answer import (
    LONGEST_QUESTION,
    ExposedPipeline,
    Exposure,
    ExposureFilter,
    ExposureRequest,
    ExposureState,
    RunningService,
    UnaffectedImages,
)
from dockgate.services.exposure_blocked import find_blocking_verdicts
from dockgate.services.exposure_images import ImageContents, Subject, view_image
from dockgate.services.exposure_unknown import (
    AdvisoryKnowledge,
    UnknownImages,
    ask_advisories,
    reason_of_history,
)
from dockgate.services.exposure_waived import ALONE, MOST, find_waived, group_images
from dockgate.services.fleet_packages import FleetPackages
from dockgate.services.risk_acceptances import RiskAcceptances
from dockgate.shared.errors import UsageError
from dockgate.store import Store
from dockgate.store.exposure_records import AffectedComponent, HoldingImage, Places, RunningImage
from dockgate.store.fleet_records import Component
from dockgate.vulnerabilities.aliases import alias_order

# Names of vulnerabilities: CVE-2024-3094, GHSA-xxxx-xxxx-xxxx, DSA-5649-1, RUSTSEC-2024-0001, GO-2024-1, ALAS2-2024-1.
_VULNERABILITY = re.compile(r"(ghsa(-[0-9a-z]{4}){3}|[a-z][a-z0-9]*(-[a-z]+)*-\d+([-:]\d+)+)", re.IGNORECASE)


def is_vulnerability_name(text: str) -> bool:
    """Whether a text is written like the name of a vulnerability."""
    return _VULNERABILITY.fullmatch(text) is not None


@dataclass(slots=True)
class LookUp:
    """What a question is about, and every service that runs an image, none for a question about the past.

    `holders` are the images that hold it, of those that the caller may see, by id, once they were found.
    """

    subject: Subject
    running_images: Sequence[RunningImage]
    holders: dict[int, HoldingImage] | None = None


@dataclass(frozen=True, slots=True)
class ExposureSearch:
    """Answers where something is. `selection` has the policies that judge repositories' images, now or at a time.

    `registry` is the address of our own registry. For more images than `alone`, like ones are looked at once.
    """

    store: Store
    advisories: Advisories
    exceptions: RiskAcceptances
    packages: FleetPackages
    selection: PolicyLookup
    clock: ServerClock
    registry: str
    alone: int = ALONE

    def look_up(self, question: str, at: str | None = None) -> LookUp:
        """What a question is about, and what runs: the beginning of both its answers. UsageError as `find`."""
        return LookUp(self._subject(question.strip(), at), () if at else self.store.services.running_images())

    def find(self, request: ExposureRequest, look_up: LookUp | None = None) -> Exposure:
        """Answer a question, of which the beginning may be known.

        UsageError for an empty or too long one, or for a wrong package URL.
        """
        question = request.question.strip()
        if not question or len(question) > LONGEST_QUESTION:
            raise UsageError(
                f"a question has 1 to {LONGEST_QUESTION} characters",
                "Name a vulnerability, a package or a package URL.",
            )
        with self.store.database.read():  # one connection, and one state of the index, for all of it
            return self._find(question, request, look_up or self.look_up(question, request.as_of))

    def find_holders(self, look_up: LookUp, who: Caller | None) -> dict[int, HoldingImage]:
        """The images that are there now, and of which the caller may see that they hold it, by id."""
        if look_up.holders is None:
            visible = {entry.digest for entry in look_up.running_images if self._may_see(entry, who)}
            places = Places(None, self._repositories(who), visible)
            owned = not look_up.subject.is_vulnerability
            look_up.holders = self.store.exposures.images(look_up.subject.components, places, owned=owned)
        return look_up.holders

    def _find(self, question: str, request: ExposureRequest, look_up: LookUp) -> Exposure:
        subject, exposures = look_up.subject, self.store.exposures
        running = [entry for entry in look_up.running_images if self._may_see(entry, request.who)]
        digests = {entry.digest for entry in running}
        places = Places(request.as_of, self._repositories(request.who), digests, request.include_moved)
        has_status = subject.is_vulnerability and request.as_of is None
        owned = not subject.is_vulnerability
        exposed = exposures.images(subject.components, places, owned=owned, has_status=has_status)
        if request.as_of is None and not request.include_moved:
            look_up.holders = exposed
        ids, holders = list(exposed), digests.intersection(image.digest for image in exposed.values())
        services = [RunningService.shown_to(request.who, entry) for entry in running if entry.digest in holders]
        places = places._replace(running_images=holders)
        names = _names(subject)
        unknown = UnknownImages(self.store, places, ids)
        if subject.is_vulnerability:
            knowledge, acceptances = self._ask_advisories([question, *names], unknown, request.as_of)
        else:
            knowledge, acceptances = AdvisoryKnowledge(True), None
            unknown.add({}, {})
        not_recorded = None
        if request.as_of is not None:
            begin = exposures.history_begin()
            not_recorded = reason_of_history(begin, request.as_of, is_vulnerability=subject.is_vulnerability)
        is_waivable = acceptances is not None and acceptances.has_any
        facts = exposures.facts(ids, subject.components if is_waivable and len(ids) > self.alone else (), places)
        pipelines = {
            number: sorted(name for name in asking if request.who is None or request.who.reaches(pipeline=name))
            for number, asking in facts.pipelines.items()
        }
        unknown_slice = unknown.slice(request.unknown_after, request.limit)
        contents = ImageContents(self.store, subject, places, acceptances, request.as_of or self.clock.now())
        rejected = [number for number in ids if exposed[number].status is Status.REJECTED]
        candidates = [exposed[number].digest for number in rejected]
        reads_more = request.only is ExposureFilter.BLOCKED
        blocking = find_blocking_verdicts(self.store, candidates, names, places, reads_more=reads_more)
        listed: dict[ExposureFilter | None, Sequence[int]] = {
            None: ids,
            ExposureFilter.RUNNING: [number for number in ids if exposed[number].digest in holders],
            ExposureFilter.BLOCKED: [
                number for number in rejected[: blocking.count] if blocking.blocks(exposed[number].digest)
            ],
            ExposureFilter.REJECTED: rejected,
            ExposureFilter.WAIVED: (),
        }
        waived_of = len(ids)
        if acceptances and is_waivable:
            groups = [[number] for number in ids]
            if len(ids) > self.alone:
                groups = group_images(acceptances, _findings(subject), exposed, facts)
            lists = groups if request.only is ExposureFilter.WAIVED else [listed[request.only]]
            likely = [number for part in lists for number in _page(part, request)[0]][:MOST]
            waived, looked_at = find_waived(
                groups,
                likely,
                lambda numbers: contents.read([*numbers, *unknown_slice.indexed_ids]),
                contents.is_waived,
            )
            listed[ExposureFilter.WAIVED] = waived
            waived_of += looked_at - sum(map(len, groups))
        page, has_more = _page(listed[request.only], request)
        contents.read([*page, *unknown_slice.indexed_ids])
        entries = subject.vulnerabilities.values()
        is_known = bool(entries) or knowledge.is_known
        return Exposure(
            question=question,
            kind="vulnerability" if subject.is_vulnerability else "package",
            state=_state(has_images=bool(ids), is_known=is_known, is_recorded=not_recorded is None),
            names=names,
            exploited=min((entry.exploited for entry in entries if entry.exploited), default=None),
            epss=max((entry.epss for entry in entries if entry.epss >= 0), default=None),
            as_of=request.as_of,
            answered_at=self.clock.now(),
            total=len(ids),
            rejected=len(rejected),
            blocked=len(listed[ExposureFilter.BLOCKED]),
            blocked_of=blocking.count,
            waived=len(listed[ExposureFilter.WAIVED]),
            waived_of=waived_of,
            services=services,
            pipelines=_pipelines(pipelines),
            waivers=acceptances.naming_waivers(request.who) if acceptances else [],
            images=[
                view_image(contents, number, exposed[number].status, services, pipelines.get(number, ()), blocking)
                for number in page
            ],
            next=str(page[-1]) if has_more else None,
            unknown=unknown.page(unknown_slice, not_recorded or knowledge.reason, contents.images, contents.where),
            unaffected=UnaffectedImages(unknown.unaffected, sorted({name for _, name in knowledge.packages}))
            if has_status
            else None,
        )

    def _ask_advisories(
        self, names: Sequence[str], unknown: UnknownImages, as_of: str | None
    ) -> tuple[AdvisoryKnowledge, AcceptanceFinder]:
        """What the advisories know of a vulnerability, and what accepts it; adds the images that may have it."""
        state = self.store.component_search.index_state()
        knowledge = ask_advisories(self.store, self.advisories, names, state)
        uncertain = {
            "the advisory database does not cover packages of it": knowledge.uncovered_components,
            "versions of it cannot be compared": state.doubtful_components(names),
            "packages of it are not matched yet": state.unmatched_components,
        }
        unknown.add(uncertain, _by_ecosystem(knowledge.packages, state.ecosystems) if as_of is None else {})
        acceptances = AcceptanceFinder(
            self.store,
            self.exceptions,
            self.selection,
            as_of or self.clock.now(),
            names,
            has_vex=state.has_vex or as_of is not None,
            had_vex=state.had_vex,
            as_of=as_of,
        )
        return knowledge, acceptances

    def _subject(self, question: str, at: str | None) -> Subject:
        if question.lower().startswith("pkg:"):
            return Subject(False, self.packages.find(question))
        is_named = is_vulnerability_name(question)
        vulnerabilities = self.store.component_search.vulnerabilities(question, any_case=is_named)
        if vulnerabilities or is_named:
            affected: dict[int, list[AffectedComponent]] = {}
            components: dict[int, Component] = {}
            for entry, component in self.store.component_search.affected_components(vulnerabilities, at):
                affected.setdefault(entry.component, []).append(entry)
                components[entry.component] = component
            return Subject(True, components, vulnerabilities, affected)
        return Subject(False, self.packages.find(question))

    def _repositories(self, who: Caller | None) -> Collection[str] | None:
        if who is None or not who.is_limited:
            return None
        return [name for name in self.store.exposures.repositories() if who.reaches(repository=name)]

    def _may_see(self, entry: RunningImage, who: Caller | None) -> bool:
        return who is None or who.reaches(repository=entry.reference.repository_in(self.registry))


def _page(numbers: Sequence[int], request: ExposureRequest) -> tuple[list[int], bool]:
    """The page of a list that is asked for, and whether another follows."""
    following = [number for number in numbers if request.after is None or number < request.after]
    return following[: request.limit], len(following) > request.limit


def _state(*, has_images: bool, is_known: bool, is_recorded: bool) -> ExposureState:
    if has_images:
        return ExposureState.PRESENT
    if not is_known:
        return ExposureState.UNKNOWN_NAME
    return ExposureState.ABSENT if is_recorded else ExposureState.NOT_RECORDED


def _findings(subject: Subject) -> list[ExposedFinding]:
    return [
        ExposedFinding(subject.components[number].package(), affected, subject.vulnerabilities[affected.vulnerability])
        for number, findings in subject.affected.items()
        for affected in findings
    ]


def _by_ecosystem(packages: Collection[tuple[str, str]], ecosystems: Sequence[str]) -> dict[str, set[str]]:
    """The names of source packages by the ecosystems of components: these have a release, and those have none."""
    names: dict[str, set[str]] = {}
    for base, name in packages:
        names.setdefault(base, set()).add(name)
    return {entry: names[base] for entry in ecosystems for base in [entry.partition(":")[0]] if base in names}


def _pipelines(by_image: Mapping[int, Sequence[str]]) -> list[ExposedPipeline]:
    counts = Counter(name for names in by_image.values() for name in names)
    return [ExposedPipeline(name, count) for name, count in sorted(counts.items())]


def _names(subject: Subject) -> list[str]:
    names = {name for entry in subject.vulnerabilities.values() for name in (entry.name, *entry.aliases)}
    return sorted(names, key=alias_order)
