"""What Dockgate, Syft and Trivy find in the same images, compared package by package.

    python bench/accuracy.py [--write]

Every difference must have an explanation in `accuracy.yaml`, and every explanation a difference, or the run fails.
`--write` renews docs/explanation/accuracy.md from the comparison and the explanations.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import yaml

import _images
import _inventories
import _peers
from _inventories import Inventory, Package

EXPLANATIONS = _images.HERE / "accuracy.yaml"
PAGE = _images.HERE.parent / "docs" / "explanation" / "accuracy.md"
PEERS = {"Syft": _inventories.list_syft_packages, "Trivy": _inventories.list_trivy_packages}
PROGRAMS = ("Dockgate", *PEERS)
# Packages named for each group of differences.
EXAMPLES = 4
# By package URL type, what the page names of an image.
MADE_OF = {
    "deb": ("base-files", "python3", "nodejs"),
    "pypi": tuple(requirement.partition("==")[0] for requirement in _images.PYTHON),
    "npm": tuple(requirement.rpartition("@")[0] for requirement in _images.NODE),
    "maven": ("org.apache.spark/spark-core_2.13",),
    "golang": ("github.com/anchore/syft", "github.com/aquasecurity/trivy"),
    "cargo": ("uv",),
}
HEAD = """# Accuracy

<!-- Made by `python bench/accuracy.py --write`; bench/accuracy.yaml has the explanations. -->

Does a scan find what other scanners find? This page compares the packages that Dockgate, {peers} list in
the same three images: by type, name and version, and for packages of a distribution also by architecture, source
package and source version, because advisories use those. Each difference is explained; an unexplained one fails the
comparison. Repeat it with `sh scripts/bench bench/accuracy.py`.

