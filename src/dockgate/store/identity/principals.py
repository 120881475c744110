"""Principals, and the link by which the first one is added."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from dockgate.identity.model import Permission, Principal, ProjectRole, Role, Token
from dockgate.shared.errors import ConflictError, NotFoundError
from dockgate.store.engine import Database
from dockgate.store.queries import make_row, select_as
from dockgate.store.schema.identity import first_admin_links, identities, principals, sessions, tokens
from dockgate.store.statements import insert_if_new, lock_name

PRINCIPAL = select_as(Principal, principals)
_PRINCIPAL_OF_NAME = PRINCIPAL.where(principals.c.name == bindparam("of"))
_ALL_PRINCIPALS = PRINCIPAL.order_by(principals.c.folded)
_ANY_NAME = select(principals.c.name).limit(1)


class Principals:
    """Principals. Rows are never deleted, because the audit log names them.

    The last principal who may administer the server cannot be disabled and keeps that role (ConflictError).
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # Whether there was a principal: from then on there always is one.
        self._has_any = False

    def has_any(self) -> bool:
        """Return whether any principal was ever added. Asked with each request."""
        if not self._has_any:
            with self._database.read() as connection:
                self._has_any = _has_principals(connection)
        return self._has_any

    def add_first(self, principal: Principal, token: Token) -> None:
        """Add the first principal and its token, both or neither. ConflictError if a principal exists."""
        with self._database.write() as connection:
            _lock_all(connection)
            if _has_principals(connection):
                raise ConflictError("principals exist already", "Ask an admin to add you: `dockgate principal add`.")
            _add(connection, principal)
            connection.execute(insert(tokens).values(**make_row(token)))
            connection.execute(delete(first_admin_links))

    def add(self, principal: Principal) -> None:
        """Add a principal. ConflictError if the name is taken, ignoring case."""
        with self._database.write() as connection:
            _lock_all(connection)
            if not _add(connection, principal) and _find(connection, principal.name) != principal:
                raise ConflictError(
                    f"there is a principal {principal.name!r} already", "`dockgate principal list` lists them all."
                )

    def sign_in(self, issuer: str, subject: str, principal: Principal) -> Principal:
        """Return the principal of an identity, with the roles and address of `principal`.

        A new one is added. ConflictError if the name of a new one is taken, or if it would be the first principal and
        no admin.
        """
        with self._database.write() as connection:
            _lock_all(connection)
            name = _find_principal_of_identity(connection, issuer, subject)
            if name is not None:
                columns = ("roles", "project_roles", "email")
                return _update(connection, name, {column: getattr(principal, column) for column in columns})
            if not _has_principals(connection) and not principal.can(Permission.ADMINISTER):
                raise ConflictError(
                    "the first person who signs in must be an admin", "Sign in as a member of a group with that role."
                )
            if not _add(connection, principal):
                raise ConflictError(
                    f"the name {principal.name} belongs to another principal",
                    "Ask an admin: names are never linked to an identity provider by themselves.",
                )
            connection.execute(insert(identities).values(issuer=issuer, subject=subject, principal=principal.name))
            return principal

    def withdraw(self, issuer: str, subject: str) -> None:
        """Take the roles from the principal of an identity, if there is one."""
        with self._database.write() as connection:
            _lock_all(connection)
            name = _find_principal_of_identity(connection, issuer, subject)
            if name is not None:
                _update(connection, name, {"roles": (), "project_roles": ()})

    def get(self, name: str) -> Principal:
        """The principal with this name, disabled or not. Raises NotFoundError."""
        with self._database.read() as connection:
            return require_principal(connection, name)

    def list(self) -> Sequence[Principal]:
        """All principals, sorted by name."""
        with self._database.read() as connection:
            return [Principal(**row) for row in connection.execute(_ALL_PRINCIPALS).mappings()]

    def set_roles(self, name: str, roles: Sequence[Role], project_roles: Sequence[ProjectRole] = ()) -> Principal:
        """Replace the roles of a principal."""
        return self._change(name, {"roles": tuple(roles), "project_roles": tuple(project_roles)})

    def disable(self, name: str, now: str) -> Principal:
        """Disable a principal, and so its tokens. Its sessions end."""
        own_tokens = tokens.c.principal == name
        own_sessions = sessions.c.token.in_(select(tokens.c.id).where(own_tokens)), sessions.c.ended_at.is_(None)
        sign_ins = own_tokens, tokens.c.is_session, tokens.c.revoked_at.is_(None)
        with self._database.write() as connection:
            _lock_all(connection)
            principal = _update(connection, name, {"disabled_at": now})
            connection.execute(update(sessions).where(*own_sessions).values(ended_at=now))
            connection.execute(update(tokens).where(*sign_ins).values(revoked_at=now))
            return principal

    def enable(self, name: str) -> Principal:
        """Enable a disabled principal, and so its tokens that were not revoked."""
        return self._change(name, {"disabled_at": None})

    def _change(self, name: str, values: Mapping[str, Any]) -> Principal:
        with self._database.write() as connection:
            _lock_all(connection)
            return _update(connection, name, values)


