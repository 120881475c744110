"""The first commit of the stack's source repository: the demo application, which the gate rejects."""

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable

from dockgate.aws.stack.zip_archive import pack

_KINDS = (".html", ".py", ".txt")


def first_commit(application: Traversable) -> bytes:
    """The files of `application` as a zip archive, with a Dockerfile on a base image that CodeBuild can pull."""
    dockerfile = resources.files("dockgate.aws.stack").joinpath("application", "Dockerfile").read_bytes()
    return pack({**dict(_files(application)), "Dockerfile": dockerfile})


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for item in folder.iterdir():
        if item.is_dir() and item.name != "__pycache__":
            yield from _files(item, f"{prefix}{item.name}/")
        elif item.is_file() and item.name.endswith(_KINDS):
            yield f"{prefix}{item.name}", item.read_bytes()
