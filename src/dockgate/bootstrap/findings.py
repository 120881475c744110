"""Findings that other scanners made, read with the ecosystems at hand."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dockgate import ecosystems, findings, sboms
from dockgate.core.errors import UncomparableError, UsageError
from dockgate.core.ports import Ecosystem
from dockgate.core.verdict import Reported
from dockgate.core.versions import Order


def read_file(path: Path, image: str = "", at: str = "") -> tuple[Reported, ...]:
    """What the document at `path` reports: see `read`."""
    try:
        with path.open("rb") as file:
            data = file.read(findings.SIZE_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Give the file that a scanner wrote.") from None
    return read(data, str(path), image, at)


def read(data: bytes, name: str, image: str = "", at: str = "") -> tuple[Reported, ...]:
    """What the document called `name` reports of one image: of `image`, a digest, if there is one.

    `at` is when it was made, for a document that does not say. Raises UsageError naming what is wrong, and what can be
    read.
    """
    kinds = ecosystems.load()
    asked = findings.Asked(image, at, partial(sboms.package, ecosystems=kinds), _Comparison(kinds))
    return findings.read(data, name, findings.load(), asked)


class _Comparison:
    """Orders versions as `ports.Matching.compare` does."""

    def __init__(self, kinds: Sequence[Ecosystem]) -> None:
        self._orders = {
            name: Order(kind.key, optional_epoch=kind.optional_epoch) for kind in kinds for name in kind.orders
        }

    def __call__(self, ecosystem: str, one: str, other: str) -> int:
        order = self._orders.get(ecosystem.partition(":")[0])
        if order is None:
            raise UncomparableError(f"No ecosystem here orders versions of {ecosystem or 'unknown packages'}.")
        first, second = order.point(one), order.point(other)
        return (first > second) - (first < second)
