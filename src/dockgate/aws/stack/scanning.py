"""The registry's scanning configuration: one for the whole account and region, so that it is changed only when asked,
and put back as it was."""

from typing import Any

from dockgate.aws.stack.account import Account, explain_errors
from dockgate.aws.stack.documents import Documents

_CONTINUAL = "CONTINUOUS_SCAN"


def enhance(account: Account, documents: Documents, repository: str) -> str:
    """Has Inspector scan this repository at each push and continually, beside what it scans already. What was there is
    kept in `documents` before anything is changed. Returns a message for people."""
    message = f"Inspector scans {repository}"
    before = _now(account)
    filters = {"filter": repository, "filterType": "WILDCARD"}
    enhanced = before.get("scanType") == "ENHANCED"
    rules = _with(before.get("rules", []) if enhanced else [], filters)
    configuration = {"scanType": "ENHANCED", "rules": rules}
    if configuration == before:
        return message
    documents.remember_scanning(before, configuration)
    with explain_errors("having Inspector scan the registry"):
        account.client("ecr").put_registry_scanning_configuration(**configuration)
    if not enhanced and before.get("rules"):
        message += "; meanwhile ECR's own basic scanning rests, in every repository: a registry has one of the two"
    return message


def restore(account: Account, documents: Documents) -> str:
    """Puts back what was there before us; "" when we never changed it.

    If it was changed since, it is not touched, and the message says so: restoring it would undo
    their change."""
    previous = documents.scanning()
    if previous is None:
        return ""
    before, ours = previous
    now = _now(account)
    if now == before:
        return "the registry's scanning configuration is as it was"
    if now != ours:
        return (
            "the registry's scanning configuration was changed by others since, and is left as it is; "
            f"before the stack it was {before}"
        )
    with explain_errors("putting the registry's scanning configuration back"):
        account.client("ecr").put_registry_scanning_configuration(
            scanType=before.get("scanType", "BASIC"), rules=before.get("rules", [])
        )
    return "the registry's scanning configuration is as it was"


def _now(account: Account) -> dict[str, Any]:
    with explain_errors("reading the registry's scanning configuration"):
        configuration: dict[str, Any] = account.client("ecr").get_registry_scanning_configuration()[
            "scanningConfiguration"
        ]
    return configuration


def _with(rules: list[dict[str, Any]], ours: dict[str, str]) -> list[dict[str, Any]]:
    """ECR takes one rule for each frequency: ours joins the filters of the one for continual scans."""
    if not any(rule["scanFrequency"] == _CONTINUAL for rule in rules):
        return [*rules, {"scanFrequency": _CONTINUAL, "repositoryFilters": [ours]}]
    return [
        {**rule, "repositoryFilters": [*rule["repositoryFilters"], ours]}
        if rule["scanFrequency"] == _CONTINUAL and ours not in rule["repositoryFilters"]
        else rule
        for rule in rules
    ]
