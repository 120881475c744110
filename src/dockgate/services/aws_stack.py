"""The use cases of `dockgate aws`: template, archive, policy and stack."""

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

from dockgate.aws import ecr_registry
from dockgate.aws.stack import archive, change_set, cloudformation, deploy, parameters
from dockgate.aws.stack.account import Account, explain_errors
from dockgate.aws.stack.archive import pack_first_commit
from dockgate.aws.stack.change_set import Confirm
from dockgate.aws.stack.cloudformation import Patience, ReportProgress
from dockgate.aws.stack.stack_bucket import StackBucket
from dockgate.gate import rules
from dockgate.gate.model import ExemptionSet, Policy, Waiver
from dockgate.gate.policy import decode_policy, encode_policy
from dockgate.services.local_gate import load_policy
from dockgate.shared.aws_locations import S3Location, SsmParameter, parse_document
from dockgate.shared.errors import DefinitionError, DockgateError, UsageError

_DEFAULT = "default"
_ADVICE = "Put there what `dockgate aws policy FILE` writes, byte for byte; or deploy with the YAML file."


def build_archive(policy: str) -> bytes:
    """Build the functions' archive with this policy: a name, or a YAML file.

    Raises what `load_policy` does, and UsageError naming the rules that cannot run in it.
    """
    return archive.build_archive(load_policy(policy), rules.load())


def encode_policy_document(policy: str) -> bytes:
    """Encode this policy, a name or a YAML file, for the functions. Raises as `build_archive` does."""
    policy_to_store = load_policy(policy)
    archive.refuse_policy(policy_to_store, rules.load())
    return encode_policy(policy_to_store)


def deploy_stack(
    account: Account,
    stack: str,
    policy: str | None,
    waivers: Path | None,
    given_parameters: Sequence[str],
    should_manage_scanning: bool,
    report_progress: ReportProgress,
    patience: Patience | None = None,
    confirm: Confirm = change_set.refuse_losses,
) -> bool:
    """Deploy the stack; False when nothing changed. `confirm` is called before an update that loses data.

    `policy` is a name, a YAML file, s3://BUCKET/KEY or ssm:/NAME; None is the stack's present policy, and the default
    policy for a new stack. All arguments are checked before anything is changed.
    """
    deploy.check_name(stack)
    values = parameters.parse_assignments(given_parameters)
    stored_waivers = _read_waivers(account, waivers) if waivers else None
    stored_policy, parameter = _read_policy(account, policy) if policy else _read_present_policy(account, stack)
    archive.refuse_policy(stored_policy, rules.load())
    spec = deploy.StackSpec(
        stack=stack,
        archive=archive.build_archive(load_policy(_DEFAULT), rules.load()),
        first_commit=pack_first_commit(resources.files("dockgate.demo").joinpath("app")),
        policy=None if parameter else stored_policy,
        policy_parameter=parameter,
        waivers=stored_waivers,
        parameters=values,
        should_manage_scanning=should_manage_scanning,
    )
    return deploy.deploy_stack(account, spec, report_progress, patience, confirm)


def _read_policy(account: Account, location: str) -> tuple[Policy, str | None]:
    """The policy, and the name of its SSM parameter where it is to be read from there (None otherwise)."""
    document = parse_document(location)
    if document is None:
        return load_policy(location), None
    if isinstance(document, S3Location):
        with explain_errors(f"reading {location}"):
            body = account.get_client("s3").get_object(Bucket=document.bucket, Key=document.key)["Body"].read()
        return _read(body, location), None
    if not document.name.startswith("/"):
        raise UsageError(f"{location!r} names no SSM parameter", "Write ssm:/NAME, with a slash in front of the name.")
    with explain_errors(f"reading the parameter {document.name}"):
        answer = account.get_client("ssm").get_parameter(Name=document.name, WithDecryption=True)
    return _read(str(answer["Parameter"]["Value"]).encode(), location), document.name


def _read_present_policy(account: Account, stack: str) -> tuple[Policy, str | None]:
    """Return the policy that the stack has: its rules have to be there in a new archive, too."""
    description = cloudformation.describe_stack(account, stack)
    stack_parameters = cloudformation.read_parameters(description) if description else {}
    if name := stack_parameters.get("PolicyParameter"):
        return _read_policy(account, str(SsmParameter(name)))
    if key := stack_parameters.get("PolicyKey"):
        documents = StackBucket(account, stack)
        return _read(documents.read(key), str(S3Location(documents.bucket, key))), None
    return load_policy(_DEFAULT), None


def _read(body: bytes, location: str) -> Policy:
    """A policy in canonical form, whose settings are in full and taken by their rules. Raises UsageError."""
    rules_by_name = {rule.name: rule for rule in rules.load()}
    try:
        policy = decode_policy(body)
    except (AttributeError, KeyError, TypeError, ValueError, DockgateError) as error:
        reason = f"no JSON: {error}" if isinstance(error, json.JSONDecodeError) else repr(error)
        raise UsageError(f"{location} contains no policy in canonical form ({reason})", _ADVICE) from None
    for name, uses in policy.rules.items():
        if name not in rules_by_name:
            raise UsageError(f"{location}: there is no rule {name!r}", _ADVICE)
        for settings in uses:
            own_settings = {key: value for key, value in settings.items() if key != "action"}
            try:
                full = rules_by_name[name].parse_settings(own_settings)
            except DefinitionError as error:
                raise UsageError(f"{location}: {name}: {error}", error.advice or _ADVICE) from None
            if set(full) != set(own_settings):
                raise UsageError(f"{location}: {name}: its settings are not there in full", _ADVICE)
    if encode_policy(policy) != body:
        raise UsageError(f"{location} is not in canonical form: the bytes differ", _ADVICE)
    return policy


def _read_waivers(account: Account, file: Path) -> ExemptionSet:
    """Return the waivers of a file.

    The functions know repositories without their registry: UsageError for a waiver that names one in another registry,
    which would never count.
    """
    from dockgate.gate.definitions import waivers

    listed_waivers = waivers.read_waivers(file.read_text("utf-8"), str(file))
    return ExemptionSet(
        tuple(replace(waiver, repository=_resolve_repository(account, waiver)) for waiver in listed_waivers)
    )


def _resolve_repository(account: Account, waiver: Waiver) -> str | None:
    if not waiver.repository:
        return None
    try:
        return ecr_registry.strip_registry(waiver.repository, account.id, account.region)
    except UsageError as error:
        raise UsageError(f"the waiver {waiver.id}: {error}", error.advice) from None
