"""Text for people: counts with their noun, lists and texts cut to a length."""

from collections.abc import Mapping, Sequence


def format_count(count: int, noun: str) -> str:
    """Return the count with its noun: "1 path", "2 paths", "1,200 paths"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def format_amount(amount: float, noun: str) -> str:
    """Return an amount that need not be whole with its noun: "1 day", "0.5 days"."""
    return f"{amount:g} {noun}" if amount == 1 else f"{amount:g} {noun}s"


def join_words(words: Sequence[str], conjunction: str = "or") -> str:
    """Return the words as a list in a sentence: "a", "a or b", "a, b or c"."""
    *first_words, last_word = words
    return f"{', '.join(first_words)} {conjunction} {last_word}" if first_words else last_word


def describe_moved_images(count: int) -> str:
    """Say that an answer to where something is leaves out images that no tag names any more."""
    verb = "contains" if count == 1 else "contain"
    return f"{format_count(count, 'other image')} that no tag names any more {verb} it: see `dockgate where --all-tags`"


def describe_caveat(caveat: Mapping[str, str | None]) -> str:
    """What an answer to where something is leaves open, with the next step."""
    return " ".join(filter(None, (caveat["sentence"], caveat["advice"])))


def shorten_text(text: str, limit: int) -> str:
    """Return the text in at most `limit` characters, with "…" where it was cut."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def list_first(words: Sequence[str]) -> str:
    """Return the first three words, and the number of the rest: "a, b, c and 2 more"."""
    return ", ".join(words[:3]) + (f" and {len(words) - 3} more" if len(words) > 3 else "")


def replace_surrogates(text: str) -> str:
    """The text with "�" instead of each half of a surrogate pair that is alone, which no encoding has."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def to_one_line(text: str) -> str:
    """The text in one line without control characters, which could steer a terminal or add a header."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
