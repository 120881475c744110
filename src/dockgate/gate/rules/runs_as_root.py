"""Images whose process starts as root."""

from collections.abc import Iterator, Mapping
from typing import Any

from dockgate.gate.model import Violation
from dockgate.gate.rule import Facts, Rule
from dockgate.gate.rules._settings import known, one_of
from dockgate.vulnerabilities.model import Undetermined

_NAMED = ("undetermined", "allow")


class RunsAsRoot:
    """Settings: `named` says what follows where the config names its user by a name other than "root", of which
    only the image's own /etc/passwd says who it is: "undetermined" (the default, as Kubernetes' `runAsNonRoot` has it)
    or "allow".

    `User` of the image spec's config is "user", "uid", "user:group" and so on; "" is the runtime's default, root.
    """

    name = "runs_as_root"
    always: Mapping[str, object] | None = None
    looks_at: tuple[str, ...] = ()
    schema: Mapping[str, Any] = {"properties": {"named": {"enum": list(_NAMED)}}}

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, ("named",))
        return {"named": one_of("named", given.get("named", _NAMED[0]), _NAMED)}

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ()

    def judge(self, facts: Facts, settings: Mapping[str, object]) -> Iterator[Violation | Undetermined]:
        if facts.reported or not facts.inventory.layers:
            reason = "The image's config was not read, so it is not known as whom it runs."
            yield Undetermined("/", reason, advice="Scan the image with Dockgate, which reads its config.")
            return
        user = facts.inventory.user.partition(":")[0].strip()
        number = _number(user)
        if user in ("", "root") or number == 0:
            told = f"as {facts.inventory.user}" if facts.inventory.user else "as root, for it names no user"
            yield Violation(self.name, f"The image runs {told}")
        elif number is None and settings["named"] == _NAMED[0]:
            reason = f"The image runs as {user}, which only its own /etc/passwd says not to be root"
            advice = "Name the user by number in the Dockerfile (USER 1000), or set `named: allow` in the policy."
            yield Undetermined("/", f"{reason}.", advice=advice)


RULE: Rule = RunsAsRoot()


def _number(user: str) -> int | None:
    """The user's number as runtimes read it ("+0" and "00" are 0), which have 32 bits for it; None for a name."""
    digits = user[1:] if user[:1] in ("+", "-") else user
    return int(digits[-30:]) % 2**32 if digits.isascii() and digits.isdigit() else None
