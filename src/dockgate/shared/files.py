"""Files that are written whole or not at all."""

import os
import secrets
import tempfile
from pathlib import Path


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """Write a file with this mode; a crash leaves the old one. Any thread and process may call."""
    descriptor, temporary_path = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        Path(temporary_path).replace(path)
    except BaseException:
        Path(temporary_path).unlink(missing_ok=True)
        raise


def create_file(path: Path, data: bytes, mode: int) -> bool:
    """Write a file with this mode unless it exists.

    Returns whether it did: of several processes that try, one does.
    """
    temporary_path = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    replace_file(temporary_path, data, mode)
    try:
        os.link(temporary_path, path)
    except FileExistsError:
        return False
    finally:
        temporary_path.unlink()
    return True


def flush(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
