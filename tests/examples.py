"""How many examples a property test tries: some in every run of the suite, 25 times as many in `make slow`."""

import os

# A factor of what the tests state.
_SHARE = float(os.environ.get("DOCKGATE_TEST_EXAMPLES", "0.4"))


def scale_examples(count: int) -> int:
    """The number of examples in this run for a test that states `count`."""
    return max(round(count * _SHARE), 1)
