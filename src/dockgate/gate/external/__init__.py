"""Findings of other scanners. Each module is a format, with one object named `FORMAT` (`Format`).

Documents are untrusted: no size, type or completeness is assumed. What a document does not report stays unknown: rules
that need it are undetermined (`ExternalReport.missing_fields`, `FIX_UNKNOWN`). Findings that the other scanner was
configured to ignore count all the same: only our policies, waivers and trusted VEX documents accept findings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from dockgate.gate.model import ExternalReport
from dockgate.gate.rule import refuse_comparison
from dockgate.scanner.model import Distribution, Package
from dockgate.shared import plugins
from dockgate.shared.errors import UsageError
from dockgate.shared.strict_json import parse_json

SIZE_LIMIT = 64 * 1024 * 1024  # bytes of a document


class PackageFactory(Protocol):
    """A factory of packages from package URLs."""

    def __call__(
        self,
        purl: str,
        version: str,
        distribution: Distribution | None,
        source: tuple[str, str | None] | None = None,
    ) -> Package | None:
        """The package of a package URL, None if no ecosystem has its type.

        `version` and `distribution` apply where the URL has none; `source` is (name, version) of the source package.
        It is None if unknown, and so is its version.
        """
        ...


def make_no_package(
    purl: str, version: str, distribution: Distribution | None, source: tuple[str, str | None] | None = None
) -> Package | None:
    """A `PackageFactory` without ecosystems."""
    return None


@dataclass(frozen=True, slots=True)
class ReadContext:
    """The context of a document that a reader gets.

    `image` is the expected digest, None to take it from the document. `at` is the time of a document that has none (RFC
    3339). `package` makes packages, `compare` orders versions (`Matcher.compare`).
    """

    image: str | None = None
    at: str | None = None
    package: PackageFactory = make_no_package
    compare: Callable[[str, str, str], int] = refuse_comparison


class Format(Protocol):
    """A format of findings. Pure.

    `name`: such as "trivy". `title`: for people. `version`: raise it whenever the same document would be read
    differently.
    """

    name: str
    title: str
    version: int

    def can_read(self, document: Any) -> bool:
        """Return whether this parsed JSON is of the format. At most one format says yes; never raises."""
        ...

    def read(self, document: Any, context: ReadContext) -> tuple[ExternalReport, ...]:
        """The reports, one for each image and platform; only those of `context.image` if it is set.

        Raises UsageError, which names the location, for a document that cannot be understood or names no image.
        """
        ...


def load(package: str = __name__) -> tuple[Format, ...]:
    """All formats of `package`, by module name.

    Raises DockgateError, which names the module that fails to load.
    """
    return tuple(plugins.load(package, "FORMAT", "format of findings", "read"))


def read(data: bytes, name: str, formats: Sequence[Format], context: ReadContext) -> tuple[ExternalReport, ...]:
    """The reports of the document `name`. Raises UsageError; its message starts with the name."""
    document = _parse(data, name)
    matching = [candidate for candidate in formats if candidate.can_read(document)]
    if len(matching) != 1:
        titles = ", ".join(candidate.title for candidate in formats)
        raise UsageError(f"{name} is not a supported findings document", f"Supported: {titles}.")
    try:
        reports = matching[0].read(document, context)
    except UsageError as error:
        advice = error.advice or f"The file was read as {matching[0].title}. Write it again with the scanner."
        raise UsageError(f"{name}: {error}", advice) from None
    if context.image:
        reports = tuple(report for report in reports if report.inventory.image_digest == context.image)
    images = sorted({report.inventory.image_digest for report in reports})
    if not images:
        raise UsageError(f"{name} is not a report on {context.image or 'an image'}", "Check which image was scanned.")
    if len(images) > 1:
        raise UsageError(f"{name} reports several images", f"Select one by its digest: {', '.join(images[:5])}.")
    return tuple(replace(report, at=report.at or context.at) for report in reports)


def _parse(data: bytes, name: str) -> Any:
    if len(data) > SIZE_LIMIT:
        raise UsageError(f"{name} has more than {SIZE_LIMIT:,} bytes, the limit for a report", "Report fewer details.")
    try:
        return parse_json(data.decode("utf-8-sig"))
    except RecursionError:
        raise UsageError(f"{name} is nested too deeply", "Check that a scanner wrote it.") from None
    except ValueError as error:
        raise UsageError(f"{name} is not JSON: {error}", "Set the scanner's output format to JSON.") from None
