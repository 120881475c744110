"""Find the images whose verdicts may change because waivers or VEX documents were added or have ended.

The fleet index has the packages and findings of every image; the reports of other scanners are searched as well. The
result is all images if too many exemptions have a pattern of packages and no vulnerability, or if a waiver or document
cannot be read any more.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import chain

from dockgate.gate import patterns
from dockgate.gate.fleet.exemptions import ExemptionScope, make_statement_scopes, make_waiver_scope
from dockgate.scanner.model import Package
from dockgate.services.verdicts.waivers import ServerExemptions
from dockgate.store import Store
from dockgate.store.fleet.judging_state import FleetJudgingInputs
from dockgate.store.fleet.records import ComponentFinding, IndexedImage

# Scopes without a vulnerability and with a wildcard in the name of a package. Each is compared with every package that
# has findings: with more of them, judging all images takes no longer.
WILDCARDS_LIMIT = 100


class AllImages(Enum):
    """All images, because it is not known which ones differ, or because judging all is faster."""

    ALL_IMAGES = "all images"


ALL_IMAGES = AllImages.ALL_IMAGES
# Images by their ids, or all.
ImageIds = set[int] | AllImages


class _FindingScopes:
    """Scopes of findings, by what they have to name: a vulnerability and the path of a package URL, None for any."""

    def __init__(self, scopes: Iterable[ExemptionScope]) -> None:
        self._scopes: dict[tuple[str | None, str | None], list[ExemptionScope]] = {}
        for scope in scopes:
            for name in scope.names or (None,):
                for path in dict.fromkeys(scope.list_paths()):
                    self._scopes.setdefault((name, path), []).append(scope)
        self.wildcard_count = len(self._scopes.get((None, None), ()))

    @property
    def has_any(self) -> bool:
        """Return whether there is any scope."""
        return bool(self._scopes)

    def iterate_with(self, names: Iterable[str], package: Package) -> Iterator[ExemptionScope]:
        """Yield the scopes of a finding with one of these names in the package, some of them more than once."""
        paths = (None, *(path for path, _ in patterns.list_identities(package)))
        for name in (None, *names):
            for path in paths:
                for scope in self._scopes.get((name, path), ()):
                    if scope.has_package(package):
                        yield scope


def list_changed_scopes(
    store: Store, exemptions: ServerExemptions, judging_inputs: FleetJudgingInputs
) -> Sequence[ExemptionScope] | None:
    """Return the scopes of exemptions that were added or ended since `judging_inputs`; None if unknown."""
    waiver_ids = exemptions.waiver_ids ^ judging_inputs.waivers
    versions = exemptions.documents.keys() ^ judging_inputs.documents
    changed_waivers = [waiver for waiver in exemptions.waivers if waiver.id in waiver_ids]
    ended_waivers = store.waivers.list_with_ids(waiver_ids & judging_inputs.waivers)
    documents = [document for version, document in exemptions.documents.items() if version in versions]
    ended_versions = versions & judging_inputs.documents
    ended_documents = store.vex.list_with_versions(ended_versions)
    if len(changed_waivers) + len(ended_waivers) < len(waiver_ids) or len(ended_documents) < len(ended_versions):
        return None
    scopes = [make_waiver_scope(waiver) for waiver in (*changed_waivers, *ended_waivers)]
    for record, statements in (*documents, *ended_documents):
        for statement in statements:
            scopes += make_statement_scopes(statement, record.image)
    return list(dict.fromkeys(scopes))


def find_touched_images(store: Store, scopes: Sequence[ExemptionScope], images: Sequence[IndexedImage]) -> ImageIds:
    """Return those of the images that may be in one of the scopes."""
    general_scopes = [scope for scope in scopes if scope.images is None]
    finding_scopes = _FindingScopes(scope for scope in general_scopes if scope.has_finding)
    if finding_scopes.wildcard_count > WILDCARDS_LIMIT:  # with these, every finding is compared
        return ALL_IMAGES
    digests = frozenset(chain.from_iterable(scope.images for scope in scopes if scope.images is not None))
    touched_ids = store.fleet.find_images_named(digests) if digests else set[int]()
    by_repository: dict[str, list[int]] = {}
    for image in images:
        by_repository.setdefault(image.repository, []).append(image.id)

    def list_images(scope: ExemptionScope) -> Iterator[int]:
        return chain.from_iterable(ids for name, ids in by_repository.items() if scope.has_repository(name))

    for scope in general_scopes:
        if not scope.has_finding:
            touched_ids.update(list_images(scope))
    names = frozenset(chain.from_iterable(scope.names or (None,) for scope in general_scopes if scope.has_finding))
    for scope, components in _find_components(store, finding_scopes, names).items():
        bundles = {bundle for _, bundle, _ in store.fleet.iterate_bundle_uses(components)}
        image_ids = store.fleet.find_images_with(bundles)
        touched_ids |= image_ids if scope.repository is None else image_ids.intersection(list_images(scope))
    touched_ids |= _find_reported_images(store, finding_scopes, digests, images)
    return touched_ids & {image.id for image in images}


def _find_components(
    store: Store, scopes: _FindingScopes, names: Collection[str | None]
) -> Mapping[ExemptionScope, Collection[int]]:
    """Find the components with findings in these scopes, by the repository (as a scope) in which they count.

    `names` are all vulnerabilities that the scopes name, None where one names none.
    """
    components: dict[ExemptionScope, set[int]] = {}
    if not names:
        return components
    findings, names_by_vulnerability = _list_findings(store, names)
    present_components = store.fleet.iterate_components({finding.component for finding in findings})
    packages = {number: component.to_package() for number, component in present_components}
    for finding in findings:
        package = packages.get(finding.component)
        if package is None:
            continue  # no image contains it any more
        for scope in scopes.iterate_with(names_by_vulnerability[finding.vulnerability], package):
            components.setdefault(ExemptionScope(repository=scope.repository), set()).add(finding.component)
    return components


def _list_findings(
    store: Store, names: Collection[str | None]
) -> tuple[Sequence[ComponentFinding], Mapping[int, Collection[str]]]:
    """The findings with these names, all if None is among them, and the names of their vulnerabilities."""
    if None in names:
        findings = list(store.fleet_findings.iterate_findings())
        vulnerabilities = store.fleet_findings.list_vulnerabilities()
    else:
        vulnerabilities = store.fleet_findings.list_vulnerabilities_named([name for name in names if name is not None])
        findings = list(store.fleet_findings.iterate_findings_with(vulnerabilities))
    return findings, {number: {entry.name, *entry.aliases} for number, entry in vulnerabilities.items()}


def _find_reported_images(
    store: Store, scopes: _FindingScopes, digests: Collection[str], images: Sequence[IndexedImage]
) -> set[int]:
    """Return the images with external reports on one of the platforms, or about a finding in a scope."""
    ids = set[int]()
    if not (scopes.has_any or digests):
        return ids
    by_digest = {image.digest: image for image in images}
    for subjects in store.reports.iterate_subjects():
        image = by_digest.get(subjects.image)
        if image is not None and image.id not in ids:
            reported_scopes = chain.from_iterable(
                scopes.iterate_with(names, component.to_package()) for component, names in subjects.names.items()
            )
            if subjects.platform_image in digests or any(
                scope.has_repository(image.repository) for scope in reported_scopes
            ):
                ids.add(image.id)
    return ids
