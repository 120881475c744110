"""Clients of AWS and ARNs in settings. boto3 is imported when the first client is made."""

import re
import sys
from collections.abc import Callable
from typing import Any

from dockgate.shared.errors import UsageError

Client = Callable[[str, str | None], Any]
"""a boto3 client by service and region; None for the region that boto3 finds"""

BUS = r"events:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):event-bus/(?P<name>.+)"
TOPIC = r"sns:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):(?P<name>[A-Za-z0-9_.-]+)"
QUEUE = r"sqs:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):(?P<name>[A-Za-z0-9_-]{1,80}(?:\.fifo)?)"


def arn(setting: str, given: str, form: str) -> re.Match[str]:
    """`region`, `account` and `name` of an ARN of this form. Raises UsageError naming the setting."""
    matched = re.fullmatch(rf"arn:aws[a-z-]*:{form}", given)
    if not matched:
        raise UsageError(f"{setting} is {given!r}, which is no such ARN.", "Copy the ARN from AWS's console.")
    return matched


def boto3_client() -> Client:
    """Makes clients. UsageError without boto3."""
    try:
        import boto3
    except ImportError:
        raise UsageError("Adapters of AWS need boto3.", f"Install it: {sys.executable} -m pip install boto3") from None
    return lambda service, region: boto3.client(service, region_name=region)
