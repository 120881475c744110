"""Read XML of unknown origin as a flat list of elements."""

from collections.abc import Mapping
from dataclasses import dataclass

from dockgate.shared.errors import UnreadableError

DEPTH_LIMIT = 3  # depth of elements that are returned; deeper ones are only checked for being XML


@dataclass(frozen=True, slots=True)
class Element:
    """An element: names from the root ("project/parent/version"), attributes, its own text."""

    path: str
    attributes: Mapping[str, str]
    text: str


def parse_elements(raw: bytes) -> list[Element]:
    """Return the elements in the order of their ends, down to DEPTH_LIMIT. Raises UnreadableError.

    A document type is refused, and with it all entities except those of XML itself.
    """
    from xml.parsers.expat import ExpatError, ParserCreate

    finished_elements: list[Element] = []
    names: list[str] = []
    open_elements: list[tuple[Mapping[str, str], list[str]]] = []
    depth = 0

    def refuse(*_: object) -> None:
        raise UnreadableError("its XML declares a document type")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth <= DEPTH_LIMIT:
            names.append(name)
            open_elements.append((attributes, []))

    def end(_: str) -> None:
        nonlocal depth
        if depth <= DEPTH_LIMIT:
            attributes, texts = open_elements.pop()
            finished_elements.append(Element("/".join(names), attributes, "".join(texts).strip()))
            names.pop()
        depth -= 1

    def add_text(text: str) -> None:
        if 0 < depth <= DEPTH_LIMIT:
            open_elements[-1][1].append(text)

    parser = ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = add_text
    try:
        parser.Parse(raw, True)
    except (ExpatError, ValueError, LookupError) as error:
        raise UnreadableError(f"it is not XML: {error}") from error
    return finished_elements
