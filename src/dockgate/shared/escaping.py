"""Escape text from an image, so that it cannot steer a terminal, and so that every encoding has it."""


def clean_text(text: str) -> str:
    """Return one line, with unprintable characters (escape sequences, direction overrides) as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def as_unicode(text: str) -> str:
    """Return the text with lone surrogates as escapes: UTF-8 and many formats refuse them.

    The scanner keeps bytes of paths that are not UTF-8 in them, and JSON can have them.
    """
    return text.encode("utf-8", "backslashreplace").decode()
