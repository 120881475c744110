"""Everything undetermined has a next step, and what is shown as a command accepts no more than its subject."""

import ast
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate.samples import COVERED, ECOSYSTEMS, IMAGE, NOW, RULES, make_inventory, make_package, read_policy
from tests.gate.test_whole_gate_properties import draw_case

from dockgate.gate import evaluate
from dockgate.gate.model import ExemptionSet, Remediation, Status, Upgrade, VerdictCase, Waiver
from dockgate.gate.next_steps import UNSCANNED_ADVICE, NextStep, advise_on_refusal, describe_next_steps, list_next_steps
from dockgate.gate.unread_waivers import apply_to_unread
from dockgate.scanner.model import Unread
from dockgate.vulnerabilities.model import AdvisorySnapshot, Matches, UndeterminedFact

SOURCE = Path(__file__).parent.parent.parent / "src" / "dockgate"
KINDS = ("", "unread", "uncomparable", "uncovered", "stale")
entries = st.builds(
    UndeterminedFact,
    st.sampled_from(["/", "", "usr/lib/a.jar", "a*b", "pkg:npm/left-pad@1", "pkg:npm/*@1", "npm", "trivy"]),
    st.sampled_from(["It is broken.", "It is encrypted."]),
    st.sampled_from(KINDS),
)


STALE = UndeterminedFact("Debian:13", "The advisory feed for Debian:13 was last checked 9 days ago.", "stale")


@pytest.mark.parametrize(
    ("status", "undetermined_entries", "upgrades", "advice"),
    [
        (
            Status.REJECTED,
            (),
            (Upgrade("pkg:deb/debian/a", "a", "1", "2", ()),),
            "Build it again with the upgrades that",
        ),
        (Status.REJECTED, (STALE,), (), "Correct what the verdict names"),
        (Status.UNDETERMINED, (STALE,), (), "Run `dockgate db update`"),
        (Status.UNDETERMINED, (replace(STALE, advice="Look at it."),) * 2, (), "Look at it."),
        (Status.UNDETERMINED, (), (), UNSCANNED_ADVICE),
    ],
)
def test_a_refused_deploy_gets_the_advice_of_its_verdict(
    status: Status, undetermined_entries: tuple[UndeterminedFact, ...], upgrades: tuple[Upgrade, ...], advice: str
) -> None:
    case = VerdictCase(
        IMAGE, read_policy("max_findings:\n  HIGH: 0\n"), NOW, "0.1.0", snapshot=AdvisorySnapshot((), COVERED)
    )
    verdict = evaluate.judge(case, ECOSYSTEMS, RULES)
    (platform,) = verdict.platform_verdicts
    platform = replace(platform, undetermined=undetermined_entries, remediation=Remediation(upgrades))
    assert advice in advise_on_refusal(replace(verdict, status=status, platform_verdicts=(platform,)))


@given(st.lists(entries, min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_every_entry_has_a_next_step_and_no_step_comes_twice(undetermined_entries: list[UndeterminedFact]) -> None:
    steps = list_next_steps(undetermined_entries, IMAGE)
    assert len(set(steps)) == len(steps)
    for entry in undetermined_entries:
        assert list_next_steps((entry,), IMAGE)
        assert describe_next_steps(entry, IMAGE).strip()


@pytest.mark.parametrize(
    "path", [*sorted((SOURCE / "gate" / "rules").glob("[!_]*.py")), SOURCE / "gate" / "rules" / "_property_limit.py"]
)
def test_undetermined_entries_of_a_rule_have_advice(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "UndeterminedFact":
            has_kind = len(node.args) > 2
            assert has_kind or any(keyword.arg == "advice" for keyword in node.keywords), f"{path.name}:{node.lineno}"


@given(draw_case())
@settings(max_examples=30, deadline=None)
def test_every_undetermined_verdict_names_a_next_step(case: VerdictCase) -> None:
    for platform_verdict in evaluate.judge(case, ECOSYSTEMS, RULES, should_remediate=False).platform_verdicts:
        for entry in platform_verdict.undetermined:
            assert list_next_steps((entry,), case.image)


def test_the_command_names_a_single_path_and_no_several() -> None:
    item = [UndeterminedFact("opt/a b.jar", "It is encrypted.", "unread")]
    (step,) = list_next_steps(item, IMAGE)
    assert f"--unread 'opt/a b.jar' --image {IMAGE}" in (step.command or "")
    (step,) = list_next_steps([*item, UndeterminedFact("opt/c.jar", "It is encrypted.", "unread")], IMAGE)
    assert "each of the 2 paths" in step.sentence
    assert "--unread PATH" in (step.command or "")


@given(st.text(alphabet="ab/*'\" $(`;\n-", min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_the_command_for_a_hostile_path_accepts_only_that_path(path: str) -> None:
    """As a shell takes the command apart, and as the waiver is applied."""
    (step,) = list_next_steps([UndeterminedFact(path, "It is broken.", "unread")], IMAGE)
    command = step.command
    if not command or path == "/":
        assert "*" in path or path == "/"
        return
    words = shlex.split(command)
    assert words[:3] == ["dockgate", "waiver", "add"]
    accepted_path = words[words.index("--unread") + 1]
    assert accepted_path == path
    waiver = Waiver("w1", "ana", "why", unread=accepted_path, image=IMAGE, until="2026-12-31")
    other_entries = (Unread("other", "no"), Unread("a/b/c/d", "no"), Unread("/", "no"))
    content = replace(make_inventory(make_package("a")), unread=other_entries)
    unread_entries = apply_to_unread(content, Matches((), ()), ExemptionSet((waiver,)), IMAGE, NOW, ()).inventory.unread
    assert {entry.path for entry in other_entries} - {entry.path for entry in unread_entries} <= {path.strip("/")}


def test_an_image_without_a_scan_has_a_next_step() -> None:
    case = VerdictCase(
        IMAGE, read_policy("max_findings:\n  HIGH: 0\n"), NOW, "0.1.0", snapshot=AdvisorySnapshot((), COVERED)
    )
    verdict = evaluate.judge(case, ECOSYSTEMS, RULES)
    assert verdict.status is Status.UNDETERMINED
    assert list_next_steps(verdict.platform_verdicts[0].undetermined, IMAGE) == (NextStep(UNSCANNED_ADVICE),)