All run without a network. Trivy gets an empty Java database instead of the full one, which it would have to download:
it opens every jar and reports its content, but cannot look up jars without metadata.
"""

Patterns = Sequence[str]


@dataclass(frozen=True)
class Difference:
    """A package that one side has and the other has not: `side` is "ours" or "peer", `peer` the program beside us.

    `paths` are where it was found, by the side that has it; `owned` as in `Seen`.
    """

    peer: str
    side: str
    package: Package
    paths: frozenset[str]
    owned: bool


@dataclass
class Explanation:
    """Why programs differ: `what` and `why` are shown on the page. The other fields select differences: patterns as in
    file names, one of each list must match, of `path` one for every path; `owned`: a distribution owns what was found.
    """

    what: str
    why: str
    type: Patterns
    peer: Patterns = ("*",)
    side: Patterns = ("*",)
    name: Patterns = ("*",)
    path: Patterns = ("*",)
    owned: bool = False

    def is_matching(self, difference: Difference) -> bool:
        return (
            _is_matching(difference.package.type, self.type)
            and _is_matching(difference.peer, self.peer)
            and _is_matching(difference.side, self.side)
            and _is_matching(difference.package.name, self.name)
            and all(_is_matching(path, self.path) for path in difference.paths)
            and (difference.owned or not self.owned)
        )


@dataclass
class Comparison:
    """`inventories` are by image and program; `explained` has for each explanation its packages by side and peer;
    `open` are the differences that have none, each with its image."""

    inventories: dict[str, dict[str, Inventory]]
    explained: list[dict[tuple[str, str], set[Package]]]
    open: list[tuple[str, Difference]]


def main(write: bool) -> int:
    explanations = read(yaml.safe_load(EXPLANATIONS.read_text("utf-8")))
    inventories: dict[str, dict[str, Inventory]] = {}
    for name, image in _images.make_layouts().items():
        inventories[name] = {"Dockgate": _inventories.list_dockgate_packages(image)} | {
            peer: run(image) for peer, run in PEERS.items()
        }
    comparison = compare(inventories, explanations)
    for name, difference in comparison.open:
        print(
            f"{name}: {_describe_side(difference.side, difference.peer)}: {difference.package}",
            *sorted(difference.paths),
        )
    idle = [
        explanation.what
        for explanation, differences in zip(explanations, comparison.explained, strict=True)
        if not differences
    ]
    for what in idle:
        print(f"explains nothing: {what}")
    explained = sum(len(packages) for differences in comparison.explained for packages in differences.values())
    print(f"{explained} differences explained, {len(comparison.open)} not")
    if comparison.open or idle:
        return 1
    if write:
        PAGE.write_text(render_page(comparison, explanations), "utf-8")
    return 0


def read(document: list[dict[str, Any]]) -> list[Explanation]:
    """The explanations; for a list of one pattern the pattern alone will do."""
    patterns = ("type", "peer", "side", "name", "path")
    for entry in document:
        entry.update({key: [entry[key]] for key in patterns if isinstance(entry.get(key), str)})
    return [Explanation(**entry) for entry in document]


def compare(inventories: dict[str, dict[str, Inventory]], explanations: list[Explanation]) -> Comparison:
    comparison = Comparison(inventories, [defaultdict(set) for _ in explanations], [])
    for image, programs in inventories.items():
        for difference in list_differences(programs):
            index = next(
                (at for at, explanation in enumerate(explanations) if explanation.is_matching(difference)), None
            )
            if index is None:
                comparison.open.append((image, difference))
            else:
                comparison.explained[index][difference.side, difference.peer].add(difference.package)
    return comparison


def list_differences(programs: dict[str, Inventory]) -> Iterable[Difference]:
    dockgate_packages = programs["Dockgate"]
    for peer in PEERS:
        peer_packages = programs[peer]
        for side, has, lacks in (
            ("ours", dockgate_packages, peer_packages),
            ("peer", peer_packages, dockgate_packages),
        ):
            for package in sorted(has.keys() - lacks.keys()):
                sides = has[package]
                yield Difference(peer, side, package, frozenset(sides.paths), sides.owned)


def render_page(comparison: Comparison, explanations: list[Explanation]) -> str:
    peers = " and ".join(f"{name} {version}" for name, version in sorted(_peers.read_versions().items()))
    lines = [HEAD.format(peers=peers), "## Images", "", "They are made of, among others:", ""]
    lower, lower_inventory = "", Inventory()
    for image, programs in comparison.inventories.items():
        lines.append(f"- **{image}**: {list_contents(programs['Dockgate'], lower, lower_inventory)}")
        lower, lower_inventory = image, programs["Dockgate"]
    lines += ["", "## Packages found", "", f"| image | type | {' | '.join(PROGRAMS)} | by all three |"]
    lines.append("|---" * (len(PROGRAMS) + 3) + "|")
    for image, programs in comparison.inventories.items():
        counts = [Counter(package.type for package in programs[program]) for program in PROGRAMS]
        counts.append(
            Counter(
                package.type for package in programs["Dockgate"] if all(package in programs[peer] for peer in PEERS)
            )
        )
        for kind in sorted(set().union(*counts)):
            lines.append(f"| {image} | {kind} | {' | '.join(str(count[kind]) for count in counts)} |")
    lines += ["", "## Differences", "", "A package that differs in several images counts once."]
    for explanation, packages in zip(explanations, comparison.explained, strict=True):
        lines += [
            "",
            f"### {', '.join(explanation.type)}: {explanation.what}",
            "",
            " ".join(explanation.why.split()),
            "",
            *group_packages(packages),
        ]
    return "\n".join(lines) + "\n"


def list_contents(inventory: Inventory, lower: str, lower_inventory: Inventory) -> str:
    """What the image was made of, in the versions that were found; of one that holds all of the image `lower`, in
    which `lower_inventory` was found, what it has more."""
    contains_lower = bool(lower) and lower_inventory.keys() <= inventory.keys()
    parts = [f"all of {lower}"] if contains_lower else []
    for kind, names in MADE_OF.items():
        for name in names:
            # Not Debian's copies of the application's packages, nor those that others of its packages bring along.
            packages_of_name = (
                package for package in inventory if (package.type, package.name.partition(":")[0]) == (kind, name)
            )
            own_packages = (package for package in packages_of_name if not inventory[package].owned)
            shortest = min(own_packages, key=lambda package: min(map(len, inventory[package].paths)), default=None)
            if shortest and not (contains_lower and shortest in lower_inventory):
                parts.append(f"{name.rpartition('/')[2]} {shortest.version}")
    return ", ".join(parts)


def group_packages(packages_by_side: dict[tuple[str, str], set[Package]]) -> Iterable[str]:
    for (side, peer), packages in sorted(packages_by_side.items()):
        # Spread over the whole, since neighbours look alike.
        several = sorted(packages)[:: max(1, len(packages) // EXAMPLES)][:EXAMPLES]
        names = ", ".join(
            f"`{package.name} {package.version}`" if package.version else f"`{package.name}`" for package in several
        )
        examples = "such as " if len(packages) > EXAMPLES else ""
        yield f"- {_describe_side(side, peer)}: {len(packages)}, {examples}{names}"


def _describe_side(side: str, peer: str) -> str:
    return f"Dockgate lists, {peer} does not" if side == "ours" else f"{peer} lists, Dockgate does not"


def _is_matching(value: str, patterns: Patterns) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns)


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
