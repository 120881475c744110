"""The images that a Dockerfile starts or copies from (Docker documentation, "Dockerfile reference").

Only names are read: podman interprets the file. Provenance names these images, so a file that podman could read in
another way is refused: an image of an earlier build, which podman finds by its id, must not be used unnamed. The forms
of flags, stages and here-documents that are accepted are those that every parser reads alike.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dockgate.delivery.dockerfile_instructions import BLANKS, read_instructions, split_words
from dockgate.shared.errors import BuildError
from dockgate.shared.host_platform import detect_architecture

_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-+])([^{}]*))?\})")
_OPTION = re.compile(r"--[a-z-]*")
_STAGE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SCHEMES = re.compile(
    r"(containers-storage|dir|docker|docker-archive|docker-daemon|oci|oci-archive|ostree|sif|https?):"
)
# Images that one Dockerfile may name.
_IMAGE_LIMIT = 32
# ARG values before the first FROM; each may be made of the ones above it.
_MOST_ARGUMENTS = 1000
# Characters of a value once its variables are filled in: this runs in the server, outside of the box.
_VALUE_LIMIT = 4096

# Finished stages by their names in lower case: the name as it is written, and what they start from.
_Stages = dict[str, tuple[str, str | None]]


@dataclass(frozen=True, slots=True)
class NamedImages:
    """The images that a Dockerfile names, arguments filled in, in their order.

    `final_base` is the one that the last stage starts from, if need be by way of other stages, or None, as for
    `scratch`. `commands` are what RUN instructions run, each with the image that its stage starts from.
    """

    images: tuple[str, ...]
    final_base: str | None
    commands: tuple[tuple[str, str], ...] = ()


def find_base_images(text: str, arguments: Mapping[str, str]) -> NamedImages:
    """The images of registries that are named, without repetition; stages and `scratch` are left out.

    `arguments` are those of the build. Raises BuildError for a name that is not an image in a registry, and for
    too many.
    """
    reading = _Reading(arguments)
    for name, operands in read_instructions(text):
        if name == "ARG":
            reading.add_arguments(operands)
        elif name == "FROM":
            reading.begin_stage(operands)
        elif name in ("COPY", "ADD", "RUN"):
            reading.add_sources(name, operands)
    if len(reading.images) > _IMAGE_LIMIT:
        raise BuildError(
            f"the Dockerfile names {len(reading.images)} images", f"At most {_IMAGE_LIMIT} are pulled for a build."
        )
    return NamedImages(tuple(reading.images), reading.base, tuple(reading.commands))


class _Reading:
    """The state of a Dockerfile up to an instruction. `base` is the image that the present stage starts from."""

    def __init__(self, arguments: Mapping[str, str]) -> None:
        self.images: dict[str, None] = {}
        self.commands: list[tuple[str, str]] = []
        self.base: str | None = None
        self._arguments = arguments
        self._values = _make_platform_variables()
        self._stages: _Stages = {}
        self._stage: str | None = None
        self._stage_count = 0

    def add_arguments(self, operands: str) -> None:
        """Read an ARG. Behind the first FROM it is for the commands of a stage alone."""
        if self._stage_count:
            return
        _require_ascii("ARG", operands)
        for word in split_words(operands):
            key, has_default, default = word.partition("=")
            _require_plain_argument(key, default)
            if key in self._arguments:
                self._values[key] = self._arguments[key]
            elif has_default:
                self._values[key] = _fill_variables(default.strip("\"'"), self._values)
        if len(self._values) > _MOST_ARGUMENTS:
            raise BuildError(
                f"the Dockerfile has more than {_MOST_ARGUMENTS} ARG values before its first FROM",
                "Move those that no FROM uses behind it.",
            )

    def begin_stage(self, operands: str) -> None:
        """Read a FROM: the present stage ends, and has a name from now on."""
        _require_ascii("FROM", operands)
        if self._stage:
            self._stages[self._stage.lower()] = (self._stage, self.base)
        self._stage_count += 1
        words = split_words(_split_flags(operands)[1])
        reference = _fill_variables(words[0].strip("\"'"), self._values) if words else ""
        if _is_stage(reference, self._stages):
            self.base = self._stages[reference.lower()][1]
        elif reference == "scratch":
            self.base = None
        else:
            self.base = _check_reference(reference)
            self.images[self.base] = None
        self._stage = _parse_stage_name(words)

    def add_sources(self, name: str, operands: str) -> None:
        """Read a COPY, ADD or RUN: the images that it copies from or mounts, and its command."""
        if name == "RUN" and self.base is not None:
            self.commands.append((self.base, operands))
        for reference in _find_source_images(operands):
            number = int(reference[:9]) if reference.isdecimal() else -1
            is_earlier_stage = str(number) == reference and number < self._stage_count - 1
            if not is_earlier_stage and not _is_stage(reference, self._stages) and reference != "scratch":
                self.images[_check_reference(reference)] = None


def _make_platform_variables() -> dict[str, str]:
    """Return the variables of `FROM --platform=$BUILDPLATFORM` ("Automatic platform ARGs in the global scope")."""
    architecture = detect_architecture()
    values = {"PLATFORM": f"linux/{architecture}", "OS": "linux", "ARCH": architecture, "VARIANT": ""}
    return {f"{side}{name}": value for side in ("BUILD", "TARGET") for name, value in values.items()}


def _find_source_images(operands: str) -> Iterator[str]:
    """Yield the images in the options of COPY, ADD and RUN: --from=IMAGE and --mount=…,from=IMAGE,…."""
    for flag in _split_flags(operands)[0]:
        option, _, value = flag.partition("=")
        # podman fills in variables before it looks: `--$A=` and `--mount=$A` may be anything.
        if not _OPTION.fullmatch(option):
            raise _make_variable_error(flag)
        if option == "--from":
            yield value
        elif option == "--mount":
            for part in value.split(","):
                key, _, image = part.partition("=")
                if "$" in key:
                    raise _make_variable_error(flag)
                if key.strip().lower() == "from":
                    yield image


def _split_flags(operands: str) -> tuple[list[str], str]:
    """Return the flags that an instruction begins with, their quotes removed, and what follows them.

    Raises BuildError for flags that parsers read differently: with escapes, or other letters than those of ASCII.
    """
    flags: list[str] = []
    flag, quote = "", ""
    start = position = len(operands) - len(operands.lstrip(BLANKS))
    while operands.startswith("--", start):
        for position in range(start, len(operands) + 1):
            letter = operands[position : position + 1]
            if not quote and (not letter or letter in BLANKS):
                break
            if not " " <= letter <= "~" or letter == "\\" or (letter in "\"'" and quote not in ("", letter)):
                raise BuildError(
                    f"a flag of the Dockerfile may be read in two ways: {operands[:80]!r}",
                    "Write flags without escapes, with simple quotes, in letters of ASCII.",
                )
            if letter in "\"'":
                quote = "" if quote else letter
            else:
                flag += letter
        while operands[position : position + 1] in BLANKS and position < len(operands):
            position += 1
        start = position
        if flag == "--":
            break
        flags.append(flag)
        flag = ""
    return flags, operands[start:]


def _make_variable_error(flag: str) -> BuildError:
    return BuildError(
        f"a flag of the Dockerfile is made of variables: {flag[:80]!r}",
        "Write the names of flags, and those in --mount, out.",
    )


def _is_stage(reference: str, stages: _Stages) -> bool:
    """Return whether it names a finished stage. podman reads a name in another case as an image."""
    stage = stages.get(reference.lower())
    if stage is not None and stage[0] != reference:
        raise BuildError(
            f"{reference!r} in the Dockerfile and the stage {stage[0]!r} differ in case", "Write it as after AS."
        )
    return stage is not None


def _parse_stage_name(words: Sequence[str]) -> str | None:
    """Return the name in `FROM image AS name`, or None."""
    if len(words) != 3 or words[1].upper() != "AS":
        return None
    if not _STAGE.fullmatch(words[2]):
        raise BuildError(
            f"the stage {words[2][:80]!r} of the Dockerfile has no plain name",
            "Use letters, digits, - _ and . in it, and begin with a letter.",
        )
    return words[2]


def _require_ascii(name: str, operands: str) -> None:
    if not operands.isascii():
        raise BuildError(
            f"a {name} of the Dockerfile has letters outside ASCII: {operands[:80]!r}",
            "Write it in ASCII. Move an ARG that no FROM uses below the FROM.",
        )


def _require_plain_argument(key: str, value: str) -> None:
    """Refuse an ARG before the first FROM whose name or value depends on how quotes and escapes are read."""
    plain = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
    if not _ARGUMENT.fullmatch(key) or set("\"'\\`") & set(plain) or (value.startswith("'") and "$" in value):
        raise BuildError(
            f"ARG {key[:80]} before the first FROM has quotes or escapes within its name or value",
            "Write it in plain letters.",
        )


def _fill_variables(text: str, values: Mapping[str, str]) -> str:
    """`text` with its variables filled in, "Environment replacement": `:-` and `:+` count an empty value as none.

    Raises BuildError for more than _VALUE_LIMIT characters.
    """
    total = len(text)

    def expand_within_limit(match: re.Match[str]) -> str:
        nonlocal total
        replacement = expand_variable(match)
        total += len(replacement)
        if total > _VALUE_LIMIT:
            raise BuildError(
                f"an ARG or a FROM of the Dockerfile has more than {_VALUE_LIMIT} characters", "Shorten its value."
            )
        return replacement

    def expand_variable(match: re.Match[str]) -> str:
        argument = values.get(match[1] or match[2])
        operator, word = match[3] or "", match[4] or ""
        is_set = bool(argument) if operator.startswith(":") else argument is not None
        if operator.endswith("+"):
            return word if is_set else ""
        return (argument or "") if is_set or not operator else word

    return _VARIABLE.sub(expand_within_limit, text)


def _check_reference(reference: str) -> str:
    if not reference or "$" in reference or _SCHEMES.match(reference) or any(letter <= " " for letter in reference):
        raise BuildError(
            f"{reference[:200]!r} in the Dockerfile names no image in a registry",
            "Write [HOST[:PORT]/]NAME[:TAG][@DIGEST], and give each ARG of a FROM a value. Only FROM takes variables.",
        )
    return reference
