"""The registry's scanning configuration.

There is one for the whole account and region, so it is changed only on request, and restored.
"""

from typing import Any

from dockgate.aws.stack.account import Account, explain_errors
from dockgate.aws.stack.stack_bucket import StackBucket

_CONTINUAL = "CONTINUOUS_SCAN"


def enhance_scanning(account: Account, documents: StackBucket, repository: str) -> str:
    """Turn on Inspector's continuous scanning for this repository, in addition to existing rules.

    Returns a message. The earlier configuration is stored in `documents` before the change.
    """
    message = f"Inspector scans {repository}"
    before = _read_configuration(account)
    filters = {"filter": repository, "filterType": "WILDCARD"}
    is_enhanced = before.get("scanType") == "ENHANCED"
    rules = _add_rule(before.get("rules", []) if is_enhanced else [], filters)
    configuration = {"scanType": "ENHANCED", "rules": rules}
    if configuration == before:
        return message
    documents.remember_scanning(before, configuration)
    with explain_errors("having Inspector scan the registry"):
        account.get_client("ecr").put_registry_scanning_configuration(**configuration)
    if not is_enhanced and before.get("rules"):
        message += "; until then ECR's basic scanning is off in every repository: a registry has one of the two"
    return message


def restore_scanning(account: Account, documents: StackBucket) -> str | None:
    """Restore the earlier configuration; returns a message, None if we never changed it.

    A configuration that others changed since stays, and the message says so.
    """
    previous = documents.read_recorded_scanning()
    if previous is None:
        return None
    before, our_settings = previous
    now = _read_configuration(account)
    if now == before:
        return "the registry's scanning configuration is as it was"
    if now != our_settings:
        return (
            "the registry's scanning configuration was changed by others since, and is left as it is; "
            f"before the stack it was {before}"
        )
    with explain_errors("putting the registry's scanning configuration back"):
        account.get_client("ecr").put_registry_scanning_configuration(
            scanType=before.get("scanType", "BASIC"), rules=before.get("rules", [])
        )
    return "the registry's scanning configuration is as it was"


def _read_configuration(account: Account) -> dict[str, Any]:
    with explain_errors("reading the registry's scanning configuration"):
        configuration: dict[str, Any] = account.get_client("ecr").get_registry_scanning_configuration()[
            "scanningConfiguration"
        ]
    return configuration


def _add_rule(rules: list[dict[str, Any]], our_filter: dict[str, str]) -> list[dict[str, Any]]:
    """The rules with ours.

    ECR allows one rule per frequency: ours extends the filters of the continuous one.
    """
    if not any(rule["scanFrequency"] == _CONTINUAL for rule in rules):
        return [*rules, {"scanFrequency": _CONTINUAL, "repositoryFilters": [our_filter]}]
    return [
        {**rule, "repositoryFilters": [*rule["repositoryFilters"], our_filter]}
        if rule["scanFrequency"] == _CONTINUAL and our_filter not in rule["repositoryFilters"]
        else rule
        for rule in rules
    ]
