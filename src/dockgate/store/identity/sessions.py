"""Sessions of browsers."""

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, insert, select, update

from dockgate.identity.model import Session
from dockgate.store.engine import Database
from dockgate.store.identity.tokens import HOLDER, HOLDER_WIDTH, Holder, read_holder
from dockgate.store.queries import make_row, select_as
from dockgate.store.schema.identity import sessions, tokens

_SESSION = select_as(Session, sessions)
# One query with each request of a browser: a token, its principal, and the session.
_SIGNED_IN = (
    HOLDER.add_columns(*_SESSION.selected_columns)
    .join(sessions, sessions.c.token == tokens.c.id)
    .where(sessions.c.digest == bindparam("of"))
)
# Sessions of one token: the next one ends the oldest.
MAX_OF_TOKEN = 100


class SessionTable:
    """Sessions of browsers. The secret itself is not stored."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, session: Session) -> None:
        """Add a session, and delete those that had expired when it began.

        Tokens that were for them alone are deleted, too. Of the same token, delete all but the newest, too.
        """
        is_over = (tokens.c.is_session, tokens.c.expires_at < session.created_at)
        is_of_token = sessions.c.token == session.token
        order = sessions.c.created_at.desc(), sessions.c.digest
        newest_sessions = select(sessions.c.digest).where(is_of_token).order_by(*order).limit(MAX_OF_TOKEN - 1)
        with self._database.write() as connection:
            connection.execute(delete(sessions).where(sessions.c.ends_at < session.created_at))
            connection.execute(delete(tokens).where(*is_over, tokens.c.id.not_in(select(sessions.c.token))))
            connection.execute(delete(sessions).where(is_of_token, sessions.c.digest.not_in(newest_sessions)))
            connection.execute(insert(sessions).values(**make_row(session)))

    def find(self, digest: str) -> tuple[Session, Holder] | None:
        """The session of this digest, with its token and the token's principal; None for an unknown one."""
        with self._database.read() as connection:
            row = connection.execute(_SIGNED_IN, {"of": digest}).first()
            return None if row is None else (Session(*row[HOLDER_WIDTH:]), read_holder(row))

    def list_of_principal(self, principal: str) -> Sequence[Session]:
        """The sessions of a principal's tokens, newest first."""
        own_tokens = select(tokens.c.id).where(tokens.c.principal == principal)
        query = _SESSION.where(sessions.c.token.in_(own_tokens)).order_by(
            sessions.c.created_at.desc(), sessions.c.digest
        )
        with self._database.read() as connection:
            return [Session(**row) for row in connection.execute(query).mappings()]

    def mark_seen(self, digest: str, now: str) -> None:
        """Record when a session was last used."""
        with self._database.write() as connection:
            connection.execute(update(sessions).where(sessions.c.digest == digest).values(seen_at=now))

    def end(self, digest: str, now: str) -> None:
        """End a session. The first time stays."""
        change = update(sessions).where(sessions.c.digest == digest, sessions.c.ended_at.is_(None))
        with self._database.write() as connection:
            connection.execute(change.values(ended_at=now))
