"""Ten thousand wait on a hundred digests."""

from pathlib import Path

from tests.scenarios.waiting_stories import play


def test_each_of_ten_thousand_is_answered_once_though_the_server_is_killed_in_between(tmp_path: Path) -> None:
    play(tmp_path, waiting=10_000, digests=100, repeats=10, kills=10, seconds=600)
