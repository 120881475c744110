"""Read findings of other scanners from documents, or ask Amazon Inspector for them, for a command."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dockgate.aws.scans import CONFIRM_SECONDS
from dockgate.delivery.ports import FindingsSource
from dockgate.gate import external
from dockgate.gate.external._fields import read_timestamp
from dockgate.gate.model import ExternalReport
from dockgate.scanner import ecosystems, sboms
from dockgate.scanner.images.reference import parse_reference
from dockgate.scanner.registry_reference import RegistryReference
from dockgate.shared.digest import require_digest
from dockgate.shared.errors import UsageError
from dockgate.shared.references import RepositoryReference
from dockgate.vulnerabilities.versions import Orders


def read_file(path: Path, image: str | None = None, at: str | None = None) -> tuple[ExternalReport, ...]:
    """Read the document at `path`: see `read`."""
    try:
        with path.open("rb") as file:
            data = file.read(external.SIZE_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "Name the file that a scanner wrote.") from None
    return read(data, str(path), image, at)


def read(data: bytes, name: str, image: str | None = None, at: str | None = None) -> tuple[ExternalReport, ...]:
    """Return what the document called `name` reports of one image: of `image`, a digest, if there is one.

    `at` is when it was made, for a document that does not say. Raises UsageError naming what is wrong, and what can be
    read.
    """
    if image:
        require_digest(image)
    if at and not read_timestamp(at):
        raise UsageError(f"{at!r} is not a time", "Write it in RFC 3339: 2026-11-24T12:00:00Z.")
    return external.read(data, name, external.load(), read_context(image or None, read_timestamp(at) or None))


def read_context(image: str | None, at: str | None = None) -> external.ReadContext:
    """Return what a reader knows besides the document."""
    kinds = ecosystems.load()
    return external.ReadContext(image, at, partial(sboms.build_package, ecosystems=kinds), Orders(kinds).compare)


def fetch_inspector_reports(
    reference: str,
    source: FindingsSource,
    read_digest: Callable[[RegistryReference], str],
    wait: Callable[[float], None] = time.sleep,
) -> tuple[str, tuple[ExternalReport, ...]]:
    """Return the digest of an image in ECR, and what Inspector, the `source`, reports of it.

    `read_digest` asks the registry for the digest of a tag. `wait` pauses for that many seconds, before Inspector is
    asked a second time: one list of findings may be partial.

    Raises UsageError for another reference, NotFoundError, DeniedError and UnavailableError.
    """
    image = parse_reference(reference)
    if isinstance(image, RegistryReference):
        repository = str(RepositoryReference(image.repository, image.registry))
    if not isinstance(image, RegistryReference) or not source.has_repository(repository):
        raise UsageError(
            f"{reference} is not an image in Amazon ECR, which Inspector scans",
            "Name one: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1.",
        )
    digest = image.digest or read_digest(image)
    answer = source.ask(repository, digest)
    if answer.is_unconfirmed:
        wait(CONFIRM_SECONDS)
        answer = source.ask(repository, digest)
    return digest, answer.reports
