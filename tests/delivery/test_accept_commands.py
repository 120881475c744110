"""The commands offered after a rejection work; what cannot be accepted has none."""

import shlex
from dataclasses import replace

import pytest
from tests.gate.samples import (
    COVERED,
    ECOSYSTEMS,
    IMAGE,
    NOW,
    RULES,
    make_advisory,
    make_inventory,
    make_package,
    read_policy,
)

from dockgate.delivery.accept_commands import make_waiver_commands, override_command
from dockgate.gate import evaluate
from dockgate.gate.model import ExemptionSet, Status, Verdict, VerdictCase, Waiver
from dockgate.gate.waivers import check_waiver
from dockgate.scanner.model import Unread
from dockgate.vulnerabilities.model import AdvisorySnapshot

LIMITS = "max_findings:\n  HIGH: 0\n"
OVERRIDE = "dockgate approval override web-1 --until DATE --reason TEXT"


def judge(*identities: str, policy: str = LIMITS, is_unread: bool = False, waivers: tuple[Waiver, ...] = ()) -> Verdict:
    """The verdict on an image whose package `a` has these vulnerabilities."""
    image = make_inventory(make_package("a"), unread_paths=(Unread("x", "It is broken."),) if is_unread else ())
    image = replace(image, created="2020-01-01T00:00:00Z")
    snapshot = AdvisorySnapshot(tuple(make_advisory(identity, "a") for identity in identities), COVERED)
    case = VerdictCase(IMAGE, read_policy(policy), NOW, "0.1.0", (image,), snapshot, ExemptionSet(waivers))
    return evaluate.judge(case, ECOSYSTEMS, RULES)


def test_one_finding_is_named_in_the_command_and_the_waiver_turns_the_verdict() -> None:
    verdict = judge("CVE-2024-1")
    assert override_command(verdict, "web-1") == OVERRIDE
    (command,) = make_waiver_commands(verdict)
    words = shlex.split(command)
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options["--vulnerability"] == "CVE-2024-1"
    waiver = Waiver("w1", "ana", "why", vulnerability="CVE-2024-1", image=options["--image"], until="2027-01-01")
    check_waiver(waiver)
    assert judge("CVE-2024-1", waivers=(waiver,)).status is Status.APPROVED


def test_with_several_findings_no_command_for_one_is_offered() -> None:
    (command,) = make_waiver_commands(judge("CVE-2024-1", "CVE-2024-2"))
    assert "--vulnerability ID " in command


def test_a_rule_that_the_image_breaks_as_a_whole_is_named() -> None:
    verdict = judge(policy="image_age:\n  days: 30\n")
    (command,) = make_waiver_commands(verdict)
    assert "--rule image_age " in command
    assert override_command(verdict, "web-1") == OVERRIDE


def test_violations_that_cannot_be_accepted_are_not_offered() -> None:
    assert override_command(judge("MAL-2024-1"), "web-1") is None
    assert make_waiver_commands(judge("MAL-2024-1")) == ()
    assert override_command(judge("CVE-2024-1", is_unread=True), "web-1") is None


@pytest.mark.parametrize("is_unread", [False, True])
def test_nothing_is_offered_where_nothing_was_rejected(is_unread: bool) -> None:
    verdict = judge(is_unread=is_unread)
    assert override_command(verdict, "web-1") is None
    assert make_waiver_commands(verdict) == ()
