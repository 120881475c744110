"""Contract of the store: what tags named in the past."""

from itertools import permutations
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, open_store_of_kind

from dockgate.store.records import PushedImage

DIGESTS = [f"sha256:{letter * 64}" for letter in "abcd"]


@pytest.mark.parametrize("kind", FACTORIES)
def test_pushes_that_are_recorded_in_any_order_leave_the_same_past(kind: str, tmp_path: Path) -> None:
    with open_store_of_kind(kind, tmp_path) as store:
        for order in permutations(range(4)):
            tag = "".join(map(str, order))
            for hour in order:
                store.images.add_push(PushedImage("web", tag, DIGESTS[hour], f"2026-11-28T0{hour}:00:00.000Z"))
        for hour, digest in enumerate(DIGESTS):
            periods = store.tag_history.list_periods([digest])
            ends = f"2026-11-28T0{hour + 1}:00:00.000Z" if hour < 3 else None
            assert {(period.since[11:13], period.until) for period in periods} == {(f"0{hour}", ends)}
            assert len(periods) == 24


@pytest.mark.parametrize("kind", FACTORIES)
def test_a_late_push_cuts_the_period_of_an_image_that_was_pushed_twice_once(kind: str, tmp_path: Path) -> None:
    with open_store_of_kind(kind, tmp_path) as store:
        for number, hour in ((0, 0), (0, 5), (2, 3), (1, 2)):
            store.images.add_push(PushedImage("web", "1", DIGESTS[number], f"2026-11-28T0{hour}:00:00.000Z"))
        periods = store.tag_history.list_periods(DIGESTS)
        assert [(entry.digest[7], entry.since[12:13], (entry.until or "")[12:13]) for entry in periods] == [
            ("a", "0", "2"),
            ("b", "2", "3"),
            ("c", "3", "5"),
            ("a", "5", ""),
        ]


@pytest.mark.parametrize("kind", FACTORIES)
def test_a_deleted_tag_that_is_pushed_after_the_clock_was_set_back_has_one_image_at_a_time(
    kind: str, tmp_path: Path
) -> None:
    with open_store_of_kind(kind, tmp_path) as store:
        store.images.add_push(PushedImage("web", "1", DIGESTS[0], "2026-11-28T05:00:00.000Z"))
        store.image_removals.untag("web", DIGESTS[0], "1", "2026-11-28T06:00:00.000Z")
        store.images.add_push(PushedImage("web", "1", DIGESTS[1], "2026-11-28T04:00:00.000Z"))
        assert store.tag_history.find_digest("web", "1") == DIGESTS[1]
        (period,) = store.tag_history.list_periods([DIGESTS[1]])
        assert (period.since[11:13], period.until) == ("06", None)
