"""The result of one check of the host that a server runs on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check of the host.

    `needed_for` is "server", "builds" or "deploys", `advice` says how to add what is missing, None for none.
    """

    name: str
    is_ok: bool
    detail: str
    needed_for: str
    advice: str | None = None
