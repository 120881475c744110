"""The images with a vulnerability that is excused there.

Of many images, those that are alike are looked at once. Images are alike if the same waivers accept what they contain,
and if they are in repositories to which the same waivers and the same authors of VEX statements apply. An image that a
waiver or a document names is like no other.
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

from dockgate.gate import patterns, vex_statements
from dockgate.gate.model import Waiver
from dockgate.gate.policy import list_vex_authors
from dockgate.services.exposure.finding_waivers import ExposedFinding, WaiverFinder
from dockgate.store.exposure.records import ImageFacts, MatchingImage

# Up to so many images are looked at one by one, as a page has them anyway.
UNGROUPED_LIMIT = 50
# Groups of like images that are looked at: those with the newest ones.
GROUP_LIMIT = 500


def find_waived(
    groups: Sequence[Sequence[int]],
    likely: Sequence[int],
    read: Callable[[Sequence[int]], None],
    is_waived: Callable[[int], bool],
) -> tuple[list[int], int]:
    """The images of these groups in which it is excused, newest first, and the number of all.

    The number is that of the images that the answer is about. `read` is called once: with the image of each group that
    `is_waived` is then asked about, and with the `likely` ones that are listed.
    """
    looked_at = groups[:GROUP_LIMIT]
    read([*(group[0] for group in looked_at), *likely])
    waived_images = [number for group in looked_at if is_waived(group[0]) for number in group]
    return sorted(waived_images, reverse=True), sum(map(len, looked_at))


def group_images(
    finder: WaiverFinder,
    findings: Sequence[ExposedFinding],
    images: Mapping[int, MatchingImage],
    facts: ImageFacts,
) -> list[list[int]]:
    """The images in groups of like ones, the newest first.

    Those in which nothing can excuse it are left out.
    """
    scope = _Scope(finder, findings)
    groups: dict[Hashable, list[int]] = {}
    kinds = (
        scope.list_kinds({name for names in facts.repositories.values() for name in names}) if scope.is_general else {}
    )
    for number, image in images.items():
        names = facts.repositories.get(number)
        if image.digest in scope.images or (scope.is_general and not names):  # or it runs, and is in no repository
            groups[number] = [number]
        elif names and scope.is_general:
            matching_components = frozenset(
                scope.components[component] for component in facts.components.get(number, ())
            )
            groups.setdefault((matching_components, frozenset(kinds[name] for name in names)), []).append(number)
    return sorted((sorted(group, reverse=True) for group in groups.values()), reverse=True)


class _Scope:
    """The records that can excuse the findings.

    `images` are those that it names; `is_general`: some of it names no image. `components` says of each component what
    can excuse it in any image.
    """

    def __init__(self, finder: WaiverFinder, findings: Sequence[ExposedFinding]) -> None:
        self._finder = finder
        statements = finder.read_general_statements()
        self._has_statements = bool(statements)
        image_digests = (
            vex_statements.parse_image_digest(product) for entry in statements for product in entry.products
        )
        self.images = {digest for digest in image_digests if digest} | finder.find_images_with_documents()
        accepting = {entry.affected_component.component: set[str]() for entry in findings}
        general: dict[str, Waiver] = {}
        for entry in findings:
            for waiver in finder.find_accepting_waivers(entry):
                if waiver.image:
                    self.images.add(waiver.image)
                else:
                    general[waiver.id] = waiver
                    accepting[entry.affected_component.component].add(waiver.id)
        self._general = list(general.values())
        self.is_general = bool(general) or self._has_statements
        self.components: Mapping[int, Hashable] = {
            component: component if self._has_statements else frozenset(ids) for component, ids in accepting.items()
        }

    def list_kinds(self, repositories: Collection[str]) -> Mapping[str, Hashable]:
        """Return what applies in each repository: its waivers, and the authors whose statements count."""
        policies = self._finder.read_policies(repositories) if self._has_statements else {}
        return {
            name: (
                tuple(
                    waiver.id
                    for waiver in self._general
                    if not waiver.repository or patterns.is_match(name, waiver.repository)
                ),
                list_vex_authors(policies[name]) if policies else (),
            )
            for name in repositories
        }
