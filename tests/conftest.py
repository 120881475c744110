"""The order of the tests: what takes longest begins first, so that no process is left with it at the end."""

import gc
import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.engines import leave_sqlite_unsynced, share_compiled_statements
from tests.examples import scale_examples

# A busy machine is slow now and then, which says nothing about our code.
settings.register_profile(
    "dockgate", max_examples=scale_examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("dockgate")

share_compiled_statements()
leave_sqlite_unsynced()

# Folders whose modules share a server and a browser.
SHARING_FOLDERS = {"console_browser"}

# Half of the time in which 13,000 tests are collected would go into looking for garbage among them, and every later
# look would begin with them.
gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    gc.freeze()
    # Looks for garbage take a tenth of the time with the usual 700 objects.
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """The usual umask. A server in this process closes it, and files that builds read would be closed, too."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Spread modules with tests marked `long` over pytest-xdist's processes, each at the beginning of its share.

    A module or a sharing folder stays whole: what its tests share, a server or a browser, is started once.
    """
    processes: int = getattr(config, "workerinput", {}).get("workercount", 1)
    long = [item for item in items if item.get_closest_marker("long")]
    short = [item for item in items if not item.get_closest_marker("long")]
    modules = [list(module) for _, module in groupby(long, key=_find_sharing_path)]
    size, remaining = divmod(len(items), processes)
    items.clear()
    for process in range(processes):  # worksteal deals out shares of this size, in order
        first = [item for module in modules[process::processes] for item in module]
        remaining_count = max(size + (process >= processes - remaining) - len(first), 0)
        items += [*first, *short[:remaining_count]]
        del short[:remaining_count]
    items += short


def _find_sharing_path(item: pytest.Item) -> Path:
    folder = item.path.parent
    return folder if folder.name in SHARING_FOLDERS else item.path
