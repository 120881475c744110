"""Waivers in a YAML file, for use without a server: a list, each item with the keys of a waiver."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from dockgate.gate import waivers
from dockgate.gate.model import Waiver
from dockgate.shared.errors import UsageError

if TYPE_CHECKING:
    from dockgate.shared.yaml import Document, Location

_SERVER_KEYS = ("created_at", "created_by")
KEYS = tuple(field.name for field in fields(Waiver) if field.name not in _SERVER_KEYS)


def read_waivers(text: str, name: str) -> tuple[Waiver, ...]:
    """The waivers of the file `name`. A waiver without `id` gets its line as id. Raises DefinitionError."""
    from dockgate.shared.yaml import load_document

    document = load_document(text, name)
    if document.value is None:
        return ()
    if not isinstance(document.value, list):
        raise document.make_error((), "this must be a list of waivers", "Begin each with a dash.")
    by_id: dict[str, Waiver] = {}
    for index, entry in enumerate(document.value):
        waiver = parse_waiver(document, (index,), entry)
        if waiver.id in by_id:
            raise document.make_error(
                (index, "id"), f"the id {waiver.id!r} is used twice", "Give each waiver its own id."
            )
        by_id[waiver.id] = waiver
    return tuple(by_id.values())


def parse_waiver(document: "Document", location: "Location", entry: Any) -> Waiver:
    """The waiver at `here`. Raises DefinitionError."""
    if not isinstance(entry, dict):
        raise document.make_error(location, "a waiver must be a mapping", f"Its keys: {', '.join(KEYS)}.")
    for key, value in entry.items():
        if key not in KEYS:
            raise document.make_error((*location, key), f"unknown key {key!r}", f"Allowed here: {', '.join(KEYS)}.")
        if key == "until_fixed" and not isinstance(value, bool):
            raise document.make_error((*location, key), "this must be true or false")
        if key != "until_fixed" and not isinstance(value, str):
            raise document.make_error((*location, key), "this must be a text")
    set_fields = {key: value for key, value in entry.items() if value != ""}
    waiver = Waiver(
        **{"id": f"{document.name}:{document.find_line(location)}", "owner": "", "reason": "", **set_fields}
    )
    try:
        waivers.check_waiver(waiver)
    except UsageError as error:
        key, _, reason = str(error).partition(": ")
        raise document.make_error((*location, key), reason, error.advice) from None
    return waiver
