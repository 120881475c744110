"""Which images a Dockerfile starts or copies from (Docker documentation, "Dockerfile reference").

Only names are read: podman interprets the file. Provenance names these images, so a file that podman could read in
another way is refused. A name that is missed all the same is missing in the build, which then fails.
"""

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dockgate.shared.errors import BuildError

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^{}]*))?\})")
# A word that begins a here-document, as podman's parser has it.
_HEREDOC = re.compile(r"[0-9]*<<(-?)([^<]*)")
_HEREDOC_NAME = re.compile(r"([\"']?)([A-Za-z0-9_.]+)\1")
_BLANKS = " \t"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
_DIRECTIVE = re.compile(r"#[ \t]*escape[ \t]*=(.*)", re.IGNORECASE)
_SCHEMES = re.compile(
    r"(containers-storage|dir|docker|docker-archive|docker-daemon|oci|oci-archive|ostree|sif|https?):"
)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
# Images that one Dockerfile may name.
_MOST = 32
# ARG values before the first FROM; each may be made of the ones above it.
_MOST_ARGUMENTS = 1000
# Characters of a value once its variables are filled in: this runs in the server, outside of the box.
_VALUE_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Named:
    """The images that a Dockerfile names, arguments filled in, in their order.

    `last` is the one that the last stage starts from, if need be by way of other stages; None for none, as for
    `scratch`. `commands` are what RUN instructions run, each with the image that its stage starts from.
    """

    images: tuple[str, ...]
    last: str | None
    commands: tuple[tuple[str, str], ...] = ()


def base_images(text: str, arguments: Mapping[str, str]) -> Named:
    """The images of registries that are named, without repetition; stages and `scratch` are left out.

    `arguments` are those of the build. Raises BuildError for a name that is no image of a registry, or for too many.
    """
    values = _platform()
    stages: dict[str, str | None] = {}
    last: str | None = None
    references: dict[str, None] = {}
    commands: list[tuple[str, str]] = []
    has_stage = False
    stage_count = 0
    for name, rest in _instructions(text):
        if name == "ARG" and not has_stage:
            for word in _words(rest):
                key, has_default, default = word.partition("=")
                _require_plain_value(key, default)
                if key in arguments:
                    values[key] = arguments[key]
                elif has_default:
                    values[key] = _filled(default.strip("\"'"), values)
            if len(values) > _MOST_ARGUMENTS:
                raise BuildError(
                    f"the Dockerfile has more than {_MOST_ARGUMENTS} ARG values before its first FROM",
                    "Move those that no FROM uses behind it.",
                )
        elif name == "FROM":
            has_stage = True
            stage_count += 1
            words = [word.strip("\"'") for word in _words(rest) if not word.startswith("--")]
            reference = _filled(words[0], values) if words else ""
            if reference.lower() in stages:
                last = stages[reference.lower()]
            elif reference == "scratch":
                last = None
            else:
                last = _checked(reference)
                references[last] = None
            if len(words) == 3 and words[1].upper() == "AS":
                stages[words[2].lower()] = last
        elif name in ("COPY", "ADD", "RUN"):
            if name == "RUN" and last is not None:
                commands.append((last, rest))
            for reference in _sources(rest):
                is_stage = reference.isdecimal() and int(reference[:9]) < stage_count - 1
                if not is_stage and reference.lower() not in stages and reference != "scratch":
                    references[_checked(reference)] = None
    if len(references) > _MOST:
        raise BuildError(f"the Dockerfile names {len(references)} images", f"At most {_MOST} are pulled for a build.")
    return Named(tuple(references), last, tuple(commands))


def _platform() -> dict[str, str]:
    """What `FROM --platform=$BUILDPLATFORM` and its like may use ("Automatic platform ARGs in the global scope")."""
    machine = os.uname().machine.lower()
    architecture = _ARCHITECTURES.get(machine, machine)
    values = {"PLATFORM": f"linux/{architecture}", "OS": "linux", "ARCH": architecture, "VARIANT": ""}
    return {f"{side}{name}": value for side in ("BUILD", "TARGET") for name, value in values.items()}


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction's name in upper case and the rest of it, continued lines joined, here-documents left out."""
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
        parts = [line.strip(_BLANKS)]
        if not parts[0] or parts[0].startswith("#"):
            continue
        while parts[-1].endswith(escape):
            following = next(lines, None)
            if following is None:
                break
            following = following.strip(_BLANKS)
            if following.startswith("#") or not following:
                continue
            parts[-1] = parts[-1][:-1]
            parts.append(following)
        name, _, rest = " ".join(parts).replace("\t", " ").partition(" ")
        name = name.upper()
        if name == "ONBUILD":
            continue
        if name in ("RUN", "COPY", "ADD"):
            for is_indented, word in _heredocs(rest, escape):
                for inner in lines:
                    if (inner.lstrip("\t") if is_indented else inner) == word:
                        break
        yield name, rest.strip(_BLANKS)


