"""A kept verdict judged again, and two verdicts or policies compared. Pure."""
