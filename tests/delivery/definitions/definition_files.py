"""Definitions from YAML text."""

from dockgate.delivery.definitions.documents import Definition, parse_definition
from dockgate.shared.yaml import load_document


def read_definition(text: str, name: str) -> Definition:
    """The definition that a text holds; errors call the file `name`."""
    return parse_definition(load_document(text, name))
