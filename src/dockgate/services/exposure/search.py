"""Find every image that contains a vulnerability or a package.

Answers say since when, where it runs, and who waived it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dockgate.delivery.ports import Advisories
from dockgate.identity.model import Caller
from dockgate.services.clock import ServerClock
from dockgate.services.exposure.answer import (
    LONGEST_QUESTION,
    ExposedImage,
    Exposure,
    ExposureFilter,
    ExposureRequest,
    RunningService,
    UnaffectedImages,
)
from dockgate.services.exposure.blocking_verdicts import BlockingVerdicts, find_blocking_verdicts
from dockgate.services.exposure.caveats import Caveat, RefreshAdvice, list_catalogue_caveats, list_caveats
from dockgate.services.exposure.conclusion import ExposureState, QuestionScope, determine_outcome, draw_conclusion
from dockgate.services.exposure.exposed_pipelines import count_pipelines, select_visible_pipelines
from dockgate.services.exposure.finding_waivers import WaiverFinder
from dockgate.services.exposure.image_lists import ImageLists, Matches, find_previous_page, select_page
from dockgate.services.exposure.image_statuses import ImageStatus, read_image_statuses
from dockgate.services.exposure.images import ImageContents, Subject, view_image
from dockgate.services.exposure.question_names import (
    has_package_of_name,
    is_vulnerability_name,
    refuse_other_name,
    strip_version,
)
from dockgate.services.exposure.unknown_images import (
    AdvisoryKnowledge,
    UnknownImages,
    explain_missing_history,
    read_advisory_knowledge,
    read_package_knowledge,
)
from dockgate.services.exposure.waived_findings import UNGROUPED_LIMIT, group_images
from dockgate.services.exposure.waiver_history import CachedWaiverHistory, WaiverHistory
from dockgate.services.images.fleet_packages import FleetPackages
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.shared.errors import UsageError
from dockgate.shared.purl import is_purl
from dockgate.store import Store
from dockgate.store.exposure.records import AffectedComponent, ExposureScope, IndexState, MatchingImage, RunningImage
from dockgate.store.fleet.records import Component, Vulnerability
from dockgate.store.records import ImageLocation
from dockgate.vulnerabilities.aliases import rank_alias
from dockgate.vulnerabilities.model import strip_release


@dataclass(slots=True)
class LookUp:
    """The subject of a question, and every service that runs an image, none for one about the past.

    `images` are the images that contain it, of those that the caller may see, by id, once they were found; `state` is
    that of the index, once it was read.
    """

    subject: Subject
    running_images: Sequence[RunningImage]
    images: dict[int, MatchingImage] | None = None
    state: IndexState | None = None


@dataclass(frozen=True, slots=True)
class ExposureSearch:
    """The search for images that contain something.

    `registry` is the address of our own registry. For more images than `ungrouped_limit`, like ones are looked at once.
    `advise_refresh` names the way to newer advisories on this server.
    """

    store: Store
    advisories: Advisories
    waivers: ServerWaivers
    watched_images: WatchedImages
    packages: FleetPackages
    waiver_history: CachedWaiverHistory
    clock: ServerClock
    registry: str
    advise_refresh: RefreshAdvice
    ungrouped_limit: int = UNGROUPED_LIMIT

    def look_up(self, question: str, at: str | None = None) -> LookUp:
        """Look up the subject and what runs: the beginning of both answers. UsageError as `find`."""
        return LookUp(self._find_subject(question.strip(), at), () if at else self.store.services.list_running_images())

    def find(self, request: ExposureRequest, look_up: LookUp | None = None) -> Exposure:
        """Answer a question, of which the beginning may be known.

        UsageError for an empty or too long one, a wrong package URL, a mistyped name, or that of an image.
        """
        question = request.question.strip()
        if not question or len(question) > LONGEST_QUESTION:
            raise UsageError(
                f"a question has 1 to {LONGEST_QUESTION} characters",
                "Name a vulnerability, a package or a package URL.",
            )
        with self.store.database.read():  # one connection, and one state of the index, for all of it
            return self._find(question, request, look_up or self.look_up(question, request.as_of))

    def make_present_scope(self, caller: Caller | None, running_images: Iterable[RunningImage]) -> ExposureScope:
        """All images that have a tag or run now, as far as the caller sees them.

        `running_images` is all that runs.
        """
        visible = {entry.digest for entry in running_images if self._can_see(entry, caller)}
        return ExposureScope(None, self._list_repositories(caller), visible)

    def find_matching_images(self, look_up: LookUp, caller: Caller | None) -> dict[int, MatchingImage]:
        """The images that are there now, and of which the caller may see that they contain it, by id."""
        if look_up.images is None:
            scope = self.make_present_scope(caller, look_up.running_images)
            is_owned = not look_up.subject.is_vulnerability
            look_up.images = self.store.exposures.list_images(look_up.subject.components, scope, is_owned=is_owned)
        return look_up.images

    def _find(self, question: str, request: ExposureRequest, look_up: LookUp) -> Exposure:
        subject, is_limited = look_up.subject, request.caller is not None and request.caller.is_limited
        if subject.is_vulnerability or is_limited:
            look_up.state = self.store.component_search.read_index_state(has_repositories=is_limited)
        image_scope, state = self._make_scope(request, look_up), look_up.state
        records = self._read_records(state, image_scope) if state and subject.is_vulnerability else None
        matches = self._find_visible_images(request, look_up, image_scope, records)
        names, is_owned = _list_names(subject), not subject.is_vulnerability
        unknown_images = UnknownImages(self.store, matches.scope, matches.ids, subject.components, is_owned=is_owned)
        if records:
            knowledge, waiver_finder = self._ask_advisories([question, *names], unknown_images, request, records)
        else:
            knowledge, waiver_finder = self._ask_about_package(question, matches), None
            unknown_images.add({}, {})
        unknown_slice = unknown_images.slice(request.unknown_after, request.limit)
        contents = ImageContents(self.store, subject, matches.scope, waiver_finder, request.as_of or self.clock.now())
        blocking = self._find_blocking(request, matches, names)
        lists = ImageLists(matches, blocking)
        if waiver_finder and waiver_finder.has_any:
            groups = self._group_images(waiver_finder, subject, matches)
            lists.add_waived(groups, request, contents, unknown_slice.indexed_ids)
        page, has_more = select_page(lists.by_filter[request.only], request)
        previous = find_previous_page(lists.by_filter[request.only], request)
        contents.read([*page, *unknown_slice.indexed_ids])
        entries = subject.vulnerabilities.values()
        pipelines = select_visible_pipelines(matches.images, request.caller)
        outcome = determine_outcome(
            len(matches.ids),
            unknown_slice.total,
            is_known=bool(entries) or knowledge.is_known,
            not_recorded=self._explain_missing_record(request.as_of, subject),
            not_judged=knowledge.reason,
        )
        scope = QuestionScope(subject.is_vulnerability, is_limited, is_past=request.as_of is not None)
        exploited_day, stale_count = _find_exploited_day(entries, request.as_of), len(knowledge.stale_feeds)
        moved_count, is_about_now = unknown_images.moved_count, scope.is_vulnerability and not scope.is_past
        return Exposure(
            question=question,
            kind="vulnerability" if subject.is_vulnerability else "package",
            is_limited=is_limited,
            state=outcome.state,
            conclusion=draw_conclusion(
                outcome, scope, services=len(matches.services), moved_count=moved_count, stale_feed_count=stale_count
            ),
            names=names,
            exploited=exploited_day,
            epss=None if request.as_of else max((cve.epss for cve in entries if cve.epss is not None), default=None),
            as_of=request.as_of,
            answered_at=self.clock.now(),
            total=outcome.total,
            moved=moved_count,
            rejected=len(matches.rejected_images),
            blocked=len(lists.by_filter[ExposureFilter.BLOCKED]),
            blocked_of=len(blocking.images) - blocking.unknown_count,
            blocked_unknown=blocking.unknown_count,
            waived=len(lists.by_filter[ExposureFilter.WAIVED]),
            waived_of=lists.waived_of,
            services=matches.services,
            pipelines=count_pipelines(pipelines),
            waivers=waiver_finder.find_naming_waivers(request.caller) if waiver_finder else [],
            images=[_view_image(number, contents, matches, pipelines, blocking) for number in page],
            next=str(page[-1]) if has_more else None,
            previous=str(previous) if previous is not None else None,
            unknown=unknown_images.make_page(unknown_slice, outcome, contents.images, contents.tag_periods),
            unaffected=_count_unaffected(unknown_images, knowledge) if is_about_now else None,
            caveats=_list_caveats(outcome.state, knowledge, scope, moved_count, exploited_day, self.advise_refresh),
            feeds=list(knowledge.feeds),
            catalogues=list(knowledge.catalogues),
        )

    def _group_images(self, waiver_finder: WaiverFinder, subject: Subject, matches: Matches) -> list[list[int]]:
        """The images in groups of like ones: each is one for itself where they are few."""
        if len(matches.ids) <= self.ungrouped_limit:
            return [[number] for number in matches.ids]
        facts = self.store.exposures.read_facts(matches.ids, subject.components, matches.scope)
        return group_images(waiver_finder, subject.list_findings(), matches.images, facts)

    def _ask_about_package(self, question: str, matches: Matches) -> AdvisoryKnowledge:
        """Return whether something has the name. UsageError for the name of an image, or a mistyped other one."""
        if matches.ids or has_package_of_name(self.store, self.packages, question, matches.scope):
            return AdvisoryKnowledge(True)
        knowledge = read_package_knowledge(self.advisories, self.packages.list_names(strip_version(question)))
        if not knowledge.is_known:
            refuse_other_name(question)
        return knowledge

    def _read_records(self, state: IndexState, scope: ExposureScope) -> "_Records":
        history = self.waiver_history.read(state.waiver_revision)
        return _Records(self.store.vulnerability_lists.limit_state(state, scope), history)

    def _make_scope(self, request: ExposureRequest, look_up: LookUp) -> ExposureScope:
        repositories = self._list_repositories(request.caller, look_up.state.repositories if look_up.state else None)
        digests = {entry.digest for entry in look_up.running_images if self._can_see(entry, request.caller)}
        return ExposureScope(request.as_of, repositories, digests, request.should_include_moved)

    def _find_visible_images(
        self, request: ExposureRequest, look_up: LookUp, scope: ExposureScope, records: "_Records | None"
    ) -> Matches:
        """The images that contain the subject at the time of the question, and of which the caller may see it."""
        subject, is_now = look_up.subject, request.as_of is None
        running_images = [entry for entry in look_up.running_images if self._can_see(entry, request.caller)]
        images = self.store.exposures.list_images(
            subject.components,
            scope,
            is_owned=not subject.is_vulnerability,
            has_status=subject.is_vulnerability and is_now,
        )
        if is_now and not request.should_include_moved:
            look_up.images = images
        running_digests = set(scope.running_images).intersection(image.digest for image in images.values())
        services = [
            RunningService.from_running_image(request.caller, entry, self.registry)
            for entry in running_images
            if entry.digest in running_digests
        ]
        statuses: Mapping[int, ImageStatus] = {}
        watched_images = self.watched_images
        if records and is_now:
            watched_images = watched_images.with_assignments(records.history.assignments)
            locations = [
                ImageLocation(entry.reference.strip_registry(self.registry), entry.digest) for entry in running_images
            ]
            run_anywhere = {entry.digest for entry in look_up.running_images}
            now = self.clock.now()
            waivers = records.history.list_active(now)
            statuses = read_image_statuses(self.store, watched_images, images, locations, run_anywhere, waivers)
        return Matches(
            images, statuses, scope._replace(running_images=running_digests), services, watched_images.selection
        )

    def _explain_missing_record(self, as_of: str | None, subject: Subject) -> str | None:
        """Return why nothing is recorded of the time of the question; None if it is, or for one about now."""
        if as_of is None:
            return None
        begin = self.store.exposures.read_history_begin()
        return explain_missing_history(begin, as_of, is_vulnerability=subject.is_vulnerability)

    def _find_blocking(self, request: ExposureRequest, matches: Matches, names: Sequence[str]) -> BlockingVerdicts:
        """Find what the newest verdicts on the rejected images say; of more images if it is about them."""
        should_read_more = request.only is ExposureFilter.BLOCKED
        repositories = {
            matches.images[number].digest: matches.statuses[number].repositories for number in matches.rejected_images
        }
        return find_blocking_verdicts(
            self.store, repositories, matches.selection, names, matches.scope, should_read_more=should_read_more
        )

    def _ask_advisories(
        self,
        names: Sequence[str],
        unknown_images: UnknownImages,
        request: ExposureRequest,
        records: "_Records",
    ) -> tuple[AdvisoryKnowledge, WaiverFinder]:
        """Return what the advisories know of a vulnerability, and what accepts it; add images that may have it."""
        as_of, state = request.as_of, records.state
        knowledge = read_advisory_knowledge(self.store, self.advisories, names, state, self.clock.now(), as_of)
        uncertain = {
            "the advisory database does not cover packages of it": knowledge.uncovered_components,
            "versions of it cannot be compared": state.list_uncomparable(names),
            "packages of it are not matched yet": state.unmatched_components,
        }
        packages = _group_by_ecosystem(knowledge.packages, state.ecosystems) if as_of is None else {}
        unknown_images.add(uncertain, packages, request.most_unaffected)
        waiver_finder = WaiverFinder(
            self.store,
            self.waivers,
            records.history,
            as_of or self.clock.now(),
            names,
            as_of,
        )
        return knowledge, waiver_finder

    def _find_subject(self, question: str, at: str | None) -> Subject:
        if is_purl(question.lower()):
            return Subject(False, self.packages.find(question))
        is_named = is_vulnerability_name(question)
        vulnerabilities = self.store.component_search.find_vulnerabilities(question, should_ignore_case=is_named)
        if vulnerabilities or is_named:
            affected_components: dict[int, list[AffectedComponent]] = {}
            past_components: dict[int, list[AffectedComponent]] = {}
            components: dict[int, Component] = {}
            for entry, component in self.store.component_search.list_affected_components(vulnerabilities):
                if entry.is_there(at):
                    affected_components.setdefault(entry.component, []).append(entry)
                    components[entry.component] = component
                if entry.closed is not None:
                    past_components.setdefault(entry.component, []).append(entry)
            return Subject(True, components, vulnerabilities, affected_components, past_components)
        return Subject(False, self.packages.find(question))

    def _list_repositories(self, caller: Caller | None, names: Sequence[str] | None = None) -> Collection[str] | None:
        """The repositories that a limited caller sees; None for other callers. `names` are all, None to read them."""
        if caller is None or not caller.is_limited:
            return None
        names = self.store.exposures.list_repositories() if names is None else names
        return [name for name in names if caller.can_reach(repository=name)]

    def _can_see(self, entry: RunningImage, caller: Caller | None) -> bool:
        return caller is None or caller.can_reach(repository=entry.reference.strip_registry(self.registry))


class _Records(NamedTuple):
    """The state of the index, and what may excuse findings as of it."""

    state: IndexState
    history: WaiverHistory


def _view_image(
    number: int,
    contents: ImageContents,
    matches: Matches,
    pipelines: Mapping[int, Sequence[str]],
    blocking: BlockingVerdicts,
) -> ExposedImage:
    status = matches.statuses.get(number)
    since = matches.images[number].cannot_judge_since
    image = view_image(contents, number, status, matches.services, pipelines.get(number, ()), blocking)
    return replace(image, cannot_judge_since=since)


def _count_unaffected(unknown: UnknownImages, knowledge: AdvisoryKnowledge) -> UnaffectedImages | None:
    """Return the images with other versions, None if the advisories cannot be read."""
    if knowledge.is_known is None:
        return None
    return UnaffectedImages(unknown.unaffected_count, list(unknown.unaffected_packages))


def _group_by_ecosystem(packages: Collection[tuple[str, str]], ecosystems: Sequence[str]) -> dict[str, set[str]]:
    """Return the names of source packages by the ecosystems of components.

    Ecosystems of components have a release, those of the given names have none.
    """
    names: dict[str, set[str]] = {}
    for base, name in packages:
        names.setdefault(base, set()).add(name)
    return {entry: names[base] for entry in ecosystems for base in [strip_release(entry)] if base in names}


def _list_caveats(
    state: ExposureState,
    knowledge: AdvisoryKnowledge,
    scope: QuestionScope,
    moved_count: int,
    exploited_day: str | None,
    advise: RefreshAdvice,
) -> list[Caveat]:
    return [
        *list_caveats(state, knowledge.checks, scope, moved_count, advise, knowledge.stale_feeds),
        *list_catalogue_caveats(knowledge.catalogues, advise, is_exploited=exploited_day is not None),
    ]


def _find_exploited_day(entries: Collection[Vulnerability], as_of: str | None) -> str | None:
    """Return since when one of these was known to be exploited at that time; None if it was not."""
    days = (entry.exploited for entry in entries if entry.exploited)
    return min((day for day in days if as_of is None or day <= as_of), default=None)


def _list_names(subject: Subject) -> list[str]:
    names = {name for entry in subject.vulnerabilities.values() for name in (entry.name, *entry.aliases)}
    return sorted(names, key=rank_alias)
