"""Keep browsers signed in, by a token or an identity provider, for a while."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from dockgate.identity.model import Caller, Session, Token, hash_secret
from dockgate.services.clock import ServerClock
from dockgate.services.identity.people import People
from dockgate.shared.errors import ConflictError, NotFoundError, UnknownCallerError
from dockgate.shared.timestamps import format_time
from dockgate.store import Store

# A session ends after this time without a request, and at the latest after so many days.
IDLE_HOURS = 12
MOST_DAYS = 7
# How old `seen_at` may be: not every request is a write.
SEEN_MINUTES = 5
# An identity provider's groups count at sign-in: such a session ends sooner.
PROVIDER_HOURS = 24


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions of browsers, from sign-in to sign-out."""

    store: Store
    people: People
    clock: ServerClock

    def start(self, token_text: str) -> str:
        """Sign in with a token, and return the session's secret.

        Raises UnknownCallerError for an invalid token.
        """
        caller = self.people.authenticate(token_text)
        if caller.token is None:  # `authenticate` returns none: kept out for the type checker
            raise UnknownCallerError("that token is not valid", "Use a token of `dockgate token create`.")
        return self._open_session(caller.token)

    def start_for_principal(self, principal: str, key: str) -> str:
        """Sign in a principal whom an identity provider named, and return the session's secret.

        Raises ConflictError for a `key` that was used already.
        """
        now = self.clock()
        ends_at = format_time(now + timedelta(hours=PROVIDER_HOURS))
        # No one gets the token's secret: the session is all that it is for.
        unused_digest = hash_secret(secrets.token_hex(32))
        token = Token(hash_secret(key)[:12], principal, unused_digest, format_time(now), ends_at, is_session=True)
        try:
            self.store.tokens.add(token)
        except ConflictError:
            raise ConflictError("this sign-in was used already", "Sign in again.") from None
        return self._open_session(token)

    def _open_session(self, token: Token) -> str:
        secret, now = secrets.token_urlsafe(32), self.clock()
        ends_at = min(format_time(now + timedelta(days=MOST_DAYS)), token.expires_at)
        at = format_time(now)
        self.store.sessions.add(Session(hash_secret(secret), token.id, created_at=at, seen_at=at, ends_at=ends_at))
        return secret

    def authenticate(self, secret: str) -> Caller:
        """Return who signed in.

        Raises UnknownCallerError for a session that is unknown or over, or whose token is.
        """
        record = self.store.sessions.find(hash_secret(secret))
        if record is None or not self._is_active(record[0]):
            raise _make_not_signed_in_error()
        session, (token, principal, counts) = record
        now = self.clock.now()
        if not token.is_valid(now) or principal.disabled_at:
            raise _make_not_signed_in_error()
        if session.seen_at < format_time(self.clock() - timedelta(minutes=SEEN_MINUTES)):
            self.store.sessions.mark_seen(session.digest, now)
        return Caller(principal, token, counts=counts)

    def end(self, secret: str) -> None:
        """Sign out. Does nothing for an unknown session."""
        self._end(hash_secret(secret))

    def list_sessions(self, caller: Caller) -> Sequence[Session]:
        """List the caller's sessions that are not over, newest first.

        A token that is limited to some permissions or repositories reaches the sessions of its own alone.
        """
        token = caller.token
        own_token = token.id if token and (token.scopes or token.repositories or token.pipelines) else None
        return [
            session
            for session in self.store.sessions.list_of_principal(caller.name)
            if self._is_active(session) and own_token in (None, session.token)
        ]

    def require_session(self, caller: Caller, session_digest: str) -> None:
        """Raise NotFoundError unless this is a session of the caller that is not over."""
        if session_digest not in {session.digest for session in self.list_sessions(caller)}:
            raise NotFoundError("you have no such session", "Settings lists your sessions.")

    def end_session(self, caller: Caller, session_digest: str) -> None:
        """End a session of the caller. Raises NotFoundError for one that is not theirs."""
        self.require_session(caller, session_digest)
        self._end(session_digest)

    def _end(self, session_digest: str) -> None:
        now = self.clock.now()
        self.store.sessions.end(session_digest, now)
        record = self.store.sessions.find(session_digest)
        if record is not None and record[1].token.is_session:
            self.store.tokens.revoke(record[1].token.id, now)

    def _is_active(self, session: Session) -> bool:
        now = self.clock()
        return (
            session.ended_at is None
            and format_time(now) < session.ends_at
            and session.seen_at > format_time(now - timedelta(hours=IDLE_HOURS, minutes=SEEN_MINUTES))
        )


def _make_not_signed_in_error() -> UnknownCallerError:
    return UnknownCallerError("you are not signed in", "Sign in, or use a token of `dockgate token create`.")
