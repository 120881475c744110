"""Remember the answers of forms that people sent, for those that are sent again."""

from dataclasses import dataclass

from dockgate.services.clock import ServerClock
from dockgate.store import Store
from dockgate.store.identity.form_answers import FormAnswer

# How long answers are stored.
ANSWER_DAYS = 1


@dataclass(frozen=True, slots=True)
class SentForms:
    """The forms that people sent. Of equal ones, the first is handled."""

    store: Store
    clock: ServerClock

    def begin(self, digest: str) -> FormAnswer | None:
        """Begin to handle the form of this digest: `finish` it. Return its first answer if it was sent before."""
        before = self.clock.compute_time_before(ANSWER_DAYS)
        return self.store.form_answers.begin(digest, self.clock.now(), before)

    def take_over(self, digest: str, answer: FormAnswer) -> bool:
        """Begin to handle a form again whose first copy has no answer yet.

        Return whether this caller is to do it.
        """
        return self.store.form_answers.take_over(digest, answer.at, self.clock.now())

    def finish(self, digest: str, location: str | None) -> None:
        """Store where the answer of a form leads to. None if it was not accepted, and may be sent again."""
        self.store.form_answers.finish(digest, location)
