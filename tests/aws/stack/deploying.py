"""Deploying and destroying a stack called gate, and what is in the account then."""

from pathlib import Path
from typing import Any

from tests.aws.stack.cloud import SOON, Cloud
from tests.aws.stack.stack_state import ID, REGION

from dockgate.aws.stack.change_set import Confirm, refuse_losses
from dockgate.aws.stack.destroy import destroy_stack as destroy_stack
from dockgate.services import aws_stack

NETWORK = ("VpcId=vpc-12345678", "SubnetIds=subnet-12345678")
ALONE = ("CreatePipeline=false", "ApprovalActions=shop/Assess/Gate, blog/Assess/Gate")
DOCUMENTS = f"gate-dockgate-{ID}-{REGION}"
DIGEST = "sha256:" + "1" * 64
CHANGES = ("Create", "Update", "Execute", "Delete", "Put")


def deploy(
    cloud: Cloud,
    *value: str,
    policy: str | None = None,
    waivers: Path | None = None,
    scanning: bool = False,
    output: Any = None,
    confirm: Confirm = refuse_losses,
) -> bool:
    report_progress = output.append if output is not None else lambda line: None
    return aws_stack.deploy_stack(
        cloud.account, "gate", policy, waivers, value, scanning, report_progress, SOON, confirm
    )


def destroy(cloud: Cloud, output: list[str] | None = None) -> None:
    destroy_stack(cloud.account, "gate", output.append if output is not None else lambda line: None, SOON)


def read_parameters(cloud: Cloud) -> dict[str, str]:
    return cloud.formation.stacks["gate"].parameters


def list_changes(cloud: Cloud) -> list[str]:
    """Every call that changes something."""
    return [name for _, name, _ in cloud.formation.called if name.startswith(CHANGES)]


def read_document(cloud: Cloud, key: str) -> bytes:
    return bytes(cloud.get_client("s3").get_object(Bucket=DOCUMENTS, Key=key)["Body"].read())
