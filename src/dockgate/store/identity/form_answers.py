"""Answers of forms, for those that are sent again."""

from typing import NamedTuple

from sqlalchemy import delete, select, update

from dockgate.store.engine import Database
from dockgate.store.schema.identity import form_answers
from dockgate.store.statements import delete_unlocked, insert_if_new


class FormAnswer(NamedTuple):
    """The answer of a form: where it leads to, None while it is being handled, and since when it is."""

    location: str | None
    at: str


class FormAnswers:
    """Answers of accepted forms by the digest of the form, for a while."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, digest: str, now: str, before: str) -> FormAnswer | None:
        """Begin to handle a form: `finish` it. Return its first answer instead if it has been sent before.

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
                return None
            row = connection.execute(answer).first()
            return FormAnswer(*row) if row is not None else FormAnswer(None, now)

    def take_over(self, digest: str, begun_at: str, now: str) -> bool:
        """Begin to handle a form again that was begun at `begun_at` and is not finished.

        Return whether this caller has it: of several that ask, one.
        """
        is_unfinished = (
            form_answers.c.digest == digest,
            form_answers.c.at == begun_at,
            form_answers.c.location.is_(None),
        )
        with self._database.write() as connection:
            return connection.execute(update(form_answers).where(*is_unfinished).values(at=now)).rowcount > 0

    def finish(self, digest: str, location: str | None) -> None:
        """Store where the answer of a form leads to. With None, forget the form."""
        is_begun = form_answers.c.digest == digest
        with self._database.write() as connection:
            if location is None:
                connection.execute(delete(form_answers).where(is_begun))
            else:
                connection.execute(update(form_answers).where(is_begun).values(location=location))
