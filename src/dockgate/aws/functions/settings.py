"""Settings from the functions' environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from dockgate.aws.messages import Action
from dockgate.shared.errors import UsageError

# The reference solution's own variables; where one of them is set, its policy is used.
THRESHOLDS = {
    "CRITICAL": "Critical_Finding_Threshold",
    "HIGH": "High_Finding_Threshold",
    "MEDIUM": "Medium_Finding_Threshold",
    "LOW": "Low_Finding_Threshold",
}
# What each variable means that the functions read; the stack's template sets them.
VARIABLES = {
    "DOCKGATE_TABLE": "The DynamoDB table of waiting approvals and ended scans.",
    "DOCKGATE_BUCKET": "The S3 bucket that stores verdicts.",
    "DOCKGATE_ACCOUNT": "The account whose registry has the images.",
    "DOCKGATE_PARTITION": "AWS's partition in ARNs: aws, aws-cn, aws-us-gov, …",
    "DOCKGATE_APPROVALS": "The approval actions to answer: PIPELINE/STAGE/ACTION or ARNs, separated by commas.",
    "DOCKGATE_POLICY": "The policy in canonical form: s3://BUCKET/KEY or ssm:/NAME. Default: the one in the archive.",
    "DOCKGATE_WAIVERS": "The waivers in canonical form: s3://BUCKET/KEY or ssm:/NAME. Default: none.",
    "DOCKGATE_SERVICES": "The ECS services to judge again: CLUSTER/SERVICE, separated by commas.",
    "DOCKGATE_TOPIC": "The ARN of the SNS topic for messages about running images at risk.",
    "DOCKGATE_RISK_DAYS": "For how many days a running image may stay at risk. Default: 14.",
    "DOCKGATE_RISK_NOTICE_DAYS": "How many days before its deadline a notice is sent. Default: 1.",
    "DOCKGATE_SCAN_PATIENCE": "After how many minutes an approval that waits for a scan is rejected. Default: 60.",
    **{
        name: f"The reference solution's threshold for {severity}. If one of the four is set, they replace the policy."
        for severity, name in THRESHOLDS.items()
    },
}


@dataclass(frozen=True, slots=True)
class Service:
    """An ECS service whose running image is judged again."""

    cluster: str
    name: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the functions.

    `table` is the DynamoDB table of approvals and scans; `bucket` stores verdicts. `actions` may be answered. `policy`
    and `waivers` are s3://BUCKET/KEY or ssm:NAME of canonical documents, None for those in the archive. `thresholds`
    are the reference solution's, None for a policy. `topic` (an ARN, or None) gets notices about running images
    at risk, which may stay so for `risk_days`, and again `risk_notice_days` before that time is over. `patience` is how
    many minutes a scan may take before a waiting approval is rejected as undetermined.
    """

    table: str
    bucket: str
    region: str
    account: str
    actions: tuple[Action, ...] = ()
    partition: str = "aws"
    policy: str | None = None
    waivers: str | None = None
    thresholds: Mapping[str, int] | None = None
    services: tuple[Service, ...] = ()
    topic: str | None = None
    risk_days: float = 14
    risk_notice_days: float = 1
    patience: int = 60


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises UsageError, which names the variable."""
    thresholds = {
        severity: _read_number(environment, name) for severity, name in THRESHOLDS.items() if environment.get(name)
    }
    return Settings(
        table=_require(environment, "DOCKGATE_TABLE"),
        bucket=_require(environment, "DOCKGATE_BUCKET"),
        region=_require(environment, "AWS_REGION"),
        actions=tuple(_parse_actions(_require(environment, "DOCKGATE_APPROVALS"))),
        partition=_require(environment, "DOCKGATE_PARTITION"),
        account=_require(environment, "DOCKGATE_ACCOUNT"),
        policy=environment.get("DOCKGATE_POLICY") or None,
        waivers=environment.get("DOCKGATE_WAIVERS") or None,
        thresholds=thresholds or None,
        services=tuple(_parse_services(environment.get("DOCKGATE_SERVICES", ""))),
        topic=environment.get("DOCKGATE_TOPIC") or None,
        risk_days=_read_number(environment, "DOCKGATE_RISK_DAYS", 14),
        risk_notice_days=_read_number(environment, "DOCKGATE_RISK_NOTICE_DAYS", 1),
        patience=_read_number(environment, "DOCKGATE_SCAN_PATIENCE", 60),
    )


def _parse_actions(text: str) -> list[Action]:
    actions = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        try:
            actions.append(Action.parse(item.rpartition(":")[2]))  # ARNs end in :PIPELINE/STAGE/ACTION
        except ValueError:
            raise UsageError(
                f"DOCKGATE_APPROVALS has the invalid entry {item!r}",
                "Write PIPELINE/STAGE/ACTION or ARNs, separated by commas.",
            ) from None
    return actions


def _parse_services(text: str) -> list[Service]:
    services = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        cluster, slash, name = item.rpartition(":service/")[2].partition("/")  # the template has ARNs of services
        if not slash or not cluster or not name:
            raise UsageError(
                f"DOCKGATE_SERVICES has the invalid entry {item!r}",
                "Write CLUSTER/SERVICE or ARNs, separated by commas.",
            )
        services.append(Service(cluster, name))
    return services


def _require(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise UsageError(f"{name} is not set", "The stack's template sets it; deploy the stack again.")
    return environment[name]


def _read_number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name) or ("" if default is None else str(default))
    if not text.isdecimal():
        raise UsageError(f"{name} is {text!r}", "Set it to a whole number, 0 or more.")
    return int(text)
