"""A verdict, or any other answer, in one line for people."""

SUMMARY_LIMIT = 512
"""characters; PutApprovalResult's limit for `summary`, kept so that one answer fits everywhere"""


def shorten(text: str) -> str:
    """At most SUMMARY_LIMIT characters, with an ellipsis where it was cut."""
    return text if len(text) <= SUMMARY_LIMIT else text[: SUMMARY_LIMIT - 1] + "…"
