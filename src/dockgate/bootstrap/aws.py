"""The commands about an AWS account: the template, the archive, and the stack."""

from collections.abc import Sequence
from pathlib import Path

from dockgate import rules
from dockgate.aws.stack import archive, deploy, destroy, status
from dockgate.aws.stack.account import Account, told
from dockgate.aws.stack.deploy import Tell, Wanted, template
from dockgate.aws.stack.status import Status
from dockgate.bootstrap.gate import policy_of
from dockgate.core.errors import UsageError
from dockgate.core.policy import of_bytes
from dockgate.core.verdict import Policy, Waivers

__all__ = ["Status", "contents", "deployed", "destroyed", "package", "state", "template"]

_S3, _SSM = "s3://", "ssm:"


def package(policy: str) -> bytes:
    """The functions' archive with this policy: a name, or a YAML file. Raises what `policy_of` does, and UsageError
    naming the rules that cannot run in it."""
    return archive.build(policy_of(policy), rules.load())


def deployed(
    stack: str,
    region: str,
    policy: str,
    waivers: Path | None,
    parameters: Sequence[str],
    manage_scanning: bool,
    tell: Tell,
) -> bool:
    """Deploys; False when there was nothing to change.

    `policy` is a name, a YAML file, s3://BUCKET/KEY or ssm:/NAME; it is looked at before anything is changed."""
    account = Account(region)
    chosen, parameter = _policy(account, policy)
    archive.refuse(chosen, rules.load())
    wanted = Wanted(
        stack=stack,
        archive=archive.build(policy_of("default"), rules.load()),
        policy=None if parameter else chosen,
        policy_parameter=parameter,
        waivers=_waivers(waivers) if waivers else None,
        parameters=dict(map(_parameter, parameters)),
        manage_scanning=manage_scanning,
    )
    return deploy.deploy(account, wanted, tell)


def state(stack: str, region: str) -> Status:
    return status.status(Account(region), stack)


def contents(stack: str, region: str) -> list[str]:
    """What `destroyed` would take away, a line each."""
    return destroy.contents(Account(region), stack)


def destroyed(stack: str, region: str, tell: Tell) -> None:
    destroy.destroy(Account(region), stack, tell)


def _policy(account: Account, given: str) -> tuple[Policy, str]:
    """The policy, and the name of its SSM parameter where it is to be read from there ("" otherwise)."""
    if given.startswith(_SSM):
        name = given.removeprefix(_SSM)
        with told(f"reading the parameter {name}"):
            answer = account.client("ssm").get_parameter(Name=name, WithDecryption=True)
        return _canonical(str(answer["Parameter"]["Value"]).encode(), given), name
    if given.startswith(_S3):
        bucket, _, key = given.removeprefix(_S3).partition("/")
        with told(f"reading {given}"):
            body = account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return _canonical(body, given), ""
    return policy_of(given), ""


def _canonical(body: bytes, place: str) -> Policy:
    """A policy in canonical form, whose settings its rules take. Raises UsageError."""
    known = {rule.name: rule for rule in rules.load()}
    try:
        policy = of_bytes(body)
        for name, uses in policy.rules.items():
            for settings in uses:
                known[name].settings({key: value for key, value in settings.items() if key != "action"})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        advice = "Put there what `dockgate policy show --canonical` prints, or deploy with a YAML file."
        raise UsageError(f"{place} holds no policy in canonical form: {error!r}.", advice) from None
    return policy


def _waivers(file: Path) -> Waivers:
    from dockgate.definitions import waivers

    return Waivers(waivers.read(file.read_text("utf-8"), str(file)))


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} is no parameter.", "Write NAME=VALUE.")
    return name, value