class FirstAdminLinks:
    """The link by which the first administrator is added. There is at most one; its secret is not stored."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace(self, digest: str, expires_at: str) -> bool:
        """Make this the only link. Returns False, and does nothing, if there is a principal."""
        with self._database.write() as connection:
            _lock_all(connection)
            if _has_principals(connection):
                return False
            connection.execute(delete(first_admin_links))
            connection.execute(insert(first_admin_links).values(digest=digest, expires_at=expires_at))
            return True

    def is_valid(self, digest: str, now: str) -> bool:
        """Return whether this link may be used: it has not expired, and there is no principal yet."""
        query = select(first_admin_links.c.digest).where(
            first_admin_links.c.digest == digest, first_admin_links.c.expires_at > now
        )
        with self._database.read() as connection:
            return not _has_principals(connection) and connection.scalar(query) is not None


def _lock_all(connection: Connection) -> None:
    """Let no other transaction add or change principals.

    The first one, and the last administrator, depend on all.
    """
    lock_name(connection, principals, "")


def _has_principals(connection: Connection) -> bool:
    return connection.scalar(_ANY_NAME) is not None


def _add(connection: Connection, principal: Principal) -> bool:
    return insert_if_new(connection, principals, {**make_row(principal), "folded": principal.name.casefold()})


def _update(connection: Connection, name: str, values: Mapping[str, Any]) -> Principal:
    """Change a principal. ConflictError if no administrator would be left."""
    before = require_principal(connection, name)
    if values.get("disabled_at") and before.disabled_at:
        return before
    connection.execute(update(principals).where(principals.c.name == name).values(**values))
    if before.can(Permission.ADMINISTER) and not _has_administrator(connection):
        raise ConflictError(
            f"{name} is the last administrator of this server", "Make another principal an admin first."
        )
    return require_principal(connection, name)


def _find_principal_of_identity(connection: Connection, issuer: str, subject: str) -> str | None:
    query = select(identities.c.principal).where(identities.c.issuer == issuer, identities.c.subject == subject)
    name: str | None = connection.scalar(query)
    return name


def _find(connection: Connection, name: str) -> Principal | None:
    row = connection.execute(_PRINCIPAL_OF_NAME, {"of": name}).mappings().first()
    return None if row is None else Principal(**row)


def require_principal(connection: Connection, name: str) -> Principal:
    """The principal of this name. NotFoundError if it does not exist."""
    principal = _find(connection, name)
    if principal is None:
        raise NotFoundError(f"there is no principal {name!r}", "`dockgate principal list` lists them all.")
    return principal


def _has_administrator(connection: Connection) -> bool:
    all_principals = (Principal(**row) for row in connection.execute(PRINCIPAL).mappings())
    return any(principal.can(Permission.ADMINISTER) for principal in all_principals)
