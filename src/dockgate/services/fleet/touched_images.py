"""The images whose verdicts waivers and VEX documents may change that have come or gone.

Found in the fleet index, which has the packages and findings of every image. Other scanners' findings are not in it: an
image with their reports is touched by all that may count in its repository. All images are touched by too many
exceptions that name no vulnerability, and by a waiver or document that cannot be read any more.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain

from dockgate.gate.fleet.exceptions import ExceptionScope, make_statement_scopes, make_waiver_scope
from dockgate.scanner.model import Package
from dockgate.services.verdicts.waivers import ServerExceptions
from dockgate.store import Store
from dockgate.store.fleet.judging import JudgedFrom
from dockgate.store.fleet.records import ComponentFinding, FleetImage

# Scopes that name packages and no vulnerability. Each is compared with every package that has findings.
NAMELESS_LIMIT = 100


def list_changed_scopes(
    store: Store, exceptions: ServerExceptions, judged_from: JudgedFrom
) -> Sequence[ExceptionScope] | None:
    """Return where the exceptions may change verdicts that are new since then, or ended; None if unknown."""
    waiver_ids = exceptions.waiver_ids ^ judged_from.waivers
    versions = exceptions.documents.keys() ^ judged_from.documents
    changed_waivers = [waiver for waiver in exceptions.waivers if waiver.id in waiver_ids]
    ended_waivers = store.waivers.list_with_ids(waiver_ids & judged_from.waivers)
    documents = [document for version, document in exceptions.documents.items() if version in versions]
    ended_versions = versions & judged_from.documents
    ended_documents = store.vex.list_with_versions(ended_versions)
    if len(changed_waivers) + len(ended_waivers) < len(waiver_ids) or len(ended_documents) < len(ended_versions):
        return None
    scopes = [make_waiver_scope(waiver) for waiver in (*changed_waivers, *ended_waivers)]
    for record, statements in (*documents, *ended_documents):
        for statement in statements:
            scopes += make_statement_scopes(statement, record.image or None)
    return list(dict.fromkeys(scopes))


def find_touched_images(
    store: Store, scopes: Sequence[ExceptionScope], images: Sequence[FleetImage]
) -> set[int] | None:
    """Return those of the images (ids) that may be in one of the scopes, None for all."""
    general_scopes = [scope for scope in scopes if scope.images is None]
    finding_scopes = [scope for scope in general_scopes if scope.has_finding]
    if sum(scope.names is None for scope in finding_scopes) > NAMELESS_LIMIT:
        return None
    digests = frozenset(chain.from_iterable(scope.images for scope in scopes if scope.images is not None))
    touched_ids = store.fleet.find_images_named(digests) if digests else set[int]()
    by_repository: dict[str, list[int]] = {}
    for image in images:
        by_repository.setdefault(image.repository, []).append(image.id)

    def list_images(scope: ExceptionScope) -> Iterator[int]:
        return chain.from_iterable(ids for name, ids in by_repository.items() if scope.has_repository(name))

    for scope in general_scopes:
        if not scope.has_finding:
            touched_ids.update(list_images(scope))
    for scope, components in _find_components(store, finding_scopes).items():
        bundles = {bundle for _, bundle, _ in store.fleet.iterate_bundle_uses(components)}
        holders = store.fleet.find_images_with(bundles)
        touched_ids |= holders if scope.repository is None else holders.intersection(list_images(scope))
    touched_ids |= _find_reported_images(store, scopes, images)
    return touched_ids & {image.id for image in images}


def _find_components(store: Store, scopes: Sequence[ExceptionScope]) -> Mapping[ExceptionScope, Collection[int]]:
    """The components with findings in these scopes, by a scope that has nothing but the repository."""
    components: dict[ExceptionScope, set[int]] = {}
    if not scopes:
        return components
    findings, names = _list_findings(store, scopes)
    packages = dict(_iterate_packages(store, {finding.component for finding in findings}))
    by_name: dict[str | None, list[ExceptionScope]] = {}
    for scope in scopes:
        for name in scope.names or (None,):
            by_name.setdefault(name, []).append(scope)
    for finding in findings:
        package = packages.get(finding.component)
        if package is None:
            continue  # no image holds it any more
        for name in (None, *names[finding.vulnerability]):
            for scope in by_name.get(name, ()):
                if scope.has_package(package):
                    key = ExceptionScope(repository=scope.repository)
                    components.setdefault(key, set()).add(finding.component)
    return components


def _list_findings(
    store: Store, scopes: Sequence[ExceptionScope]
) -> tuple[Sequence[ComponentFinding], Mapping[int, Collection[str]]]:
    """The findings that may be in the scopes, and the names of their vulnerabilities."""
    if any(scope.names is None for scope in scopes):
        findings = list(store.fleet_findings.iterate_findings())
        vulnerabilities = store.fleet_findings.list_vulnerabilities()
    else:
        names = frozenset(chain.from_iterable(scope.names or () for scope in scopes))
        vulnerabilities = store.fleet_findings.list_vulnerabilities_named(names)
        findings = list(store.fleet_findings.iterate_findings_with(vulnerabilities))
    return findings, {number: {entry.name, *entry.aliases} for number, entry in vulnerabilities.items()}


def _iterate_packages(store: Store, components: Collection[int]) -> Iterator[tuple[int, Package]]:
    for number, component in store.fleet.iterate_components(components):
        yield number, component.to_package()


def _find_reported_images(store: Store, scopes: Sequence[ExceptionScope], images: Sequence[FleetImage]) -> set[int]:
    """The images with reports of other scanners that a scope may concern.

    One that names images concerns those that the index knows by its digests, and indexes: only a report may have their
    platform.
    """
    reported_digests = store.fleet_judging.list_reported_images() if scopes else frozenset()
    reported_images = [image for image in images if image.digest in reported_digests]
    if not reported_images:
        return set()
    ids = set[int]()
    if any(scope.images is not None for scope in scopes):
        ids |= store.fleet_judging.list_index_images().intersection(image.id for image in reported_images)
    general_scopes = [scope for scope in scopes if scope.images is None]
    ids.update(
        image.id for image in reported_images if any(scope.has_repository(image.repository) for scope in general_scopes)
    )
    return ids
