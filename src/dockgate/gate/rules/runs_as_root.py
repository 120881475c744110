"""No images whose process starts as root."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dockgate.gate.model import Violation
from dockgate.gate.rule import Rule, RuleDependency, RuleInput, TimelessRule
from dockgate.gate.rules._settings import read_choice, require_known_keys
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.model import UndeterminedFact

_NAMED_CHOICES = ("undetermined", "allow")


class RunsAsRoot(TimelessRule):
    """Settings: `named`, for a user that the config names by a name other than "root".

    Only the image's own /etc/passwd knows its number: "undetermined" (the default, as in Kubernetes' `runAsNonRoot`) or
    "allow".

    `User` of the image spec's config is "user", "uid", "user:group" and so on; an empty one is the runtime's default,
    root.
    """

    name = "runs_as_root"
    dependency = RuleDependency.IMAGE
    schema: Mapping[str, Any] = {"properties": {"named": {"enum": list(_NAMED_CHOICES)}}}

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, ("named",))
        return {"named": read_choice("named", raw.get("named", _NAMED_CHOICES[0]), _NAMED_CHOICES)}

    @override
    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        outcome = "Undetermined" if settings["named"] == _NAMED_CHOICES[0] else "allowed"
        return ("The image does not start as root.", f"A user that is named without a number is {outcome}.")

    @override
    def judge(self, rule_input: RuleInput, settings: Mapping[str, object]) -> Iterator[Violation | UndeterminedFact]:
        if rule_input.is_external or not rule_input.inventory.layers:
            reason = "The user is not known: the image's config was not read."
            yield UndeterminedFact("/", reason, advice="Scan the image with Dockgate, which reads its config.")
            return
        user = (rule_input.inventory.user or "").partition(":")[0].strip()
        number = _parse_user_id(user)
        if user in ("", "root") or number == 0:
            name = rule_input.inventory.user or "root: its config sets no user"
            yield Violation(self.name, f"The image runs as {name}")
        elif number is None and settings["named"] == _NAMED_CHOICES[0]:
            reason = f"The image runs as {user}, and only its own /etc/passwd says whether that is root"
            advice = "Set the user by number in the Dockerfile (USER 1000), or set `named: allow` in the policy."
            yield UndeterminedFact("/", f"{reason}.", advice=advice)


RULE: Rule = RunsAsRoot()


def _parse_user_id(user: str) -> int | None:
    """The user id (32 bits) as runtimes read it: "+0" and "00" are 0. None for a name."""
    digits = user[1:] if user[:1] in ("+", "-") else user
    return int(digits[-30:]) % 2**32 if digits.isascii() and digits.isdigit() else None
