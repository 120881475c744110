"""The child process of `highlighting`.

Arguments: the name of a file, the first line to answer. Standard input: the file's text up to the last line to answer.
It writes one line of JSON: for each line its pieces, as [kind, text], or null if no lexer knows the name.
"""

import json
import resource
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from pygments.lexers import find_lexer_class, get_all_lexers
from pygments.token import Comment, Generic, Keyword, Name, Number, Operator, String

_MEMORY = 512 << 20  # bytes
# The first that has a token's type says its kind.
_KINDS = (
    (Comment.Preproc, "keyword"),
    (Comment, "comment"),
    (Keyword, "keyword"),
    (Operator.Word, "keyword"),
    (Generic.Heading, "keyword"),
    (Generic.Subheading, "keyword"),
    (String, "string"),
    (Number, "number"),
    *((kind, "name") for kind in (Name.Attribute, Name.Builtin, Name.Class, Name.Decorator, Name.Function, Name.Tag)),
)


def find_lexer(file_name: str) -> Any:
    """The lexer for files of this name, None without one.

    Never by content: guessing runs many lexers on it.
    """
    names = [
        name
        for name, _, patterns, _ in get_all_lexers(plugins=False)
        if any(_is_match(file_name, pattern) for pattern in patterns)
    ]
    classes = [find_lexer_class(name) for name in names]
    # If several languages match, the usual one: Perl before Prolog, SQL before SQL with templates.
    lexer_class = min(classes, key=lambda lexer: (-lexer.priority, len(lexer.name)), default=None)
    return lexer_class and lexer_class()


def split_tokens(tokens: Iterable[tuple[Any, str]]) -> list[list[tuple[str, str]]]:
    """The pieces of each line: their kind, "text" for what has no colour, and their text."""
    lines: list[list[tuple[str, str]]] = [[]]
    kinds: dict[Any, str] = {}
    for token_type, value in tokens:
        if token_type not in kinds:
            kinds[token_type] = next((kind for parent, kind in _KINDS if token_type in parent), "text")
        kind = kinds[token_type]
        for number, text in enumerate(value.split("\n")):
            if number:
                lines.append([])
            line = lines[-1]
            if line and line[-1][0] == kind:
                line[-1] = (kind, line[-1][1] + text)
            elif text:
                line.append((kind, text))
    return lines


def _is_match(file_name: str, pattern: str) -> bool:
    """Return what `fnmatchcase` does, without compiling a pattern that is a name, or a star and an ending."""
    if not any(char in pattern[1:] for char in "*?["):
        return file_name.endswith(pattern[1:]) if pattern[0] == "*" else file_name == pattern
    return fnmatchcase(file_name, pattern)


def _iterate_tokens(lexer: Any, text: str) -> Iterator[tuple[Any, str]]:
    """The tokens of the text as it is: `get_tokens` would change blank lines and its end."""
    return ((token_type, value) for _, token_type, value in lexer.get_tokens_unprocessed(text))


def main() -> None:
    """Highlight the text at standard input."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    file_name, first = sys.argv[1], int(sys.argv[2])
    text = sys.stdin.buffer.read().decode()
    lexer = find_lexer(file_name)
    sys.stdout.write(json.dumps(lexer and split_tokens(_iterate_tokens(lexer, text))[first - 1 :]))


if __name__ == "__main__":
    main()
