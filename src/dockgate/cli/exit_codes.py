"""Exit codes of commands that have a verdict as their result."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit code of a command: `FAILED` is for wrong use, too."""

    SUCCEEDED = 0
    REJECTED = 1
    FAILED = 2
    UNDETERMINED = 3
