"""URLs of settings and people in messages, without what they keep secret."""

from urllib.parse import urlsplit


def redact_url(url: str) -> str:
    """The URL without user, password and query, for messages and for the database."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an invalid URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
