"""Parse references: texts that name an image, or a file or folder that is read like one."""

import re
from dataclasses import dataclass
from os.path import isdir, isfile  # unlike Path's, false for what can be no path, or may not be looked at
from pathlib import Path
from typing import NamedTuple

from dockgate.scanner.local_reference import ARCHIVES, ENGINES, FOLDER, split_scheme
from dockgate.scanner.registry_reference import DOCKER_HUB, NAME_LIMIT, RegistryReference, check_digest, parse_remote
from dockgate.shared.errors import UsageError

_STANDARD_INPUT = "-"
# Endings of the names of archives and bills of materials; image names hardly ever end so.
_FILES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".json")


class FileReference(NamedTuple):
    """An image in an OCI layout folder, or in a tar file with such a layout or made by `docker save`.

    `tag` (may be None) is a tag or a whole name, as the writer of the file gave it.
    """

    path: Path
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.path}{tag}{digest}"


class FolderReference(NamedTuple):
    """A folder that is the root of a system."""

    path: Path


@dataclass(frozen=True, slots=True)
class StdinReference:
    """An image archive on standard input."""


class EngineReference(NamedTuple):
    """An image in the store of an `engine` on this machine, "podman" or "docker".

    `name` is a name or an id there.
    """

    engine: str
    name: str

    def __str__(self) -> str:
        return f"{self.engine}:{self.name}"


ImageReference = RegistryReference | FileReference | FolderReference | StdinReference | EngineReference


def parse_reference(text: str) -> ImageReference:
    """Parse a reference. An existing path is a file or folder, everything else is a name in a registry.

    Reads the file system to find existing paths, and where a path that contains colons ends. Raises UsageError.
    """
    if text == _STANDARD_INPUT:
        return StdinReference()
    scheme, name = split_scheme(text)
    if scheme == FOLDER:
        if not name or not isdir(name):
            raise UsageError(f"there is no folder {name!r}", "The form is dir:FOLDER, and dir:/ is this machine.")
        return FolderReference(Path(name))
    if not text or any(character.isspace() or character < " " for character in text):
        raise UsageError(f"{text!r} is not an image reference", "Name one: 127.0.0.1:5000/app:1, oci:FOLDER, app.tar.")
    if scheme in ARCHIVES:
        return _parse_file(scheme, name)
    if scheme in ENGINES:
        return _parse_engine(ENGINES[scheme], name)
    path = Path(text)
    if isfile(path) or isfile(path / "oci-layout"):
        return FileReference(path)
    if text.startswith(("/", "./", "../")):
        if isdir(path):
            raise UsageError(f"{text} is a folder without an oci-layout file", _advise(text))
        raise UsageError(f"{text} does not exist", "Give an OCI layout folder, or a file made by `podman save`.")
    image_reference = parse_remote(text)
    if text.endswith(_FILES) and (image_reference.registry == DOCKER_HUB or isdir(path.parent)):
        raise UsageError(f"there is no file {text!r}", f"If an image in a registry is meant, write {image_reference}.")
    return image_reference


def _parse_file(scheme: str, text: str) -> FileReference:
    """Parse `PATH`, `PATH:TAG` or `PATH@DIGEST`.

    Both parts may contain colons: the shortest existing path counts.
    """
    kind = ARCHIVES[scheme]
    for end in (*(at for at, character in enumerate(text) if character in ":@"), len(text)):
        path = Path(text[:end])
        if not text[:end] or not (isdir(path) if kind == "folder" else isfile(path)):
            continue
        if kind == "folder" and not isfile(path / "oci-layout"):
            raise UsageError(f"{path} is a folder without an oci-layout file", _advise(text[:end]))
        if text[end : end + 1] == "@":
            check_digest(text[end + 1 :])
            return FileReference(path, digest=text[end + 1 :])
        return FileReference(path, tag=text[end + 1 :] or None)
    raise UsageError(f"there is no {kind} {text!r}", f"The form is {scheme}:PATH, with :TAG or @DIGEST where needed.")


def _advise(folder: str) -> str:
    return f"Give an OCI image layout folder. If the folder is the root of a system, say so: dir:{folder}"


def _parse_engine(engine: str, name: str) -> EngineReference:
    """Refuse only what cannot be a name: engines accept short names (`app`) and ids too."""
    parts = name.split("/")
    is_valid = re.fullmatch(r"[A-Za-z0-9\[][A-Za-z0-9._:/@\[\]-]*", name) and not {"", ".", ".."}.intersection(parts)
    if not is_valid or len(name) > 2 * NAME_LIMIT:
        raise UsageError(
            f"{name!r} is not a name of an image in {engine}'s store",
            f"Its form is {engine}:NAME[:TAG]; an image in a registry is named without {engine}: before it.",
        )
    return EngineReference(engine, name)
