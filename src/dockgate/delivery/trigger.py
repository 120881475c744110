"""What started an execution and who, as texts by name. They are stored with the execution. Pure."""

from collections.abc import Iterable, Mapping

_FRESH_BUILD = {"fresh": "yes"}
_STARTED_BY, _RETRIED_BY, _RULES = "started_by", "retried_by", "rules"
# Before the name of a variable that a rule hands on.
_VARIABLE_PREFIX = "variable."


def make_manual_trigger(started_by: str | None, *, is_fresh: bool = False) -> dict[str, str]:
    """The trigger of an execution that a principal started (None: the server has no principals yet)."""
    return {"cause": "started by hand", **_name_starter(started_by), **(_FRESH_BUILD if is_fresh else {})}


def make_fix_trigger(fix: str, repository: str, branch: str, commit: str) -> dict[str, str]:
    """The trigger of an execution that builds a commit again because that fixes its image."""
    cause = f"a rebuild, fix {fix}"
    return {"cause": cause, "fix": fix, "repository": repository, "branch": branch, "commit": commit, **_FRESH_BUILD}


def make_rule_trigger(
    rules: Iterable[str], rule: str, event: str, variables: Mapping[str, str], author: str | None
) -> dict[str, str]:
    """The trigger of an execution that a rule started because of an event.

    `rules` led to it, in their order, the rule itself last; their names contain no comma. `author` wrote the rule.
    """
    return {
        **{f"{_VARIABLE_PREFIX}{name}": value for name, value in variables.items()},
        "cause": f"the rule {rule}",
        "event": event,
        _RULES: _join_names(rules),
        **_name_starter(author),
    }


def is_fresh(trigger: Mapping[str, str]) -> bool:
    """Return whether the builds of an execution take nothing from earlier builds."""
    return trigger.items() >= _FRESH_BUILD.items()


def add_retrier(trigger: Mapping[str, str], retried_by: str | None) -> dict[str, str]:
    """Add a principal who retried the execution to its trigger. Names of principals contain no comma."""
    names = dict.fromkeys(filter(None, [*_split_names(trigger, _RETRIED_BY), retried_by]))
    return {**trigger, **({_RETRIED_BY: _join_names(names)} if names else {})}


def list_starters(trigger: Mapping[str, str]) -> tuple[str, ...]:
    """Return the principals who pushed the commit that triggered an execution, started it, or retried it."""
    names = [trigger.get("by", ""), trigger.get(_STARTED_BY, ""), *_split_names(trigger, _RETRIED_BY)]
    return tuple(dict.fromkeys(filter(None, names)))


def list_rules(trigger: Mapping[str, str]) -> tuple[str, ...]:
    """Return the rules that led to an execution, in their order."""
    return _split_names(trigger, _RULES)


def _name_starter(name: str | None) -> dict[str, str]:
    return {_STARTED_BY: name} if name else {}


def _join_names(names: Iterable[str]) -> str:
    return ",".join(names)


def _split_names(trigger: Mapping[str, str], key: str) -> tuple[str, ...]:
    return tuple(filter(None, trigger.get(key, "").split(",")))
