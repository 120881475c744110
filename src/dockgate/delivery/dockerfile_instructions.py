"""The instructions of a Dockerfile, as podman's parser separates them.

Lines that parsers separate in different ways are refused with BuildError.
"""

import re
from collections.abc import Iterator, Sequence

from dockgate.shared.errors import BuildError

# A word that begins a here-document, as podman's parser has it.
_HEREDOC = re.compile(r"[0-9]*<<(-?)([^<]*)")
_HEREDOC_NAME = re.compile(r"([\"']?)([A-Za-z0-9_.]+)\1")
# What may begin a here-document, and a variable that parsers may replace before they look for one.
_MAYBE_HEREDOC = re.compile(r"(?:^|\s)\d*<<")
_ODD_VARIABLE = re.compile(r"\$\{(?!\w+\})")
# What separates words.
BLANKS = " \t"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
_DIRECTIVE = re.compile(r"#[ \t]*escape[ \t]*=(.*)", re.IGNORECASE)


def read_instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction's name in upper case, and the rest of it.

    Continued lines are joined, here-documents left out.
    """
    text = text.removeprefix("\ufeff")
    if control := _CONTROL.search(text):
        number = text.count("\n", 0, control.start()) + 1
        raise BuildError(
            f"line {number} of the Dockerfile has the control character U+{ord(control[0]):04X}", "Remove it."
        )
    every_line = text.replace("\r\n", "\n").split("\n")
    escape = _escape(every_line)
    lines = iter(every_line)
    for line in lines:
        parts = [_trim_line(line, escape)]
        if not parts[0] or parts[0].startswith("#"):
            continue
        while parts[-1].endswith(escape):
            parts[-1] = parts[-1][:-1]
            for next_line in lines:
                part = _trim_line(next_line, escape)
                if part and not part.startswith("#"):
                    # As podman joins them: `FR\` and `OM a` are `FROM a`.
                    indent = next_line[: len(next_line) - len(next_line.lstrip(BLANKS))]
                    parts.append(indent + part)
                    break
            else:
                break
        name, _, operands = "".join(parts).strip(BLANKS).replace("\t", " ").partition(" ")
        name = name.upper()
        if name == "ONBUILD":
            if "<<" in operands:
                raise BuildError(
                    "an ONBUILD instruction of the Dockerfile has a here-document", "Write it on one line."
                )
            continue
        if name in ("RUN", "COPY", "ADD"):
            for is_indented, word in _find_heredocs(operands, escape):
                for inner in lines:
                    if (inner.lstrip("\t") if is_indented else inner) == word:
                        break
        yield name, operands.strip(BLANKS)


def _trim_line(line: str, escape: str) -> str:
    """A line without the blanks around it.

    Raises BuildError where parsers differ in what a blank is, or whether the line is continued.
    """
    content = line.strip(BLANKS)
    if content[:1].isspace():
        raise BuildError(
            f"a line of the Dockerfile begins with the blank U+{ord(content[0]):04X}: {content[1:80]!r}",
            "Begin it with spaces or tabs.",
        )
    if content.endswith(escape * 2) and not content.startswith("#"):
        raise BuildError(
            f"a line of the Dockerfile ends with {escape * 2}, which may be read in two ways: {content[-80:]!r}",
            "End it with one, or with another character.",
        )
    return content


def _escape(lines: Sequence[str]) -> str:
    """The escape character.

    Parsers differ in which comments they accept before the directive, and what after it.
    """
    escape = "\\"
    for number, line in enumerate(lines, 1):
        comment = line.strip()
        if comment and not comment.startswith("#"):
            break
        if directive := _DIRECTIVE.fullmatch(comment):
            character = directive[1].strip()
            if number > 1 or not line.startswith("#") or character not in ("\\", "`"):
                raise BuildError(
                    f"line {number} of the Dockerfile, {line[:80]!r}, may be read in two ways",
                    "Write `# escape=` and a backtick or a backslash in the first line.",
                )
            escape = character
    return escape


def _find_heredocs(operands: str, escape: str) -> Iterator[tuple[bool, str]]:
    """Yield the here-documents that an instruction begins.

    Each is whether its lines may be indented, and the line that ends it.
    """
    if not _MAYBE_HEREDOC.search(operands):
        return
    is_odd = _ODD_VARIABLE.search(operands) or any(letter.isspace() and letter not in BLANKS for letter in operands)
    if is_odd or (escape == "`" and ("`" in operands or "\\" in operands)):
        raise BuildError(
            f"the Dockerfile has a here-document that may be read in two ways: {operands[:80]!r}",
            "Write variables on that line as $NAME or ${NAME}, blanks as spaces, and no escapes.",
        )
    for word in split_words(operands, escape):
        if (heredoc := _HEREDOC.fullmatch(word)) and heredoc[2]:
            name = _HEREDOC_NAME.fullmatch(heredoc[2])
            if name is None:
                raise BuildError(
                    f"the here-document {word} of the Dockerfile has no plain name", "Use letters alone, as in <<EOF."
                )
            yield bool(heredoc[1]), name[2]


def split_words(operands: str, escape: str = "\\") -> list[str]:
    """Words with their quotes. Blanks in quotes and behind an escape character belong to a word.

    Raises BuildError where quotes are not closed, for then it is unclear where a word ends.
    """
    words: list[str] = []
    word, quote = "", ""
    letters = iter(operands)
    for letter in letters:
        if letter == escape and quote != "'":
            word += letter + next(letters, "")
        elif quote:
            word += letter
            quote = "" if letter == quote else quote
        elif letter in BLANKS:
            words += [word] if word else []
            word = ""
        else:
            word += letter
            quote = letter if letter in "\"'" else ""
    if quote:
        raise BuildError(f"a quote {quote} of the Dockerfile is not closed: {operands[:80]}", "Close it on its line.")
    return [*words, word] if word else words
