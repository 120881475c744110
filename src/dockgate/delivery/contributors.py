"""Who may not approve what an execution builds: everybody who pushed, authored or committed part of it, or started it.

Pure. Principals count by their name, because the server knows who pushed. Author and committer addresses are what a
commit claims: they can exclude somebody, and never let anybody in.
"""

import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from dockgate.identity.model import Principal

DOTLESS = frozenset({"gmail.com", "googlemail.com"})
"""mail domains at which dots in the local part mean nothing"""
NO_OBJECT = "0" * 40
"""the object id of a reference that does not exist"""


@dataclass(frozen=True, slots=True)
class PushRecord:
    """One reference that a push asked to change or changed. `push` names the push, `principal` and `email` are who
    pushed, as they were then ("local" before there were principals). `accepted` is False until git has moved the
    reference: it stays so where the server died in between."""

    push: str
    repository: str
    ref: str
    old: str
    new: str
    principal: str
    email: str
    token: str
    at: str
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class Pusher:
    """Who brought a commit into a repository, with the e-mail address that they had then ("" for none)."""

    principal: str
    email: str


@dataclass(frozen=True, slots=True)
class Contributors:
    """`names` are principals, `emails` addresses. `unknown` is why it cannot be said who contributed, "" if it can."""

    names: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    unknown: str = ""

    @classmethod
    def of(cls, names: Iterable[str], emails: Iterable[str], unknown: str = "") -> "Contributors":
        """Each once, in order; addresses as `normalized` writes them, without what is none."""
        known = dict.fromkeys(normalized(one) for one in emails)
        return cls(tuple(dict.fromkeys(filter(None, names))), tuple(one for one in known if "@" in one), unknown)

    @property
    def listed(self) -> tuple[str, ...]:
        return *self.names, *self.emails

    def objection(self, principal: Principal) -> str:
        """Why this principal may not approve, "" if they may."""
        if is_contributor(principal, self.listed):
            return f"{principal.name} is the committer, pushed part of it, or started the execution"
        if self.unknown:
            return f"it is not known who contributed: {self.unknown}"
        if not principal.email:
            return f"{principal.name} has no e-mail address, by which a committer would be known"
        return ""


def is_contributor(principal: Principal, contributors: Iterable[str]) -> bool:
    """Whether the principal is among these names and e-mail addresses. A name that is an address counts as one, too."""
    listed = tuple(contributors)
    if principal.name in listed:
        return True
    emails = {normalized(one) for one in listed if "@" in one}
    return any("@" in one and normalized(one) in emails for one in (principal.email, principal.name))


def normalized(email: str) -> str:
    """An e-mail address without what may differ between two spellings of one mailbox: case, compatibility characters,
    surrounding spaces, what follows "+" in the local part, dots at Google, and international domains as ASCII."""
    text = unicodedata.normalize("NFKC", email).strip().strip("<>").strip().casefold()
    local, at, domain = text.rpartition("@")
    if not at:
        return text
    domain = domain.rstrip(".")
    with suppress(UnicodeError):  # no name of a domain: compared as it is
        domain = domain.encode("idna").decode()
    local = local.partition("+")[0] or local
    if domain in DOTLESS:
        local, domain = local.replace(".", ""), "gmail.com"
    return f"{local}@{domain}"
