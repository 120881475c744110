"""Findings that other scanners made, read with the ecosystems at hand."""

from functools import partial
from pathlib import Path

from dockgate.gate import external
from dockgate.gate.external._fields import timestamp
from dockgate.gate.model import ExternalReport
from dockgate.scanner import ecosystems, sboms
from dockgate.shared.digest import require_digest
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.versions import Orders


def read_file(path: Path, image: str = "", at: str = "") -> tuple[ExternalReport, ...]:
    """What the document at `path` reports: see `read`."""
    try:
        with path.open("rb") as file:
            data = file.read(external.SIZE_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Give the file that a scanner wrote.") from None
    return read(data, str(path), image, at)


def read(data: bytes, name: str, image: str = "", at: str = "") -> tuple[ExternalReport, ...]:
    """What the document called `name` reports of one image: of `image`, a digest, if there is one.

    `at` is when it was made, for a document that does not say. Raises UsageError naming what is wrong, and what can be
    read.
    """
    if image:
        require_digest(image)
    if at and not timestamp(at):
        raise UsageError(f"{at!r} is no time.", "Write it as RFC 3339 has it: 2026-11-24T12:00:00Z.")
    return external.read(data, name, external.load(), read_context(image, timestamp(at)))


def read_context(image: str, at: str = "") -> external.ReadContext:
    """What a reader knows besides the document."""
    kinds = ecosystems.load()
    return external.ReadContext(image, at, partial(sboms.package, ecosystems=kinds), Orders(kinds).compare)
