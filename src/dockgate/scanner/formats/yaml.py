"""Read YAML of unknown origin, as far as lockfiles use it; every scalar is a string."""

from dataclasses import dataclass
from typing import Any

from dockgate.shared.errors import UnreadableError

DEPTH_LIMIT = 32  # nested collections; the tests' lockfiles have up to five
NODE_LIMIT = 2_000_000  # scalars and collections in one file


@dataclass(slots=True)
class _OpenCollection:
    """A collection that is being filled; `key` waits for its value, None if a key comes next."""

    collection: "dict[str, Any] | list[Any]"
    key: str | None = None


def parse_documents(content: str) -> list[Any]:
    """Parse each document into dicts, lists and strings. Raises UnreadableError.

    An alias is refused, because it may expand to any size. Built from the parser's events: the library's own
    constructors recurse for every level of nesting.
    """
    import yaml

    documents_read: list[Any] = []
    stack: list[_OpenCollection] = []
    try:
        for count, event in enumerate(yaml.parse(content, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))):
            if count > NODE_LIMIT or len(stack) > DEPTH_LIMIT:
                raise UnreadableError("its YAML has too many nodes, or is nested too deeply")
            if isinstance(event, yaml.ScalarEvent):
                _add_value(documents_read, stack, event.value)
            elif isinstance(event, yaml.CollectionStartEvent):
                collection: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
                _add_value(documents_read, stack, collection)
                stack.append(_OpenCollection(collection))
            elif isinstance(event, yaml.CollectionEndEvent):
                stack.pop()
            elif isinstance(event, yaml.AliasEvent):
                raise UnreadableError("its YAML has an alias; lockfiles have none")
    except yaml.YAMLError as error:
        raise UnreadableError(f"it is not YAML: {' '.join(str(error).split())}") from error
    return documents_read


def parse_document(content: str) -> dict[str, Any]:
    """Parse a file with exactly one document, a mapping. Raises UnreadableError."""
    parsed_documents = parse_documents(content)
    if len(parsed_documents) != 1 or not isinstance(parsed_documents[0], dict):
        raise UnreadableError("it is not a single YAML mapping")
    return parsed_documents[0]


def _add_value(roots: list[Any], stack: list[_OpenCollection], value: Any) -> None:
    if not stack:
        roots.append(value)
        return
    top = stack[-1]
    if isinstance(top.collection, list):
        top.collection.append(value)
    elif top.key is not None:
        top.collection[top.key] = value
        top.key = None
    elif isinstance(value, str):
        top.key = value
    else:
        raise UnreadableError("its YAML has a key that is not text")
