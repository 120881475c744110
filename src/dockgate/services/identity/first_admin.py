"""The link by which the first administrator is added: printed when the server starts, used once."""

import secrets
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dockgate.config import Settings
from dockgate.identity.model import hash_secret
from dockgate.services.identity.people import People
from dockgate.shared.errors import DeniedError
from dockgate.shared.timestamps import format_time
from dockgate.store import Store, open_store

LINK_PATH = "/first-admin"
LINK_MINUTES = 60


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """The link that adds the first administrator, while there are no principals."""

    store: Store
    people: People
    clock: Callable[[], datetime]

    def create_link(self) -> str | None:
        """Return the secret of a new link, the only one that works from now on; None if there is a principal."""
        secret = secrets.token_urlsafe(32)
        expires_at = format_time(self.clock() + timedelta(minutes=LINK_MINUTES))
        return secret if self.store.first_admin_links.replace(hash_secret(secret), expires_at) else None

    def require(self, secret: str) -> None:
        """Raise DeniedError unless this is the secret of the link."""
        if not self.store.first_admin_links.is_valid(hash_secret(secret), format_time(self.clock())):
            raise DeniedError(
                "this link is not valid: it was used or replaced, has expired, or there is an administrator already",
                "Run `dockgate principal add NAME --role admin` on the server's machine, or restart the server "
                "for a new link.",
            )

    def add(self, secret: str, name: str, email: str) -> str:
        """Add the administrator, and return the text of a token, which cannot be read again.

        Raises DeniedError for a wrong secret, UsageError for a wrong name or address, ConflictError if a principal was
        added meanwhile.
        """
        self.require(secret)
        return self.people.add_first(name, email)


def make_link(settings: Settings, url: str) -> str | None:
    """Return a new link of the server that runs with these settings at `url`; None if it has a principal.

    The caller must be able to read and write the server's tables.
    """
    with closing(open_store(settings.shared_data, settings.database_url)) as store:

        def now() -> datetime:
            return datetime.now(UTC)

        secret = FirstAdmin(store, People(store, now, settings.registry_names), now).create_link()
    return f"{url}{LINK_PATH}?key={secret}" if secret else None
