"""What docs/how-to/aws-adapters.md says that an adapter may do."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "aws-adapters.md"


def list_permissions(section: str) -> set[str]:
    """The permissions in the first column of the section's table ("sqs:DeleteMessage")."""
    (text,) = re.findall(rf"(?ms)^## {re.escape(section)}$(.*?)(?=^## |\Z)", PAGE.read_text())
    rows = re.findall(r"(?m)^\| (.*?) \|", text)
    return {name for row in rows for name in re.findall(r"`([a-z0-9]+:[A-Za-z]+)`", row)}
