"""Change the version of a dependency in the files of a repository that name it. Pure.

A function returns the new text, or None if the file does not restrict the version: then a build takes a newer one by
itself. It raises PinError for a file that restricts the version in a way that only people should change.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from dockgate.shared.pypi_names import normalize_pypi_name

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*([^;#]*)")
_LOWER_BOUND = re.compile(r"\s*>=?\s*[^,\s<>=!~]+\s*")
_EXACT = re.compile(r"\s*={2,3}\s*(\S+?)\s*")
# "1.2.3", "^1.2.3", "~1.2.3", "=1.2.3" (npm documentation, "semver"): the prefix, and the version.
_NPM_VERSION = re.compile(r"([\^~=v]?)\s*([0-9][^\s|<>=*]*)")
_NPM_OPEN = ("", "*", "latest")
NPM_SECTIONS = ("dependencies", "optionalDependencies", "devDependencies")


# A step of a Dockerfile whose result may differ although the repository is the same.
_INSTALL_STEP = re.compile(r"^[ \t]*RUN\b|--from=|^[ \t]*ADD\b.*(?:https?://|git@)", re.IGNORECASE | re.MULTILINE)


class PinError(ValueError):
    """The reason why a version cannot be changed in a file, as a sentence."""


def repin_requirement(text: str, path: str, name: str, old: str, new: str) -> str | None:
    """Change `name==old` to `name==new` in a requirements file.

    Source: pip's documentation, "Requirements File Format".
    """
    new_lines = []
    is_pinned = False
    for line in _split_logical_lines(text):
        match = _REQUIREMENT.match(line)
        if (
            match is None
            or line.lstrip().startswith(("#", "-"))
            or normalize_pypi_name(match[1]) != normalize_pypi_name(name)
        ):
            new_lines.append(line)
            continue
        specifier = re.split(r"\s--|\\\n", match[2])[0].strip()
        exact = _EXACT.fullmatch(specifier)
        if not specifier or _LOWER_BOUND.fullmatch(specifier):
            new_lines.append(line)
            continue
        if exact is None or exact[1].endswith(".*"):
            raise PinError(f"{path} limits {name} to {specifier}")
        if exact[1] != old:
            raise PinError(f"{path} pins {name} to {exact[1]}, and the image has {old}")
        if "--hash" in line:
            raise PinError(f"{path} pins {name} with hashes, which your package manager has to make")
        start, end = match.span(2)
        new_lines.append(line[:start] + line[start:end].replace(old, new, 1) + line[end:])
        is_pinned = True
    return "".join(new_lines) if is_pinned else None


def repin_npm(text: str, path: str, name: str, old: str, new: str) -> str | None:
    """Change the version of a direct dependency in a package.json (npm documentation, "package.json")."""
    document = _parse_json_object(text, path)
    new_text = text
    for section in NPM_SECTIONS:
        dependencies = document.get(section)
        if not isinstance(dependencies, dict) or name not in dependencies:
            continue
        specifier = str(dependencies[name]).strip()
        if specifier in _NPM_OPEN or re.fullmatch(r">=\s*[0-9][^\s<]*", specifier):
            continue
        version = _NPM_VERSION.fullmatch(specifier)
        if version is None:
            raise PinError(f"{path} takes {name} from {specifier!r}")
        if version[1] not in ("^", "~") and version[2] != old:
            raise PinError(f"{path} pins {name} to {version[2]}, and the image has {old}")
        dependencies[name] = f"{version[1]}{new}"
        pair = re.compile(rf"({re.escape(json.dumps(name))}\s*:\s*){re.escape(json.dumps(specifier))}")
        new_text = pair.sub(partial(_replace_value, json.dumps(dependencies[name])), new_text)
    if new_text == text:
        return None
    if json.loads(new_text) != document:
        raise PinError(f"{path} names {name} in several places")
    return new_text


def has_npm_dependency(text: str, path: str, name: str) -> bool:
    """Return whether a package.json names a package as a direct dependency."""
    document = _parse_json_object(text, path)
    sections = (document.get(section) for section in NPM_SECTIONS)
    return any(isinstance(section, dict) and name in section for section in sections)


def repin_digest(text: str, path: str, old: str, new: str) -> str:
    """Change the digest of an image in a Dockerfile."""
    if old not in text:
        raise PinError(f"{path} does not name {old}: a build argument does")
    return text.replace(old, new)


def require_unpinned(text: str, path: str, name: str) -> None:
    """Raise PinError if a Dockerfile installs the package in a fixed version ("apt-get install name=1.0")."""
    pin = re.search(rf"(?<![\w.+-]){re.escape(name)}(?::\w+)?(={{1,2}}|@|~=)(?=[\w\"'$])", text)
    if pin is not None:
        number = text.count("\n", 0, pin.start()) + 1
        raise PinError(f"line {number} of {path} installs {name} in a fixed version")


def require_install_step(text: str, path: str, name: str) -> None:
    """Raise PinError if a new build cannot bring a newer version of the package.

    Then the Dockerfile runs no program, and copies files of the repository alone.
    """
    if text and _INSTALL_STEP.search(text) is None:
        raise PinError(f"{path} installs nothing: {name} is among the files of the repository")


def _split_logical_lines(text: str) -> Iterator[str]:
    r"""Yield lines with their ends; those that end with "\" with the next one."""
    logical_line = ""
    for line in text.splitlines(keepends=True):
        logical_line += line
        if not line.rstrip("\r\n").endswith("\\"):
            yield logical_line
            logical_line = ""
    if logical_line:
        yield logical_line


def _replace_value(value: str, match: re.Match[str]) -> str:
    """A key of JSON, which the match has, with another value."""
    return match[1] + value


def _parse_json_object(text: str, path: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise PinError(f"{path} is not JSON") from None
    if not isinstance(document, dict):
        raise PinError(f"{path} is not a JSON object")
    return document
