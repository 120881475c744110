"""What is accepted at a terminal: waivers and VEX documents out of files."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from dockgate.gate import vex_statements, waivers
from dockgate.gate.definitions import waivers as documents
from dockgate.gate.model import Waivers
from dockgate.scanner.model import Inventory
from dockgate.shared.errors import UsageError


def read(waiver_files: Sequence[Path], vex_files: Sequence[Path]) -> Waivers:
    """What these files accept: waivers as YAML, and VEX documents, vouched for by whoever names them here.

    Raises DefinitionError and UsageError naming file and place."""
    given = tuple(one for file in waiver_files for one in documents.read_waivers(_text(file), str(file)))
    if not vex_files:
        return Waivers(given)
    from getpass import getuser

    from dockgate.gate import vex_formats

    signer = f"{vex_statements.PRINCIPAL}{getuser()}"
    said = (one for file in vex_files for one in vex_formats.read(_bytes(file, vex_formats.SIZE_LIMIT), str(file)))
    return Waivers(given, tuple(replace(one, signer=signer) for one in said))


def narrow(accepted: Waivers, reference: str, digest: str, inventories: Iterable[Inventory], now: str) -> Waivers:
    """What of it may speak of this image."""
    held = tuple(inventories)
    images = list(dict.fromkeys((digest, *(one.image for one in held))))
    return Waivers(
        waivers.select_waivers(accepted.waivers, _repository(reference), images, now),
        vex_statements.select_statements(accepted.statements, images, held),
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
