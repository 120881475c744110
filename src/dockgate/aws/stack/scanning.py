"""The registry's scanning configuration: one for the whole account and region, so that it is changed only when asked,
and put back as it was."""

from typing import Any

from dockgate.aws.stack.account import Account, told
from dockgate.aws.stack.documents import Documents


def enhance(account: Account, documents: Documents, repository: str) -> None:
    """Has Inspector scan this repository at each push and continually, beside what is scanned already."""
    ecr = account.client("ecr")
    with told("reading the registry's scanning configuration"):
        before = ecr.get_registry_scanning_configuration()["scanningConfiguration"]
    documents.remember(before)
    wanted = {
        "scanFrequency": "CONTINUOUS_SCAN",
        "repositoryFilters": [{"filter": repository, "filterType": "WILDCARD"}],
    }
    rules = [rule for rule in before.get("rules", []) if before.get("scanType") == "ENHANCED"]
    if wanted in rules:
        return
    with told("having Inspector scan the registry"):
        ecr.put_registry_scanning_configuration(scanType="ENHANCED", rules=_joined(rules, repository))


def restore(account: Account, documents: Documents) -> bool:
    """Puts back what was there before us; False when we never changed it."""
    before = documents.remembered()
    if before is None:
        return False
    with told("putting the registry's scanning configuration back"):
        account.client("ecr").put_registry_scanning_configuration(
            scanType=before.get("scanType", "BASIC"), rules=before.get("rules", [])
        )
    return True


def _scanned(rules: list[dict[str, Any]], repository: str) -> bool:
    ours = {"filter": repository, "filterType": "WILDCARD"}
    return any(rule["scanFrequency"] == "CONTINUOUS_SCAN" and ours in rule["repositoryFilters"] for rule in rules)


def _joined(rules: list[dict[str, Any]], repository: str) -> list[dict[str, Any]]:
    """ECR takes one rule for each frequency: ours joins the filters of the one for continual scans."""
    ours = {"filter": repository, "filterType": "WILDCARD"}
    continual = next((rule for rule in rules if rule["scanFrequency"] == "CONTINUOUS_SCAN"), None)
    others = [rule for rule in rules if rule is not continual]
    filters = [*(continual or {}).get("repositoryFilters", []), ours]
    return [*others, {"scanFrequency": "CONTINUOUS_SCAN", "repositoryFilters": filters}]
