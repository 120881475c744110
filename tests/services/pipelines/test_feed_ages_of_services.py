"""What services run is judged again at the moment when a feed is too old."""

from datetime import timedelta
from pathlib import Path
from random import Random

from tests.services.changing_fleet import World
from tests.services.renewal_fleet import open_fleet
from tests.services.running_services import RunningServices

from dockgate.shared.timestamps import format_time


def test_a_feed_that_becomes_stale_is_noticed_within_the_same_ten_minutes(tmp_path: Path) -> None:
    with open_fleet(tmp_path, "sqlite") as fleet:
        world, clock = World(fleet, Random(4)), fleet.system.clock  # noqa: S311 - the same images each time
        clock.ahead += timedelta(minutes=11 - clock().minute % 10)  # the first minute of ten
        fleet.feeds.checked_at = format_time(clock() - timedelta(days=7) + timedelta(minutes=2))
        world.renewal.renew()
        services = RunningServices(world, ("plain", "timed"))
        services.review()
        for minutes, expected in ((1, []), (2, services.names)):
            clock.ahead += timedelta(minutes=minutes)
            world.renewal.renew()
            assert services.review() == expected
            assert services.find_differences() == []
