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

    def begin(self, digest: str) -> FormAnswer:
        """Begin to handle the form of this digest if the answer is new: `finish` it.

        Return its first answer otherwise.
        """
        before = self.clock.compute_time_before(ANSWER_DAYS)
        return self.store.form_answers.begin(digest, self.clock.now(), before)

    def renew(self, digest: str, recorded_at: str) -> FormAnswer | None:
        """Record that a form is still handled, or handled again, which was recorded at `recorded_at` before.

        Return its new answer; None if it is over, or another one has recorded that it handles the form.
        """
        now = self.clock.now()
        is_renewed = self.store.form_answers.renew(digest, recorded_at, now)
        return FormAnswer(None, now, is_new=True) if is_renewed else None

    def finish(self, digest: str, recorded_at: str, location: str | None) -> None:
        """Store where the answer of a form leads to. None if it was not accepted, and may be sent again.

        `recorded_at` is when it was recorded last that the form is handled.
        """
        self.store.form_answers.finish(digest, recorded_at, location)
