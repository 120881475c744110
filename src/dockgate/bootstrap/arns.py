"""ARNs in settings: which form each has to have, and what is in it."""

import re

from dockgate.core.errors import UsageError

BUS = r"events:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):event-bus/(?P<name>.+)"
TOPIC = r"sns:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):(?P<name>[A-Za-z0-9_.-]+)"
QUEUE = r"sqs:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):(?P<name>[A-Za-z0-9_-]{1,80}(?:\.fifo)?)"


def arn(setting: str, given: str, form: str) -> re.Match[str]:
    """`region`, `account` and `name` of an ARN of this form. Raises UsageError naming the setting."""
    matched = re.fullmatch(rf"arn:aws[a-z-]*:{form}", given)
    if not matched:
        raise UsageError(f"{setting} is {given!r}, which is no such ARN.", "Copy the ARN from AWS's console.")
    return matched
