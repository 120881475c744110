"""Run one case: both runtimes unpack it, Dockgate reads it, and the results are compared."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.fuzz.layers import compare, dockgate_reading, evidence, generate, images
from tests.fuzz.layers.compare import Difference
from tests.fuzz.layers.dockgate_reading import ImageReading, LayerReading
from tests.fuzz.layers.generate import Case
from tests.fuzz.layers.recipe import make_layer_bytes
from tests.fuzz.layers.runtimes import IMAGE, KEPT_IMAGE, Runtimes, Tree

BASES = {name: make_layer_bytes(layer) for name, layer in evidence.BASES.items()}
HONEST = "The layer cannot be read"
# One of this many unread cases is unpacked nevertheless.
_SAMPLE = 16


@dataclass(slots=True)
class Played:
    case: Case
    reading: ImageReading
    trees: list[Tree]
    differences: list[Difference]
    extras: int = 0

    @property
    def list_unexplained(self) -> set[str]:
        """Return the classes of differences without explanation."""
        return {difference.kind for difference in self.differences} - compare.read_explanations().keys()


@dataclass(slots=True)
class Tally:
    """Counts of cases: `unpacked` by the runtimes, `read` completely, `bare` of oddities."""

    cases: int = 0
    layers: int = 0
    read: int = 0
    unpacked: int = 0
    bare: int = 0
    bare_read: int = 0
    extras: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)
    odd_read: Counter[str] = field(default_factory=Counter)

    def add(self, result: Played) -> None:
        layers = result.case["layers"]
        odd = {name for layer in layers for name in layer.get("odd", ())}
        is_read = not result.reading.unread
        self.cases += 1
        self.layers += len(layers)
        self.read += is_read
        self.unpacked += bool(result.trees)
        if not odd and "image" not in result.case:
            self.bare += 1
            self.bare_read += is_read
        self.extras += result.extras
        self.odd.update(odd)
        if is_read:
            self.odd_read.update(odd)
        for tree in result.trees:
            (self.refused if tree.failure else self.taken)[tree.runtime] += 1
        self.classes.update({difference.kind for difference in result.differences})

    def merge(self, tally: "Tally") -> None:
        for name in self.__slots__:
            own_counts, other_counts = getattr(self, name), getattr(tally, name)
            setattr(self, name, own_counts + other_counts)


_READ = {name: dockgate_reading.read_blob(blob) for name, blob in BASES.items()}


def read(case: Case, *, fully: bool = True) -> tuple[Sequence[LayerReading], ImageReading]:
    """Read a case: its layers, base first, and the image.

    Unless `fully`, an image with an unreadable layer is not combined, because it is unread in any case.
    """
    if "image" in case:
        return dockgate_reading.read_whole(*images.make_blobs(case))
    layers = [_READ[case["base"]], *(dockgate_reading.read_blob(make_layer_bytes(layer)) for layer in case["layers"])]
    reasons = [entry.reason for layer in layers for entry in layer.facts.unread if entry.reason.startswith(HONEST)]
    if reasons and not fully:
        return layers, ImageReading(frozenset(f"/: {reason}" for reason in reasons))
    return layers, dockgate_reading.combine_layers(layers)


def compare_case(case: Case, layers: Sequence[LayerReading], reading: ImageReading, trees: list[Tree]) -> Played:
    """Compare a case with the runtimes' trees. A layer without oddities must be readable."""
    differ = list(compare.list_differences(layers, reading, trees, dockgate_reading.read_packages))
    if "image" not in case:
        for recipe, layer in zip(case["layers"], layers[1:], strict=True):
            if not recipe.get("odd"):
                honest_unread = (entry for entry in layer.facts.unread if HONEST in entry.reason)
                differ += [Difference("honest", "", entry.path, entry.reason) for entry in honest_unread]
    return Played(case, reading, trees, differ, compare.count_extras(reading, trees))


class Player:
    """Runs cases against a running program with the runtimes."""

    def __init__(self, runtimes: Runtimes) -> None:
        self._runtimes = runtimes
        self._has_bases = False

    def play(self, case: Case, mode: str) -> Played:
        self._ask(case, mode)
        return compare_case(case, *read(case), self._runtimes.answer())

    def play_all(self, cases: Iterable[Case], mode: str) -> Iterator[Played]:
        """Yield each case, the runtimes one case behind; they unpack only a sample of the unread ones."""
        waiting: tuple[Case, Sequence[LayerReading], ImageReading] | None = None
        for at, case in enumerate(cases):
            layers, reading = read(case, fully=False)
            if reading.unread and at % _SAMPLE:
                yield compare_case(case, layers, reading, [])
                continue
            self._ask(case, mode)
            if waiting:
                yield compare_case(*waiting, self._runtimes.answer())
            waiting = case, layers, reading
        if waiting:
            yield compare_case(*waiting, self._runtimes.answer())

    def _ask(self, case: Case, mode: str) -> None:
        if mode == IMAGE:
            if not self._has_bases:  # what both runtimes have already when an image comes
                for base in BASES:
                    self._runtimes(KEPT_IMAGE, images.make_blobs({"base": base, "layers": []})[0])
                self._has_bases = True
            self._runtimes.ask(IMAGE, images.make_blobs(case)[0])
        else:
            self._runtimes.ask(mode, [BASES[case["base"]], *(make_layer_bytes(layer) for layer in case["layers"])])


def make(seed: int, mode: str) -> Case:
    """Generate the case of a seed."""
    return images.generate_case(seed) if mode == IMAGE else generate.generate_case(seed)