def _escape(lines: Sequence[str]) -> str:
    """The escape character. Parsers differ in which comments may stand before the directive, and what behind it."""
    for number, line in enumerate(lines, 1):
        if not line.startswith("#"):
            break
        if directive := _DIRECTIVE.fullmatch(line):
            character = directive[1].strip(_BLANKS)
            if number > 1 or character not in ("\\", "`"):
                raise BuildError(
                    f"line {number} of the Dockerfile, {line[:80]!r}, may be read in two ways",
                    "Write `# escape=` and a backtick or a backslash in the first line.",
                )
            return character
    return "\\"


def _heredocs(rest: str, escape: str) -> Iterator[tuple[bool, str]]:
    """The here-documents that an instruction begins: whether its lines may be indented, and the line that ends it."""
    if "<<" not in rest:
        return
    words = _words(rest, escape)
    for word in words:
        if (heredoc := _HEREDOC.fullmatch(word)) and heredoc[2]:
            name = _HEREDOC_NAME.fullmatch(heredoc[2])
            if name is None:
                raise BuildError(
                    f"the here-document {word} of the Dockerfile has no plain name", "Call it by letters, as in <<EOF."
                )
            yield bool(heredoc[1]), name[2]


def _words(rest: str, escape: str = "\\") -> list[str]:
    """Words with their quotes. Blanks in quotes and behind an escape character belong to a word.

    Raises BuildError where quotes are not closed, for then it is unclear where a word ends.
    """
    words: list[str] = []
    word, quote = "", ""
    letters = iter(rest)
    for letter in letters:
        if letter == escape and quote != "'":
            word += letter + next(letters, "")
        elif quote:
            word += letter
            quote = "" if letter == quote else quote
        elif letter in _BLANKS:
            words += [word] if word else []
            word = ""
        else:
            word += letter
            quote = letter if letter in "\"'" else ""
    if quote:
        raise BuildError(f"a quote {quote} of the Dockerfile is not closed: {rest[:80]}", "Close it on its line.")
    return [*words, word] if word else words


def _sources(rest: str) -> Iterator[str]:
    """The images in the options of COPY, ADD and RUN: --from=IMAGE and --mount=…,from=IMAGE,…."""
    for word in rest.split():
        if not word.startswith("--"):
            return
        if word.startswith("--from="):
            yield word.removeprefix("--from=").strip("\"'")
        elif word.startswith("--mount="):
            for part in next(csv.reader([word.removeprefix("--mount=").strip("\"'")]), []):
                key, _, value = part.partition("=")
                if key.strip("\"' ").lower() == "from":
                    yield value.strip("\"'")


def _require_plain_value(key: str, value: str) -> None:
    """Refuse an ARG before the first FROM whose value depends on how quotes and escapes are read."""
    plain = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
    if set("\"'\\`") & set(plain) or (value.startswith("'") and "$" in value):
        raise BuildError(
            f"the value of ARG {key} before the first FROM has quotes or escapes within it",
            "Write it in plain letters.",
        )


def _filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with its variables filled in, "Environment replacement": `:-` and `:+` count an empty value as none.

    Raises BuildError for more than _VALUE_LIMIT characters.
    """
    total = len(text)

    def bounded(match: re.Match[str]) -> str:
        nonlocal total
        replacement = value(match)
        total += len(replacement)
        if total > _VALUE_LIMIT:
            raise BuildError(
                f"an ARG or a FROM of the Dockerfile has more than {_VALUE_LIMIT} characters", "Shorten its value."
            )
        return replacement

    def value(match: re.Match[str]) -> str:
        argument = values.get(match[1] or match[2])
        operator, word = match[3] or "", match[4] or ""
        is_set = bool(argument) if operator.startswith(":") else argument is not None
        if operator.endswith("+"):
            return word if is_set else ""
        return (argument or "") if is_set or not operator else word

    return _VARIABLE.sub(bounded, text)


def _checked(reference: str) -> str:
    if not reference or "$" in reference or _SCHEMES.match(reference) or any(letter <= " " for letter in reference):
        raise BuildError(
            f"{reference[:200]!r} in the Dockerfile names no image in a registry",
            "Write [HOST[:PORT]/]NAME[:TAG][@DIGEST], and give each ARG of a FROM a value. Only FROM takes variables.",
        )
    return reference
