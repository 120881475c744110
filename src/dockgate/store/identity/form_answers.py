"""Answers of forms, for those that are sent again."""

from typing import NamedTuple

from sqlalchemy import delete, select, update

from dockgate.store.engine import Database
from dockgate.store.schema.identity import form_answers
from dockgate.store.statements import delete_unlocked, insert_if_new


class FormAnswer(NamedTuple):
    """The answer of a form: where it leads to, None while it is being handled.

    `at` is when that was recorded last; the one who recorded it handles the form. `is_new`: that is this caller.
    """

    location: str | None
    at: str
    is_new: bool = False


class FormAnswers:
    """Answers of accepted forms by the digest of the form, for a while."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, digest: str, now: str, before: str) -> FormAnswer:
        """Begin to handle a form if its answer is new: `finish` it. Return its first answer otherwise.

        Forms that were sent before the time `before` are forgotten.
        """
        answer = select(form_answers.c.location, form_answers.c.at).where(
            form_answers.c.digest == digest, form_answers.c.at >= before
        )
        with self._database.read() as connection:
            if (row := connection.execute(answer).first()) is not None:
                return FormAnswer(*row)
        with self._database.write() as connection:
            delete_unlocked(connection, form_answers, form_answers.c.at < before)
            if insert_if_new(connection, form_answers, {"digest": digest, "at": now}):
                return FormAnswer(None, now, is_new=True)
            row = connection.execute(answer).first()
            return FormAnswer(*row) if row is not None else FormAnswer(None, now)

    def renew(self, digest: str, recorded_at: str, now: str) -> bool:
        """Record that a form is handled that was recorded at `recorded_at` and is not finished.

        Return whether this caller has it: of several that ask, one.
        """
        is_unfinished = (
            form_answers.c.digest == digest,
            form_answers.c.at == recorded_at,
            form_answers.c.location.is_(None),
        )
        with self._database.write() as connection:
            return connection.execute(update(form_answers).where(*is_unfinished).values(at=now)).rowcount > 0

    def finish(self, digest: str, recorded_at: str, location: str | None) -> None:
        """Store where the answer of a form leads to, unless a copy has an answer.

        With None, forget the form, unless a copy is handled since `recorded_at`.
        """
        is_open = form_answers.c.digest == digest, form_answers.c.location.is_(None)
        with self._database.write() as connection:
            if location is None:
                connection.execute(delete(form_answers).where(*is_open, form_answers.c.at == recorded_at))
            else:
                connection.execute(update(form_answers).where(*is_open).values(location=location))
