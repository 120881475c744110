"""The link by which the first administrator is added: printed when the server starts, used once."""

import secrets
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dockgate.config import Settings
from dockgate.identity.model import FIRST_ADMIN_LINK_MINUTES, Permission, Token, hash_secret
from dockgate.services.identity.people import TOKEN_DAYS, People, make_token_id
from dockgate.shared.errors import DeniedError
from dockgate.shared.timestamps import format_time
from dockgate.store import Store, open_store

LINK_PATH = "/first-admin"
# Where the form is sent that replaces the first administrator's token, and how long that token can be replaced.
REPLACEMENT_PATH = "/first-admin/token"
REPLACEMENT_MINUTES = 10


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """The link that adds the first administrator, while there are no principals."""

    store: Store
    people: People
    clock: Callable[[], datetime]

    def create_link(self) -> str | None:
        """Return the secret of a new link, the only one that works from now on; None if there is a principal."""
        secret = secrets.token_urlsafe(32)
        expires_at = format_time(self.clock() + timedelta(minutes=FIRST_ADMIN_LINK_MINUTES))
        return secret if self.store.first_admin_links.replace(hash_secret(secret), expires_at) else None

    def require(self, secret: str) -> None:
        """Raise DeniedError unless this is the secret of the link."""
        if not self.store.first_admin_links.is_valid(hash_secret(secret), format_time(self.clock())):
            raise DeniedError(
                "this link is not valid: it was used or replaced, has expired, or there is an administrator already",
                "Run `dockgate principal add NAME --role admin` on the server's machine, or restart the server "
                "for a new link.",
            )

    def add(self, secret: str, name: str, email: str, form_key: str | None = None) -> str:
        """Add the administrator, and return the text of a token, which cannot be read again.

        The `form_key` replaces the token for a while (`replace_token`).

        Raises DeniedError for a wrong secret, UsageError for a wrong name or address, ConflictError if a principal was
        added meanwhile.
        """
        self.require(secret)
        return self.people.add_first(name, email, make_first_token_key(form_key))

    def find_token(self, form_key: str | None) -> Token | None:
        """The token that the form with this key gave the first administrator, None for another form."""
        key = make_first_token_key(form_key)
        holder = self.store.tokens.find(make_token_id(key)) if key else None
        return holder.token if holder else None

    def is_replaceable(self, token: Token) -> bool:
        """Return whether a token of `find_token` is new enough to be replaced, and not revoked."""
        since = format_time(self.clock() - timedelta(minutes=REPLACEMENT_MINUTES))
        return token.revoked_at is None and since < token.created_at

    def replace_token(self, earlier_key: str | None, form_key: str | None) -> str:
        """Revoke the token that the form `earlier_key` made, and return the text of a new one.

        For a person who sent that form, and did not see the token. Only their page has its key, which is random.
        Raises DeniedError for another key, and for a token that was revoked or is older than REPLACEMENT_MINUTES,
        TokenIssuedError if the form `form_key` has made a token already.
        """
        earlier_token, key = self.find_token(earlier_key), make_first_token_key(form_key)
        if self.find_token(form_key) is None and (earlier_token is None or not self.is_replaceable(earlier_token)):
            raise DeniedError(
                "this token cannot be replaced any more",
                "Run `dockgate token create NAME --local` on the server's machine.",
            )
        if earlier_token is None or not self.store.principals.get(earlier_token.principal).can(Permission.ADMINISTER):
            raise DeniedError("this token is no administrator's", "Ask an admin for a token.")
        _, text = self.people.issue(earlier_token.principal, TOKEN_DAYS, key=key)
        self.people.revoke(earlier_token.id)
        return text


def make_first_token_key(form_key: str | None) -> str | None:
    """The key of the token that a form gives the first administrator, None for a form without key.

    No key of `People.issue` begins like that: those of the API begin with a principal's name.
    """
    return f"/first/{form_key}" if form_key else None


def make_link(settings: Settings, url: str) -> str | None:
    """Return a new link of the server that runs with these settings at `url`; None if it has a principal.

    The caller must be able to read and write the server's tables.
    """
    with closing(open_store(settings.shared_data, settings.database_url)) as store:

        def now() -> datetime:
            return datetime.now(UTC)

        secret = FirstAdmin(store, People(store, now, settings.registry_names), now).create_link()
    return f"{url}{LINK_PATH}?key={secret}" if secret else None
