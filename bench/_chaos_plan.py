"""The executions of a round of `bench/chaos.py`."""

import random
from dataclasses import dataclass

# How long a round's faults last.
FAULTS_SECONDS = 60.0
# Who must approve some executions, beside the policy.
VOTERS = ("ann", "ben")


@dataclass(frozen=True)
class PlannedExecution:
    """An execution: when its commit is pushed, and whether its image is approved."""

    name: str
    at: float
    is_good: bool
    build_seconds: float
    # What the people who must approve vote, in the order of VOTERS; empty where the policy decides alone.
    votes: tuple[bool, ...] = ()

    @property
    def is_approved(self) -> bool:
        return self.is_good and all(self.votes)

    @property
    def approval(self) -> str:
        return f"{self.name}-1/ContainerVulnerabilityAssessment/Approval/1"


def plan_executions(dice: random.Random, count: int) -> list[PlannedExecution]:
    return [
        PlannedExecution(
            f"app{number}",
            dice.uniform(0, FAULTS_SECONDS * 0.8),
            dice.random() < 0.75,
            dice.choice((0.0, 0.3, 2.0)),
            dice.choice(((), (True, True), (True, False))),
        )
        for number in range(count)
    ]
