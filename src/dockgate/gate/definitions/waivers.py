"""Waivers in a YAML file: a list, each item with the keys of a waiver. For a terminal, without a server."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from dockgate.gate import waivers
from dockgate.gate.model import Waiver
from dockgate.shared.errors import UsageError

if TYPE_CHECKING:
    from dockgate.shared.yaml import Document, Location

_NOT_GIVEN = ("created_at", "created_by")
KEYS = tuple(field.name for field in fields(Waiver) if field.name not in _NOT_GIVEN)


def read(text: str, name: str) -> tuple[Waiver, ...]:
    """The waivers of a file called `name`. One without an `id` is called after its line. DefinitionError."""
    from dockgate.shared.yaml import load

    document = load(text, name)
    if document.value is None:
        return ()
    if not isinstance(document.value, list):
        raise document.error((), "this is no list of waivers", "Begin each with a dash.")
    found: dict[str, Waiver] = {}
    for number, given in enumerate(document.value):
        waiver = of(document, (number,), given)
        if waiver.id in found:
            raise document.error((number, "id"), f"a second waiver {waiver.id!r}", "Give each its own id.")
        found[waiver.id] = waiver
    return tuple(found.values())


def of(document: "Document", here: "Location", given: Any) -> Waiver:
    """The waiver that stands at `here`. DefinitionError."""
    if not isinstance(given, dict):
        raise document.error(here, "a waiver is a mapping", f"Its keys: {', '.join(KEYS)}.")
    for key, value in given.items():
        if key not in KEYS:
            raise document.error((*here, key), f"unknown key {key!r}", f"Allowed here: {', '.join(KEYS)}.")
        if key == "until_fixed" and not isinstance(value, bool):
            raise document.error((*here, key), "this is neither true nor false")
        if key != "until_fixed" and not isinstance(value, str):
            raise document.error((*here, key), "this is no text")
    waiver = Waiver(**{"id": f"{document.name}:{document.line(here)}", "owner": "", "reason": "", **given})
    try:
        waivers.check(waiver)
    except UsageError as error:
        key, _, reason = str(error).partition(": ")
        raise document.error((*here, key), reason, error.advice) from None
    return waiver
