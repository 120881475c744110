"""The pipelines that asked for a verdict on images, as far as a caller may see them. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence

from dockgate.identity.model import Caller
from dockgate.services.exposure.answer import ExposedPipeline
from dockgate.store.exposure.records import MatchingImage


def select_visible_pipelines(images: Mapping[int, MatchingImage], caller: Caller | None) -> dict[int, list[str]]:
    """Return the pipelines that asked for a verdict on each image, of those that the caller may see."""
    return {
        number: sorted(name for name in image.pipelines if caller is None or caller.can_reach(pipeline=name))
        for number, image in images.items()
        if image.pipelines
    }


def count_pipelines(by_image: Mapping[int, Sequence[str]]) -> list[ExposedPipeline]:
    """Count the images of each pipeline, sorted by its name."""
    counts = Counter(name for names in by_image.values() for name in names)
    return [ExposedPipeline(name, count) for name, count in sorted(counts.items())]
