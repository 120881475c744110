"""Every error Dockgate raises on purpose. Each says what happened and where, and carries advice: the next step to take.

`cli/main.py` and `web/app.py` are the only places that turn them into text for people.
"""


class DockgateError(Exception):
    """The root. `str(error)` says what happened and where; `advice` says what to do next (may be empty)."""

    exit_code = 2

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice

    @property
    def full_message(self) -> str:
        """The message with the advice."""
        return f"{str(self).rstrip('.')}. {self.advice}" if self.advice else str(self)


class UsageError(DockgateError):
    """The caller asked for something that cannot be: a bad reference, an unknown option value."""


class DefinitionError(UsageError):
    """A YAML or JSON document (policy, pipeline, service) is wrong. The message names file, line and key."""


class NotFoundError(DockgateError):
    """A named thing (repository, pipeline, execution, digest, tag) does not exist."""


class ConflictError(DockgateError):
    """The request contradicts the present state, such as answering an approval twice."""


class ChangedError(ConflictError):
    """The value has changed since the caller read it."""


class DeniedError(DockgateError):
    """A token is wrong, or the caller may not do this."""


class UnknownCallerError(DeniedError):
    """The caller has no valid token."""


class TooLargeError(UsageError):
    """More bytes were sent than are accepted."""


class BusyError(DockgateError):
    """Asked too often in a short time."""


class UnavailableError(DockgateError):
    """Something outside did not answer as it should (registry, feed, engine). Trying again may help."""


class DownloadError(UnavailableError):
    """A file that could not be downloaded: from which `host`, and the `cause`, which is alike for every file of it.

    `is_unreachable`: no connection came about, so that nothing else will come from there either.
    """

    def __init__(self, message: str, advice: str, host: str, cause: str, *, is_unreachable: bool) -> None:
        super().__init__(message, advice)
        self.host = host
        self.cause = cause
        self.is_unreachable = is_unreachable


class TooSlowError(DockgateError):
    """A registry used up the time that it has for all that is asked of it. Not tried again at once."""


class PendingError(DockgateError):
    """What is asked for will be there later: another scanner has not ended yet. It is asked for again."""


class DiskFullError(UnavailableError):
    """A limit on what the server keeps on disk is reached."""


class StoreError(UnavailableError):
    """The server's own tables do not answer as they should."""


class ImageError(DockgateError):
    """An image, or its transport, is broken: a missing blob, a digest that does not match, a bad manifest."""


class NotAnImageError(ImageError):
    """A manifest is of another artifact (a chart, an exported database): there is nothing to scan in it."""


class UnreadableError(DockgateError):
    """Raised by an ecosystem for a file that it wants and cannot read. It becomes an unread entry, never a crash."""


class UncomparableError(DockgateError):
    """Raised by an ecosystem for a version it cannot order. The match becomes undetermined."""


class DatabaseError(DockgateError):
    """The advisory database is missing, broken or of another format."""


class BuildError(DockgateError):
    """The image could not be built or pushed. The message holds the builder's last words."""


class DeployError(DockgateError):
    """A deploy did not reach its goal. What ran before runs again."""
