"""API tokens of principals."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, func, select, update

from dockgate.identity.model import DeliveryCounts, Principal, Token
from dockgate.shared.errors import ConflictError, NotFoundError
from dockgate.store.engine import Database
from dockgate.store.identity.principals import PRINCIPAL, require_principal
from dockgate.store.queries import count_rows, find_sort_column, make_after_row_conditions, make_row, select_as
from dockgate.store.schema.delivery import pipelines, repositories
from dockgate.store.schema.identity import principals, tokens
from dockgate.store.statements import insert_if_new

_TOKEN = select_as(Token, tokens)
# A token with its principal, for `read_holder`.
HOLDER = _TOKEN.add_columns(
    *PRINCIPAL.selected_columns,
    *(select(func.count()).select_from(table).scalar_subquery() for table in (pipelines, repositories)),
).join(principals, principals.c.name == tokens.c.principal)
_HOLDER_OF_TOKEN = HOLDER.where(tokens.c.id == bindparam("of"))
_TOKEN_FIELDS = len(fields(Token))
_PRINCIPAL_END = _TOKEN_FIELDS + len(fields(Principal))
# Columns of `HOLDER`.
HOLDER_WIDTH = _PRINCIPAL_END + len(DeliveryCounts._fields)


class Holder(NamedTuple):
    """A token, its principal, and what a caller's projects follow from."""

    token: Token
    principal: Principal
    counts: DeliveryCounts


class Tokens:
    """API tokens. The secret itself is not stored."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, token: Token) -> None:
        """Add a token. ConflictError if another one has its id."""
        with self._database.write() as connection:
            require_principal(connection, token.principal)
            if not insert_if_new(connection, tokens, make_row(token)):
                present_row = connection.execute(_TOKEN.where(tokens.c.id == token.id)).mappings().one()
                if Token(**present_row) != token:
                    raise ConflictError(f"there is another token {token.id!r}", "Create the token again.")

    def find(self, token_id: str) -> Holder | None:
        """A token with its principal, None for an unknown token."""
        with self._database.read() as connection:
            row = connection.execute(_HOLDER_OF_TOKEN, {"of": token_id}).first()
            return None if row is None else read_holder(row)

    def list(
        self, principal: str | None = None, limit: int = 100, after: str | None = None, *, is_newest_first: bool = True
    ) -> Sequence[Token]:
        """Tokens of one principal or of all, in the order they were made.

        `after` is the id of the one before.
        """
        order = find_sort_column(tokens.c.seq, is_newest_first)
        query = (
            _select_tokens(principal)
            .where(*make_after_row_conditions(tokens, after, is_newest_first))
            .order_by(order)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [Token(**row) for row in connection.execute(query).mappings()]

    def count(self, principal: str | None, limit: int) -> int:
        """The number of tokens of one principal or of all, at most `limit`."""
        with self._database.read() as connection:
            return count_rows(connection, _select_tokens(principal), limit)

    def mark_used(self, token_id: str, now: str) -> None:
        """Record when a token was last used."""
        with self._database.write() as connection:
            connection.execute(update(tokens).where(tokens.c.id == token_id).values(last_used_at=now))

    def revoke(self, token_id: str, now: str) -> Token:
        """Revoke a token. An earlier revocation keeps its time."""
        change = update(tokens).where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None)).values(revoked_at=now)
        with self._database.write() as connection:
            connection.execute(change)
            row = connection.execute(_TOKEN.where(tokens.c.id == token_id)).mappings().first()
            if row is None:
                raise NotFoundError(f"there is no token {token_id!r}", "`dockgate token list` lists them all.")
            return Token(**row)


def _select_tokens(principal: str | None) -> Select[Any]:
    return _TOKEN if principal is None else _TOKEN.where(tokens.c.principal == principal)


def read_holder(row: Sequence[Any]) -> Holder:
    """The token and the principal of a row that begins with the columns of `HOLDER`."""
    return Holder(
        Token(*row[:_TOKEN_FIELDS]),
        Principal(*row[_TOKEN_FIELDS:_PRINCIPAL_END]),
        DeliveryCounts(*row[_PRINCIPAL_END:HOLDER_WIDTH]),
    )
