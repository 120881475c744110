"""Decide who contributed to an execution and therefore may not approve it.

Everyone who pushed, authored or committed part of it, started it or retried it is a contributor. The server knows who
pushed, so principals count by name. A commit claims its author and committer addresses: they can exclude a principal,
and never admit one.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from dockgate.identity.model import Principal

# Mail domains that ignore dots in the local part.
DOTLESS = frozenset({"gmail.com", "googlemail.com"})
# The object id of a reference that does not exist.
NO_OBJECT = "0" * 40

# Reasons to refuse a principal's vote; their name goes before.
IS_CONTRIBUTOR = "contributed to this image (commit, push or start)"
HAS_NO_EMAIL = "has no e-mail address to compare with those of the commits"


@dataclass(frozen=True, slots=True)
class PushRecord:
    """A change of one reference that a push asked for.

    `push` identifies the push. `principal` and `email` are who pushed, as of then ("local" before the server had
    principals). `is_accepted` is False until git has moved the reference, and stays so if the server died before.
    """

    push: str
    repository: str
    ref: str
    old: str
    new: str
    principal: str
    email: str | None
    token: str | None
    at: str
    is_accepted: bool = False


@dataclass(frozen=True, slots=True)
class Pusher:
    """The pusher of a commit to a repository, with the e-mail address of that time."""

    principal: str
    email: str | None


@dataclass(frozen=True, slots=True)
class Contributors:
    """The contributors of an execution.

    `names` are principals, `emails` addresses. `unknown_reason` is why the contributors cannot be determined.
    """

    names: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    unknown_reason: str | None = None

    @classmethod
    def from_names(cls, names: Iterable[str], emails: Iterable[str], unknown: str | None = None) -> "Contributors":
        """Contributors without duplicates, in order. Addresses are normalized; text without "@" is dropped."""
        addresses = dict.fromkeys(normalize_email(email) for email in emails)
        unique_names = tuple(dict.fromkeys(filter(None, names)))
        return cls(unique_names, tuple(address for address in addresses if "@" in address), unknown)

    @property
    def names_and_emails(self) -> tuple[str, ...]:
        """Names and e-mail addresses in one list."""
        return *self.names, *self.emails

    def find_objection(self, principal: Principal) -> str | None:
        """Return why this principal may not approve, None if they may."""
        if is_contributor(principal, self.names_and_emails):
            return f"{principal.name} {IS_CONTRIBUTOR}"
        if self.unknown_reason:
            return f"the contributors are unknown: {self.unknown_reason}"
        if not principal.email:
            return f"{principal.name} {HAS_NO_EMAIL}"
        return None


def is_contributor(principal: Principal, contributors: Iterable[str]) -> bool:
    """Return whether the principal is among these names and e-mail addresses.

    A principal's name that is an address is compared as an address, too.
    """
    entries = tuple(contributors)
    if principal.name in entries:
        return True
    emails = {normalize_email(entry) for entry in entries if "@" in entry}
    return any(
        "@" in entry and normalize_email(entry) in emails for entry in (principal.email, principal.name) if entry
    )


def find_same_person(principal: Principal, candidates: Iterable[Principal]) -> Principal | None:
    """Return the first of the candidates that has the principal's name or mailbox, or None."""
    return next(
        (
            candidate
            for candidate in candidates
            if is_contributor(principal, filter(None, (candidate.name, candidate.email)))
        ),
        None,
    )


def select_people(principals: Iterable[Principal]) -> Sequence[Principal]:
    """Return the principals without those that have the name or the mailbox of one before them."""
    people: list[Principal] = []
    for principal in principals:
        if find_same_person(principal, people) is None:
            people.append(principal)
    return people


def normalize_email(email: str) -> str:
    """One spelling for all addresses of a mailbox.

    Removes differences of case, compatibility characters, surrounding spaces, "+" suffixes, and dots at Google; writes
    international domains as ASCII.
    """
    text = unicodedata.normalize("NFKC", email).strip().strip("<>").strip().casefold()
    local, separator, domain = text.rpartition("@")
    if not separator:
        return text
    domain = domain.rstrip(".")
    with suppress(UnicodeError):  # not a valid domain name: compared unchanged
        domain = domain.encode("idna").decode()
    local = local.partition("+")[0] or local
    if domain in DOTLESS:
        local, domain = local.replace(".", ""), "gmail.com"
    return f"{local}@{domain}"
