"""Text that cannot steer a terminal, whatever an image put into it."""


def clean(text: str) -> str:
    """One line; whatever cannot be printed (escape sequences, direction overrides) shows as its escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
