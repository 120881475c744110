"""Names of repositories in Amazon ECR, with and without the registry.

A private registry is ACCOUNT.dkr.ecr.REGION.DOMAIN, or ACCOUNT.dkr-ecr.REGION.on.aws over IPv6 (ECR's user guide,
"Private registry"). The APIs of Inspector and ECR use the repository name only.
"""

import re

from dockgate.shared.errors import UsageError

_QUALIFIED_NAME = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+/(?P<name>.+)"
)


def strip_registry(name: str, account: str, region: str) -> str:
    """The repository's name without this account's registry in this region.

    Raises UsageError for a name with another ECR registry, whose images cannot be looked up.
    """
    match = _QUALIFIED_NAME.fullmatch(name)
    if match is None:
        return name
    if (match["account"], match["region"]) != (account, region):
        raise UsageError(
            f"the repository {name} is in the registry of the account {match['account']} in {match['region']}, not in "
            f"{account}'s in {region}",
            f"Name a repository of that registry, without the registry in front: {match['name']}.",
        )
    return match["name"]
