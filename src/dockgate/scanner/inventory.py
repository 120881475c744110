"""Combine what the layers of an image contain into an inventory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from operator import attrgetter

from dockgate.scanner.duplicates import Duplicates
from dockgate.scanner.image_metadata import add_image_metadata
from dockgate.scanner.integrity import checks, language_packages, layer_verification
from dockgate.scanner.integrity.package_databases import list_owner_names
from dockgate.scanner.integrity.python_metadata import PackageFolders
from dockgate.scanner.layer_index import LayerFacts, LayerStack, PackageFile, make_unchecked
from dockgate.scanner.layer_reader import estimate_memory_cost, format_unread_reason
from dockgate.scanner.model import THIRD_PARTY, Distribution, Inventory, Package, Unread
from dockgate.scanner.ports import Ecosystem, Image
from dockgate.shared.errors import UnreadableError

# Bytes of memory, about, that the facts of an image's layers may take, their paths packed and unpacked. Those of the
# largest images in use, with a million files, take 250 million.
IMAGE_LIMIT = 384 * 1024 * 1024
# Characters of paths and reasons in an image's unread entries; those of images in use take some thousand. A verdict has
# them several times, and paths of a layer of a few kilobytes can take hundreds of megabytes.
UNREAD_LIMIT = 4_000_000
_PATH_COST = 110  # bytes of memory that a path takes besides its own, where presence is looked up

_required_fields = attrgetter(*[field.name for field in fields(Package)][:7])


def make_package_key(package: Package) -> tuple[str, ...]:
    """Return the sort key of an inventory's packages: all their fields."""
    optional = package.layer, package.arch, package.owner, package.module, package.vendor, package.imports
    return (*_required_fields(package), *[text or "" for text in optional])


def make_unread_key(entry: Unread) -> tuple[str, str, str]:
    """Return the sort key of what could not be read: all its fields."""
    return entry.path, entry.reason, entry.layer or ""


def combine_facts(
    image: Image, facts: Sequence[LayerFacts], ecosystems: Sequence[Ecosystem], *, should_hash: bool = False
) -> Inventory:
    """Combine what the layers contain, base first, into an inventory with every inconsistency as unread.

    `should_hash`: a layer whose uncompressed content was not hashed is unread too.
    """
    facts = list(_limit_layers(facts))
    try:
        distribution, packages, unread_entries = _read_packages_and_unread(
            image, facts, ecosystems, should_hash=should_hash
        )
    except UnreadableError as error:
        distribution, packages, unread_entries = None, set(), {make_unchecked(error)}
    inventory = Inventory(
        image=None,
        platform=None,
        distribution=distribution,
        layers=tuple(layer.layer for layer in facts if layer.layer is not None),
        packages=tuple(sorted(packages, key=make_package_key)),
        unread=_limit_unread(sorted(unread_entries, key=make_unread_key)),
        diff_ids=tuple(layer.diff_id or "" for layer in facts) if any(layer.diff_id for layer in facts) else (),
    )
    return add_image_metadata(inventory, image)


def _read_packages_and_unread(
    image: Image, facts: Sequence[LayerFacts], ecosystems: Sequence[Ecosystem], *, should_hash: bool
) -> tuple[Distribution | None, set[Package], set[Unread]]:
    """Return distribution, packages and unread entries. Raises UnreadableError if that takes too long."""
    stack = LayerStack(facts)
    distribution = _find_distribution(stack)
    distribution_ecosystems = {kind.name: kind for kind in ecosystems if kind.distributions}
    packages = set(_complete_packages(stack, distribution, distribution_ecosystems))
    owners = {package.name for package in packages} - {package.name for package in packages if package.vendor}
    unread_entries = {
        *checks.find_problems(stack, ecosystems),
        *(entry for layer in facts for entry in layer.unread),
    }
    unread_entries.update(
        layer_verification.find_problems(image.layers, facts, image.diff_ids, should_hash=should_hash)
    )
    locks = language_packages.Locks(stack)
    duplicates = Duplicates(stack, ecosystems)
    folders = PackageFolders(stack)
    for layer_index, file in stack.present_files:
        if file.is_lockfile and not file.is_self_contained and locks.is_ignored(file):
            continue
        owner = (
            file.owner
            if file.owner in owners and stack.is_introduced(file.owner, layer_index, distribution_ecosystems)
            else None
        )
        if file.ecosystem not in distribution_ecosystems:
            for package in file.packages:
                if not (file.is_lockfile and locks.is_installed(package)) and not duplicates.is_duplicate(
                    package, file
                ):
                    packages.add(_set_origin(package, facts[layer_index].layer, owner))
        if not owner:  # the distribution's advisories cover files that its packages own
            unread_entries.update(_list_unread_parts(file, facts[layer_index].layer))
            if folders.has_no_list(file):
                reason = (
                    f"{file.path} has no RECORD beside it, so no file list shows which files belong to the package."
                )
                unread_entries.add(Unread(file.path, reason, facts[layer_index].layer))
    for layer_index, release in stack.releases.values():
        if release.unread_reason:
            unread_entries.add(
                Unread(
                    release.path, format_unread_reason(release.path, release.unread_reason), facts[layer_index].layer
                )
            )
    return distribution, packages, unread_entries


