"""Values that were read a moment ago, by digest."""

from dockgate.shared.recent_values import RecentValues


def test_a_value_is_made_once_while_it_is_among_the_last_ones() -> None:
    recent, made_texts = RecentValues[str](2), list[str]()

    def read(digest: str) -> str:
        return recent.get_or_make(digest, lambda: made_texts.append(digest) or digest.upper())  # type: ignore[func-returns-value]

    assert [read(digest) for digest in ("a", "b", "a", "c", "a", "b")] == ["A", "B", "A", "C", "A", "B"]
    assert made_texts == ["a", "b", "c", "b"]
    assert recent.get("a") == "A"
    assert recent.get("c") is None
