"""Findings that other scanners made, read as ours. A module of this package is a format: it holds one object named
`FORMAT` (`Format`).

Whoever writes such a document decides what it says, so nothing in it is believed to be small, whole or of the right
type. What it leaves open stays open: a rule that looks at what the document does not tell is undetermined
(`verdict.ExternalReport.missing_fields`, `model.FIX_NOT_TOLD`). What another scanner was told to ignore is counted all
the same: whom to excuse is for our policies, waivers and trusted VEX documents alone to say.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from dockgate.gate.model import ExternalReport
from dockgate.gate.rule import uncomparable
from dockgate.scanner.model import Distribution, Package
from dockgate.shared import plugins
from dockgate.shared.errors import UsageError

SIZE_LIMIT = 64 * 1024 * 1024
"""bytes of a document"""


class Packages(Protocol):
    """Makes packages of package URLs."""

    def __call__(
        self, purl: str, version: str, distribution: Distribution | None, source: tuple[str, str] = ("", "")
    ) -> Package | None:
        """The package, with this version where the purl has none, of the distribution where the purl names none, built
        from this `source` (name, version; "" where it is not told). None for what no ecosystem knows."""
        ...


def unsettled(
    purl: str, version: str, distribution: Distribution | None, source: tuple[str, str] = ("", "")
) -> Package | None:
    """`Asked.package` where no ecosystem is at hand."""
    return None


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reader knows besides the document.

    `image` is the digest that is asked about ("" when the document is to say), `at` when the document was made, for
    those that do not say (RFC 3339, ""). `package` makes packages, `compare` orders versions
    (`PackageMatcher.compare`).
    """

    image: str = ""
    at: str = ""
    package: Packages = unsettled
    compare: Callable[[str, str, str], int] = uncomparable


class Format(Protocol):
    """A format of findings: one module in `findings/` with one object named `FORMAT`. Pure."""

    name: str
    """"trivy"""
    title: str
    """as people know it"""
    version: int
    """raised whenever the same document would be read otherwise"""

    def recognises(self, document: Any) -> bool:
        """Whether this parsed JSON is of the format. At most one format says yes; never raises."""
        ...

    def read(self, document: Any, asked: Asked) -> tuple[ExternalReport, ...]:
        """What it reports, one for each image and platform, of the image that is asked about alone if there is one.

        Raises UsageError naming the place for what cannot be understood, and where it is not said of which image the
        document speaks."""
        ...


def load(package: str = __name__) -> tuple[Format, ...]:
    """Every format of `package`, by module name. Raises DockgateError naming the one that is broken."""
    return tuple(plugins.load(package, "FORMAT", "format of findings", "read"))


def read(data: bytes, name: str, formats: Sequence[Format], asked: Asked) -> tuple[ExternalReport, ...]:
    """What the document called `name` reports. Raises UsageError whose message begins with the name."""
    document = _parsed(data, name)
    known = ", ".join(one.title for one in formats)
    found = [one for one in formats if one.recognises(document)]
    if len(found) != 1:
        raise UsageError(f"{name} holds no findings in a known format.", f"Known are: {known}.")
    try:
        reports = found[0].read(document, asked)
    except UsageError as error:
        raise UsageError(f"{name}: {error}", error.advice) from None
    if asked.image:
        reports = tuple(one for one in reports if one.inventory.image == asked.image)
    images = sorted({one.inventory.image for one in reports})
    if not images:
        raise UsageError(f"{name} reports nothing of {asked.image or 'any image'}.", "Is it of another image?")
    if len(images) > 1:
        raise UsageError(f"{name} reports of several images.", f"Say of which, by its digest: {', '.join(images[:5])}.")
    return tuple(replace(one, at=one.at or asked.at) for one in reports)


def _parsed(data: bytes, name: str) -> Any:
    if len(data) > SIZE_LIMIT:
        raise UsageError(f"{name} has more than {SIZE_LIMIT} bytes, which is too much for a document of findings.")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise UsageError(f"{name} is nested too deeply.") from None
    except ValueError as error:
        raise UsageError(f"{name} is no JSON: {error}.", "Have the scanner write JSON.") from None
