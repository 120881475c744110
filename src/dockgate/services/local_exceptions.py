"""Exceptions at a terminal: waivers and VEX documents in files."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from dockgate.gate import vex_statements, waivers
from dockgate.gate.definitions import waivers as documents
from dockgate.gate.model import Waivers
from dockgate.scanner.model import Inventory
from dockgate.shared.errors import UsageError


def read(waiver_files: Sequence[Path], vex_files: Sequence[Path]) -> Waivers:
    """Return the waivers in YAML files, and the statements in VEX documents.

    The user who names a document vouches for it. Raises DefinitionError and UsageError naming file and place.
    """
    accepted = tuple(waiver for file in waiver_files for waiver in documents.read_waivers(_text(file), str(file)))
    if not vex_files:
        return Waivers(accepted)
    from getpass import getuser

    from dockgate.gate import vex_formats

    signer = f"{vex_statements.PRINCIPAL}{getuser()}"
    statements = (
        statement
        for file in vex_files
        for statement in vex_formats.read(_bytes(file, vex_formats.SIZE_LIMIT), str(file))
    )
    return Waivers(accepted, tuple(replace(statement, signer=signer) for statement in statements))


def narrow(accepted: Waivers, reference: str, digest: str, inventories: Iterable[Inventory], now: str) -> Waivers:
    """Return the exceptions that may apply to this image."""
    listed = tuple(inventories)
    images = list(dict.fromkeys((digest, *(inventory.image for inventory in listed))))
    return Waivers(
        waivers.select_waivers(accepted.waivers, _repository(reference), images, now),
        vex_statements.select_statements(accepted.statements, images, listed),
    )


def _repository(reference: str) -> str:
    """The repository in its registry, as waivers name it; the reference itself for what lies elsewhere."""
    from dockgate.scanner.images.reference import RegistryReference, parse

    try:
        named = parse(reference)
    except UsageError:
        return reference
    return named.repository if isinstance(named, RegistryReference) else reference


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: {error}.", "Save it as UTF-8.") from error


def _bytes(file: Path, limit: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(limit + 1)
