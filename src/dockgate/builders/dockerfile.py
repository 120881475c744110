"""Which images a Dockerfile starts or copies from (Docker documentation, "Dockerfile reference").

Only names are read: podman interprets the file. A name that is missed here is missing in the build, which then fails.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dockgate.core.errors import BuildError

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^{}]*))?\})")
_HEREDOC = re.compile(r"<<(-?)([\"']?)(\w+)\2")
_DIRECTIVE = re.compile(r"#\s*escape\s*=\s*(\S)\s*$", re.IGNORECASE)
_SCHEMES = re.compile(
    r"(containers-storage|dir|docker|docker-archive|docker-daemon|oci|oci-archive|ostree|sif|https?):"
)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_MOST = 32
"""images that one Dockerfile may name"""
_MOST_ARGUMENTS = 1000
"""ARG values before the first FROM; each may be made of the ones above it"""
_VALUE_LIMIT = 4096
"""characters of a value once its variables are filled in: this runs in the server, outside of the box"""


@dataclass(frozen=True, slots=True)
class Named:
    """The images that a Dockerfile names, arguments filled in, in their order. `last` is the one that the last stage
    starts from, if need be by way of other stages; None for none, as for `scratch`."""

    images: tuple[str, ...]
    last: str | None


def base_images(text: str, arguments: Mapping[str, str]) -> Named:
    """The images of registries that are named, without repetition; stages and `scratch` are left out.

    `arguments` are those of the build. Raises BuildError for a name that is no image of a registry, or for too many.
    """
    values = _platform()
    stages: dict[str, str | None] = {}
    last: str | None = None
    found: dict[str, None] = {}
    has_stage = False
    for name, rest in _instructions(text):
        if name == "ARG" and not has_stage:
            for word in _words(rest):
                key, has_default, default = word.partition("=")
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
            words = [word for word in _words(rest) if not word.startswith("--")]
            reference = _filled(words[0], values) if words else ""
            if reference.lower() in stages:
                last = stages[reference.lower()]
            elif reference == "scratch":
                last = None
            else:
                last = _checked(reference)
                found[last] = None
            if len(words) == 3 and words[1].upper() == "AS":
                stages[words[2].lower()] = last
        elif name in ("COPY", "ADD", "RUN"):
            for reference in _sources(rest):
                reference = _filled(reference, values)
                if reference.lower() not in stages and not reference.isdecimal() and reference != "scratch":
                    found[_checked(reference)] = None
    if len(found) > _MOST:
        raise BuildError(f"the Dockerfile names {len(found)} images", f"At most {_MOST} are pulled for a build.")
    return Named(tuple(found), last)


def _platform() -> dict[str, str]:
    """What `FROM --platform=$BUILDPLATFORM` and its like may use ("Automatic platform ARGs in the global scope")."""
    machine = os.uname().machine.lower()
    architecture = _ARCHITECTURES.get(machine, machine)
    values = {"PLATFORM": f"linux/{architecture}", "OS": "linux", "ARCH": architecture, "VARIANT": ""}
    return {f"{side}{name}": value for side in ("BUILD", "TARGET") for name, value in values.items()}


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction's name in upper case and the rest of it, continued lines joined, here-documents left out."""
    lines = iter(text.splitlines())
    escape = "\\"
    head = True
    for line in lines:
        if head:
            directive = _DIRECTIVE.match(line)
            escape = directive[1] if directive else escape
            head = line.startswith("#")
        parts = [line.strip()]
        if not parts[0] or parts[0].startswith("#"):
            continue
        while parts[-1].endswith(escape):
            following = next(lines, None)
            if following is None:
                break
            if following.strip().startswith("#") or not following.strip():
                continue
            parts[-1] = parts[-1][:-1]
            parts.append(following.strip())
        name, _, rest = " ".join(parts).partition(" ")
        name = name.upper()
        if name == "ONBUILD":
            continue
        if name in ("RUN", "COPY", "ADD"):
            for strip, _, word in _HEREDOC.findall(rest):
                for inner in lines:
                    if (inner.lstrip("\t") if strip else inner) == word:
                        break
        yield name, rest.strip()


def _words(rest: str) -> list[str]:
    return [word.strip("\"'") for word in rest.split()]


def _sources(rest: str) -> Iterator[str]:
    """What the options of COPY, ADD and RUN name as source: --from=IMAGE and --mount=…,from=IMAGE,…"""
    for word in rest.split():
        if not word.startswith("--"):
            return
        if word.startswith("--from="):
            yield word.removeprefix("--from=").strip("\"'")
        elif word.startswith("--mount="):
            for part in word.removeprefix("--mount=").strip("\"'").split(","):
                if part.startswith("from="):
                    yield part.removeprefix("from=")


def _filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with its variables filled in, "Environment replacement": `:-` and `:+` count an empty value as none.

    Raises BuildError for more than _VALUE_LIMIT characters."""
    total = len(text)

    def bounded(match: re.Match[str]) -> str:
        nonlocal total
        found = value(match)
        total += len(found)
        if total > _VALUE_LIMIT:
            raise BuildError(
                f"an ARG or a FROM of the Dockerfile has more than {_VALUE_LIMIT} characters", "Shorten its value."
            )
        return found

    def value(match: re.Match[str]) -> str:
        found = values.get(match[1] or match[2])
        operator, word = match[3] or "", match[4] or ""
        is_set = bool(found) if operator.startswith(":") else found is not None
        if operator.endswith("+"):
            return word if is_set else ""
        return (found or "") if is_set or not operator else word

    return _VARIABLE.sub(bounded, text)


def _checked(reference: str) -> str:
    if not reference or "$" in reference or _SCHEMES.match(reference) or any(letter <= " " for letter in reference):
        raise BuildError(
            f"{reference!r} in the Dockerfile names no image in a registry",
            "Write [HOST[:PORT]/]NAME[:TAG][@DIGEST], and give each ARG of a FROM a value.",
        )
    return reference
