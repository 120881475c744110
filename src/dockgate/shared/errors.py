"""Every error that Dockgate raises on purpose: what happened, where, and the next step.

Only `cli/main.py` and `web/app.py` turn them into text for people.

A message begins in lower case and has no full stop at its end: it follows "error: ", a file, a step or
"Undetermined: ", and other messages quote it after a colon. Names, such as DOCKGATE_TOKEN, keep their case. An
UnreadableError on a file of an image calls it "it": "app.jar cannot be read: it is truncated." Advice is a sentence.
`scripts/language.py` checks the messages of all errors.
"""


class DockgateError(Exception):
    """The root: `str(error)` says what happened and where, `advice` what to do next (None for nothing).

    `usual_advice` is the next step after most errors of a class.
    """

    exit_code = 2
    usual_advice: str | None = None

    def __init__(self, message: str, advice: str | None = None) -> None:
        super().__init__(message)
        self.advice = advice

    @property
    def next_step(self) -> str | None:
        """The advice, or what helps after most errors of the class: for the reader of the error."""
        return self.advice or self.usual_advice

    @property
    def full_message(self) -> str:
        """The message with the advice."""
        return f"{str(self).rstrip('.')}. {self.advice}" if self.advice else str(self)


class UsageError(DockgateError):
    """The request is invalid: a bad reference, an unknown option value."""


class DefinitionError(UsageError):
    """A YAML or JSON document (policy, pipeline, service) is wrong. The message names file, line and key."""


class NotFoundError(DockgateError):
    """A named thing (repository, pipeline, execution, digest, tag) does not exist."""


class ConflictError(DockgateError):
    """The request contradicts the present state, such as answering an approval twice."""


class TokenIssuedError(ConflictError):
    """A repeated request issued a token before. The token's text was shown then, and is stored nowhere."""

    def __init__(self, message: str, advice: str, *, token_id: str) -> None:
        super().__init__(message, advice)
        self.token_id = token_id


class ChangedError(ConflictError):
    """The value has changed since the caller read it."""


class DeniedError(DockgateError):
    """A token is wrong, or the caller may not do this."""


class RoleNeededError(DeniedError):
    """The caller needs a role, which an administrator can grant."""


class UnknownCallerError(DeniedError):
    """The caller has no valid token."""


class TooLargeError(UsageError):
    """More bytes were sent than are accepted."""


class SlowBodyError(UsageError):
    """A request's body did not arrive within the time limit."""


class BusyError(DockgateError):
    """Too many requests in a short time."""


class UnavailableError(DockgateError):
    """An external system (registry, feed, engine) failed. Trying again may help."""

    usual_advice = "Try again in a minute. If it fails again, check the program, file or host that the message names."


class DownloadError(UnavailableError):
    """A file of a feed could not be downloaded from `url`, which has no password.

    `cause` is alike for all files of `host` that fail together. `is_unreachable`: there was no connection, so no other
    file can be downloaded from there. `is_stalled`: the host took the request and sent no more.
    """

    def __init__(
        self, feed: str, url: str, host: str, cause: str, *, is_unreachable: bool, is_stalled: bool = False
    ) -> None:
        super().__init__(
            f"the feed {feed} cannot be fetched from {url}: {cause}",
            f"Check the network and DOCKGATE_FEED_{feed.upper()}, then run `dockgate db update` again.",
        )
        self.host = host
        self.cause = cause
        self.is_unreachable = is_unreachable
        self.is_stalled = is_stalled


class MessageRefusedError(DockgateError):
    """A message can never be delivered as it is, or not to this receiver. The next one may be."""


class ReceiverGoneError(DockgateError):
    """The receiver accepts no further message, whatever it says."""


class TooSlowError(DockgateError):
    """A registry exceeded its time limit for all requests. Not retried at once."""


class PendingError(DockgateError):
    """The result is not available yet, because another scanner is still running. Retried later."""


class DiskFullError(UnavailableError):
    """The server's disk limit is reached."""


class StoreError(UnavailableError):
    """The server's database fails."""


class ImageError(DockgateError):
    """An image, or its transport, is broken: a missing blob, a digest that does not match, a bad manifest."""

    usual_advice = "The image is damaged or of an unknown form: build, save or push it again."


class NotAnImageError(ImageError):
    """A manifest is of another artifact, such as a chart: there is nothing to scan."""


class UnreadableError(DockgateError):
    """An ecosystem cannot read a file. It becomes an unread entry, never a crash."""


class UncomparableError(DockgateError):
    """An ecosystem cannot order a version. The match becomes undetermined."""


class DatabaseError(DockgateError):
    """The advisory database is missing, broken or of another format."""


class BuildError(DockgateError):
    """The image could not be built or pushed. The message has the end of the builder's output."""


class DeployError(DockgateError):
    """A deploy failed. The previous tasks run again."""


def describe_error(error: Exception) -> str:
    """The error in a line of a log: what happened, the advice, and the notes that were added on its way."""
    text = error.full_message if isinstance(error, DockgateError) else f"{type(error).__name__}: {error}"
    return " ".join([text, *getattr(error, "__notes__", ())])


def find_unexpected_error(error: Exception) -> Exception | None:
    """Return the error, if a log needs its traceback: None for one that Dockgate raised on purpose."""
    return None if isinstance(error, DockgateError) else error
