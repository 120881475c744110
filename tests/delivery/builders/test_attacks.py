"""A hostile build reaches neither the host, nor its networks, nor another build; without the box it would."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.forks import run_forked

pytestmark = pytest.mark.real

# What a build may do.
OPEN = {"connect-to-a-public-network"}
# Proof that the attacks work, and that there is something to be reached.
REACHED_WITHOUT_A_BOX = {
    "see-a-process-of-the-host",
    "see-shared-memory-of-the-host",
    "signal-a-process-of-the-host",
    "connect-to-an-abstract-socket",
    "connect-to-loopback",
    "connect-to-loopback-6",
    "connect-to-the-address-of-the-host",
    "connect-to-another-address-of-the-host",
    "connect-to-a-private-address-of-the-host",
    "connect-to-a-unique-local-address-of-the-host",
    "connect-to-a-private-network",
    "connect-to-a-mapped-private-network",
    "connect-to-a-carrier-network",
    "connect-to-cloud-metadata",
    "connect-to-cloud-metadata-6",
    "connect-to-a-public-network",
    "connect-to-the-registry",
}


def run_attacks(folder: Path, kind: str) -> str:
    result = run_forked("tests.delivery.builders.victim", [str(folder), kind], dict(os.environ))
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return result.stdout


def read_results(log: str) -> Mapping[str, str]:
    """The worst result of each attack in all builds."""
    outcomes: dict[str, str] = {}
    for name, result in re.findall(r"ATTACK (\S+) (\w+)", log):
        outcomes[name] = "SUCCEEDED" if "SUCCEEDED" in (result, outcomes.get(name)) else result
    return outcomes


def test_no_attack_of_a_build_in_a_box_succeeds(tmp_path: Path) -> None:
    log = run_attacks(tmp_path, "boxed")
    outcomes = read_results(log)
    assert outcomes.keys() > REACHED_WITHOUT_A_BOX
    assert {name for name, result in outcomes.items() if result == "SUCCEEDED"} == OPEN, log
    assert "LEFT" not in log


@pytest.mark.slow
def test_the_attacks_succeed_without_the_box(tmp_path: Path) -> None:
    log = run_attacks(tmp_path, "unboxed")
    successful_attacks = {name for name, result in read_results(log).items() if result == "SUCCEEDED"}
    assert successful_attacks >= REACHED_WITHOUT_A_BOX, log
    assert "LEFT" in log
