"""The packages and findings that a search for upgrades may look at. Pure.

No clock decides, so that equal cases end at the same place.
"""

# Packages and findings, counted again in each trial and for each version of a package. They take about ten seconds.
# Images in use take a few thousand; those with the most findings some hundred thousand.
WORK_LIMIT = 400_000


class SearchBudget:
    """What remains of WORK_LIMIT."""

    def __init__(self, limit: int = WORK_LIMIT) -> None:
        self._remaining = limit

    @property
    def is_spent(self) -> bool:
        """Return whether nothing more is to be tried."""
        return self._remaining <= 0

    def spend(self, count: int) -> None:
        """Take the packages and findings of one trial, or of one version of a package."""
        self._remaining -= count

    def count_rounds(self, cost: int, maximum: int) -> int:
        """Return how many rounds of this cost half of the remaining budget pays: from 1 to `maximum`."""
        return max(1, min(maximum, self._remaining // (2 * max(cost, 1))))