def _complete_packages(
    stack: LayerStack, distribution: Distribution | None, distribution_ecosystems: Mapping[str, Ecosystem]
) -> Iterator[Package]:
    """Yield the packages of the package databases, completed for the distribution."""
    third_party = {name: stack.list_third_party_names(name) for name in distribution_ecosystems}
    for layer_index, file in stack.present_files:
        if file.ecosystem in distribution_ecosystems:
            third_party_names = third_party[file.ecosystem]
            for package in file.packages:
                placed_package = _set_origin(
                    package, stack.facts[stack.find_introducing_layer(file, package, layer_index)].layer, None
                )
                if third_party_names and not third_party_names.isdisjoint(list_owner_names(package.name, package.arch)):
                    placed_package = replace(placed_package, vendor=THIRD_PARTY + (placed_package.vendor or ""))
                assigned_package = (
                    distribution_ecosystems[file.ecosystem].assign_distribution(placed_package, distribution)
                    if distribution
                    else None
                )
                yield assigned_package or replace(placed_package, vendor=None)


class FactsInMemory(dict[str | None, LayerFacts]):
    """The facts of layers by digest, of one image after another, within twice IMAGE_LIMIT.

    A folder has the digest None. The image of a layer above it is unread, and so is that layer: hundreds of full layers
    would fill the memory before they are combined.
    """

    def __init__(self) -> None:
        super().__init__()
        self._memory_used = 0

    def start_image(self) -> None:
        """Forget the layers of earlier images if they take too much memory to be kept for the next ones."""
        if self._memory_used > IMAGE_LIMIT // 4:
            self.clear()
            self._memory_used = 0

    def add(self, facts: LayerFacts) -> None:
        """Add the facts of a layer; above the limit it is added as unread, without content."""
        self._memory_used += _estimate_facts_cost(facts)
        self[facts.layer] = facts if self._memory_used <= 2 * IMAGE_LIMIT else _drop_content(facts)


def _limit_unread(entries: Sequence[Unread]) -> tuple[Unread, ...]:
    """Return the entries within UNREAD_LIMIT, and one for all others."""
    listed_entries: list[Unread] = []
    remaining = UNREAD_LIMIT
    for entry in entries:
        remaining -= len(entry.path) + len(entry.reason)
        if remaining < 0:
            reason = f"{len(entries) - len(listed_entries):,} more files and parts cannot be read: too many to list."
            return tuple(sorted((*listed_entries, Unread("/", reason)), key=make_unread_key))
        listed_entries.append(entry)
    return tuple(listed_entries)


def _limit_layers(facts: Sequence[LayerFacts]) -> Iterator[LayerFacts]:
    """Yield the layers within IMAGE_LIMIT, and the others as unread.

    An image can have hundreds of full layers, or one layer hundreds of times.
    """
    spent_memory = 0
    for layer in facts:
        spent_memory += _estimate_facts_cost(layer)
        yield layer if spent_memory <= IMAGE_LIMIT else _drop_content(layer)


def _estimate_facts_cost(facts: LayerFacts) -> int:
    """Estimate the bytes of memory that the facts take, their paths packed and unpacked."""
    links = facts.symlinks
    path_lists = (facts.implied_folders, facts.folders, facts.whiteouts, facts.opaques)
    texts = 2 * len(facts.files) + sum(sum(map(len, paths)) for paths in (*path_lists, links, links.values()))
    count = facts.files.count("\0") + sum(map(len, path_lists)) + 2 * len(links)
    return texts + _PATH_COST * count + sum(map(estimate_memory_cost, facts.package_files))


def _drop_content(facts: LayerFacts) -> LayerFacts:
    reason = "The layer cannot be read: with those below it, it contains too many files and packages."
    return LayerFacts(facts.layer, unread=(Unread("/", reason, facts.layer),))


def _set_origin(package: Package, layer: str | None, owner: str | None) -> Package:
    """Return `replace(package, layer=…, owner=…)` in a third of the time: images have thousands of packages."""
    return Package(
        package.name,
        package.version,
        package.purl,
        package.ecosystem,
        package.source_name,
        package.source_version,
        package.path,
        layer,
        package.arch,
        owner,
        package.module,
        package.vendor,
        package.imports,
    )


def _list_unread_parts(file: PackageFile, layer: str | None) -> Iterator[Unread]:
    if file.unread_reason:
        yield Unread(file.path, format_unread_reason(file.path, file.unread_reason), layer)
    for inner, reason in file.unread_parts:
        path = f"{file.path}!/{inner}"
        yield Unread(path, format_unread_reason(path, reason), layer)


def _find_distribution(stack: LayerStack) -> Distribution | None:
    """Return the distribution, with the release of its package repositories if a file states it."""
    distribution = stack.distribution
    release = next((file.release for _, file in reversed(stack.present_files) if file.release), None)
    return replace(distribution, repository=release) if distribution and release else distribution
