"""Notifications as JSON, for the notifiers of AWS."""

import json

from dockgate.events.ports import Notice


def detail(notice: Notice, limit: int) -> str:
    """The notice as JSON of at most `limit` bytes: what is too long loses its detail, then the end of its body."""
    whole = {"key": notice.key, "kind": notice.kind, "title": notice.title, "body": notice.body}
    for content in (
        {**whole, "detail": dict(notice.detail)},
        whole,
        {**whole, "title": notice.title[:500], "body": notice.body[:2000]},
    ):
        text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), default=str)
        if len(text) <= limit:
            break
    return text
