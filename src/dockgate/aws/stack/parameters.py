"""The template's parameters, and values from the command line."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import resources

import yaml

from dockgate.aws import ecr_registry
from dockgate.aws.stack.account import Account
from dockgate.shared.errors import UsageError

# Parameters that `deploy_stack` sets itself, each with the alternative.
FILLED_IN = {
    "ApprovalPipelines": "Give ApprovalActions, PIPELINE/STAGE/ACTION.",
    "ArchiveBucket": "The archive is uploaded to the bucket of the stack.",
    "ArchiveKey": "The archive is uploaded to the bucket of the stack.",
    "PolicyKey": "Give --policy.",
    "PolicyParameter": "Give --policy ssm:/NAME.",
    "WaiversKey": "Give --waivers.",
    "SourceKey": "The repository starts with the demo's application.",
    "ServiceImage": "It is asked of ECS.",
}


def read_template() -> str:
    """The CloudFormation template as it is deployed."""
    return resources.files("dockgate.aws.stack").joinpath("template.yaml").read_text("utf-8")


@cache
def list_names() -> tuple[str, ...]:
    """The names of the template's parameters."""
    return tuple(yaml.load(read_template(), _Template)["Parameters"])  # noqa: S506 - a safe loader, and our own file


def parse_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """Parse NAME=VALUE items.

    Raises UsageError for a name that the template does not have, and for one that `deploy_stack` sets itself.
    """
    values: dict[str, str] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{text!r} is not a parameter", "Write NAME=VALUE.")
        if name in FILLED_IN:
            raise UsageError(f"the parameter {name} is filled in by `dockgate aws deploy`", FILLED_IN[name])
        if name not in list_names():
            near_names = get_close_matches(name, list_names(), n=1)
            advice = f"Did you mean {near_names[0]}? " if near_names else ""
            raise UsageError(
                f"the template has no parameter {name!r}", f"{advice}`dockgate aws template` shows all of them."
            )
        values[name] = value
    return values


_REPOSITORY = "REPOSITORY"
_REPOSITORIES = ("ImageRepositories", "ImageRepositoryName")


def expand_arns(account: Account, values: Mapping[str, str]) -> dict[str, str]:
    """The parameters with PIPELINE/STAGE/ACTION, CLUSTER/SERVICE and REPOSITORY expanded to ARNs.

    Of this account and region. Repositories may have this account's registry in front; another registry is a
    UsageError.
    """
    prefix = f"{account.region}:{account.id}"
    kinds = {
        "ApprovalActions": (f"arn:{account.partition}:codepipeline:{prefix}:", "PIPELINE/STAGE/ACTION"),
        "RunningServices": (f"arn:{account.partition}:ecs:{prefix}:service/", "CLUSTER/SERVICE"),
        "ImageRepositories": (f"arn:{account.partition}:ecr:{prefix}:repository/", _REPOSITORY),
    }
    expanded_values = dict(values)
    for name, value in values.items():
        if value and name in _REPOSITORIES:
            repositories = (part.strip() for part in value.split(","))
            expanded_values[name] = ",".join(
                ecr_registry.strip_registry(part, account.id, account.region) for part in repositories
            )
        if value and name in kinds:
            expanded_values[name] = _expand_value(expanded_values[name], *kinds[name], name)
    return expanded_values


def list_pipelines(actions: str) -> str:
    """The pipeline ARNs, each once, of a comma-separated list of ARNs of approval actions."""
    return ",".join(dict.fromkeys(action.partition("/")[0] for action in actions.split(",") if action))


def _expand_value(value: str, head: str, shape: str, name: str) -> str:
    parts = r"/".join([r"[^/:*\s]+"] * (shape.count("/") + 1))
    if shape == _REPOSITORY:  # whose name may have slashes in it
        parts = rf"{parts}(?:/{parts})*"
    services = []
    for item in filter(None, (part.strip() for part in value.split(","))):
        text = item.removeprefix(head)
        if not re.fullmatch(parts, text):
            raise UsageError(
                f"{name} has the invalid entry {item!r}",
                f"Write {shape}, or an ARN that begins with {head}; separate several by commas.",
            )
        services.append(head + text)
    return ",".join(services)


class _Template(yaml.SafeLoader):
    """A loader that reads CloudFormation's short forms (!Ref, !Sub) as null: only plain keys are needed."""


_Template.add_multi_constructor("!", lambda loader, tag, node: None)
