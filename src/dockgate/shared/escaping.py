"""Escape text from an image, so that it cannot steer a terminal."""


def clean(text: str) -> str:
    """One line, with unprintable characters (escape sequences, direction overrides) as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
