"""Exceptions that count for one image only, and those that only the inventory can decide."""

from collections.abc import Sequence
from dataclasses import replace

from tests.gate.fleet.fleets import FleetIndex, FleetItem
from tests.gate.samples import (
    COVERED,
    ECOSYSTEMS,
    IMAGE,
    NOW,
    RULES,
    build_policy,
    make_advisory,
    make_inventory,
    make_package,
)

from dockgate.gate.fleet.judge import FleetJudge
from dockgate.gate.fleet.model import FleetWaivers, PlatformResult
from dockgate.gate.model import Status, VexSigner, VexStatement, VexStatus, Waiver
from dockgate.gate.rule import RuleDependency
from dockgate.vulnerabilities.matching import FINDINGS_LIMIT
from dockgate.vulnerabilities.model import AdvisorySnapshot

SECOND = "sha256:" + "9" * 64
UNDER = build_policy(max_findings={"HIGH": 0}, vex={"authors": [{"name": "Vendor"}]})
CONTENT = make_inventory(make_package("a"), make_package("b"))
ITEMS = [FleetItem(IMAGE, (CONTENT,)), FleetItem(SECOND, (replace(CONTENT, image=SECOND),))]
SNAPSHOT = AdvisorySnapshot((make_advisory("CVE-2024-1", "a"),), COVERED)
STATEMENT = VexStatement(
    "sha256:" + "d" * 64,
    "openvex",
    "Vendor",
    VexSigner("principal:ana"),
    ("CVE-2024-1",),
    VexStatus.NOT_AFFECTED,
    ("pkg:npm/a",),
)
WAIVER = Waiver("w1", "ana", "Reviewed by hand.", unread="pkg:npm/a", image=IMAGE, until="2026-12-01T00:00:00Z")


def judge(
    fleet_waivers: FleetWaivers, items: Sequence[FleetItem] = ITEMS, snapshot: AdvisorySnapshot = SNAPSHOT
) -> list[Status | None]:
    """The status of each image, None where only the inventory can decide."""
    index = FleetIndex(items, snapshot)
    fleet_judge = FleetJudge(
        UNDER, RULES, ECOSYSTEMS, index.components, index.bundles, fleet_waivers, snapshot.coverage, NOW
    )
    results: list[list[PlatformResult] | None] = [fleet_judge.judge(image) for image in index.images]
    return [result[0].status if result else None for result in results]


def test_without_exceptions_both_images_are_rejected() -> None:
    assert judge(FleetWaivers()) == [Status.REJECTED, Status.REJECTED]


def test_an_image_with_more_findings_than_the_gate_lists_is_for_the_gate() -> None:
    """It is undetermined, whatever is waived."""
    copies = [
        make_package("a", path=f"{number}/node_modules/a/package.json") for number in range(FINDINGS_LIMIT // 100 + 1)
    ]
    snapshot = AdvisorySnapshot(tuple(make_advisory(f"CVE-2024-{number}", "a") for number in range(100)), COVERED)
    listed_inventory, oversized_inventory = make_inventory(*copies[1:]), make_inventory(*copies)
    items = [FleetItem(IMAGE, (listed_inventory,)), FleetItem(SECOND, (replace(oversized_inventory, image=SECOND),))]
    assert judge(FleetWaivers(), items, snapshot) == [Status.REJECTED, None]


def test_a_statement_about_a_package_counts_for_every_image() -> None:
    assert judge(FleetWaivers((), (STATEMENT,))) == [Status.APPROVED, Status.APPROVED]


def test_a_document_attached_to_an_image_counts_for_that_image_alone() -> None:
    assert judge(FleetWaivers((), (), {SECOND: (STATEMENT,)})) == [Status.REJECTED, Status.APPROVED]


def test_a_statement_about_an_image_counts_for_that_image_alone() -> None:
    statement = replace(STATEMENT, products=(IMAGE,))
    assert judge(FleetWaivers((), (statement,))) == [Status.APPROVED, Status.REJECTED]


def test_a_statement_about_a_package_inside_another_one_is_for_the_gate() -> None:
    """It excuses only in images that hold the other one, which has no findings and so is not in the index read."""
    statement = replace(STATEMENT, products=("pkg:npm/b",), packages=("pkg:npm/a",))
    assert judge(FleetWaivers((), (statement,))) == [None, None]
    other_statement = replace(statement, vulnerabilities=("CVE-2024-9",))
    assert judge(FleetWaivers((), (other_statement,))) == [Status.REJECTED, Status.REJECTED]


def test_a_waiver_of_a_package_that_cannot_be_judged_is_for_the_gate() -> None:
    odd = make_inventory(make_package("a", "odd"))
    items = [FleetItem(IMAGE, (odd,)), FleetItem(SECOND, (replace(odd, image=SECOND),))]
    assert judge(FleetWaivers(), items) == [Status.UNDETERMINED, Status.UNDETERMINED]
    assert judge(FleetWaivers((WAIVER,)), items) == [None, Status.UNDETERMINED]


def test_a_waiver_of_a_violation_by_its_message_is_left_to_the_gate() -> None:
    waiver = replace(WAIVER, unread=None, rule="max_findings", violation="1 HIGH finding, at most 0 allowed")
    assert judge(FleetWaivers((waiver,))) == [None, Status.REJECTED]


def test_no_rule_but_expressions_reads_every_package() -> None:
    """One that does, or forgets to say what it reads, judges a fleet image by image."""
    settings = {"expression": {"when": "findings.exists(f, f.exploited)", "message": "It is exploited."}}
    reading = {rule.name: rule.get_dependency(settings.get(rule.name, {})) for rule in RULES}
    assert [name for name, reads in reading.items() if reads is RuleDependency.PACKAGES] == []
