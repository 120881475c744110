"""Notifications as JSON, for the notifiers of AWS."""

import json

from dockgate.events.ports import Notice


def encode_notice(notice: Notice, limit: int) -> str:
    """The notification as JSON of at most `limit` bytes. A longer one loses its detail, then the end of its body."""
    summary = {"key": notice.key, "kind": notice.kind, "title": notice.title, "body": notice.body}
    for content in (
        {**summary, "detail": dict(notice.detail)},
        summary,
        {**summary, "title": notice.title[:500], "body": notice.body[:2000]},
    ):
        text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), default=str)
        if len(text) <= limit:
            break
    return text
