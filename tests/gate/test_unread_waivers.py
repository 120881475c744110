"""Waivers of unread content: they accept a path or a package of an image, and nothing unchecked."""

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

from dockgate.gate import evaluate, waivers
from dockgate.gate.model import ExemptionSet, Policy, Status, Verdict, VerdictCase, Waiver
from dockgate.gate.unread_waivers import apply_to_unread, check_protected
from dockgate.scanner.model import Inventory, Unread
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.model import AdvisorySnapshot, Coverage, Matches, UndeterminedFact

JAR = "opt/app/secret.jar"
PATH = Waiver("w1", "ana", "A vendor's file, reviewed.", unread=JAR, image=IMAGE, until="2026-12-31")
OF_REPOSITORY = replace(PATH, image=None, repository="team/app")
POLICY = read_policy("max_findings:\n  HIGH: 0\n")
SECOND_DIGEST = "sha256:" + "7" * 64
DATABASES = ("var/lib/dpkg/status", "var/lib/dpkg/status.d/")


def make_inventory_with(*paths: str) -> Inventory:
    return replace(
        make_inventory(make_package("a")), unread=tuple(Unread(path, f"{path} cannot be read.") for path in paths)
    )


def judge(
    content: Inventory, *value: Waiver, policy: Policy = POLICY, snapshot_override: AdvisorySnapshot | None = None
) -> Verdict:
    snapshot = snapshot_override or AdvisorySnapshot((), COVERED)
    case = VerdictCase(IMAGE, policy, NOW, "0.1.0", (content,), snapshot, ExemptionSet(value))
    return evaluate.judge(case, ECOSYSTEMS, RULES)


@pytest.mark.parametrize(
    ("waiver", "key"),
    [
        (replace(PATH, owner=""), "owner"),
        (replace(PATH, reason=" "), "reason"),
        (replace(PATH, until=None), "until"),
        (replace(PATH, until=None, until_fixed=True), "until"),
        (replace(PATH, image=None), "image"),
        (replace(PATH, image=None, repository="**"), "image"),
        (replace(PATH, unread="/"), "unread"),
        (replace(PATH, unread="**"), "unread"),
        (replace(PATH, unread="*/a.jar"), "unread"),
        (replace(PATH, unread="pkg:*/a"), "unread"),
        (replace(OF_REPOSITORY, unread="opt/*.jar"), "unread"),
        (replace(PATH, vulnerability="CVE-2024-1"), "unread"),
        (replace(PATH, package="pkg:npm/a"), "unread"),
        (replace(PATH, rule="evidence"), "unread"),
        (replace(PATH, unread="a" * 4097), "unread"),
    ],
)
def test_an_invalid_waiver_is_refused_with_its_key(waiver: Waiver, key: str) -> None:
    with pytest.raises(UsageError, match=f"^{key}: "):
        waivers.check_waiver(waiver)


@pytest.mark.parametrize(
    "waiver",
    [
        PATH,
        OF_REPOSITORY,
        replace(PATH, unread="opt/**"),
        replace(PATH, unread="pkg:npm/a"),
        replace(PATH, unread="/a"),
    ],
)
def test_a_path_or_package_of_an_image_or_repository_can_be_accepted(waiver: Waiver) -> None:
    waivers.check_waiver(waiver)


def test_an_accepted_path_is_shown_and_does_not_block() -> None:
    assert judge(make_inventory_with(JAR)).status is Status.UNDETERMINED
    verdict = judge(make_inventory_with(JAR), PATH)
    assert verdict.status is Status.APPROVED
    assert verdict.summary.endswith("1 accepted unread path")
    (applied_waiver,) = verdict.platform_verdicts[0].waived
    assert (applied_waiver.by, applied_waiver.unread, applied_waiver.violation) == ("w1", JAR, f"{JAR} cannot be read.")
    assert (applied_waiver.owner, applied_waiver.until) == ("ana", "2026-12-31")


@pytest.mark.parametrize(
    "waiver",
    [
        replace(PATH, unread="opt/app"),
        replace(PATH, unread="opt/app/secret"),
        replace(PATH, image=SECOND_DIGEST),
        replace(PATH, until="2026-11-01"),
        replace(PATH, unread="/"),
        replace(PATH, unread="**"),
        replace(PATH, rule="evidence"),
        replace(PATH, image=None),
        replace(PATH, image=None, repository="team/app", unread="opt/**"),
    ],
)
def test_unread_content_without_a_waiver_blocks(waiver: Waiver) -> None:
    """Also by a waiver that could not be put on record, as from an older file."""
    assert judge(make_inventory_with(JAR), waiver).status is Status.UNDETERMINED


def test_a_pattern_accepts_the_paths_of_one_image_but_never_all_of_it() -> None:
    pattern = replace(PATH, unread="opt/**")
    assert judge(make_inventory_with(JAR, "opt/app/other.jar!/inner"), pattern).status is Status.APPROVED
    assert judge(make_inventory_with(JAR, "usr/lib/other.jar"), pattern).status is Status.UNDETERMINED
    assert judge(make_inventory_with("/"), pattern).status is Status.UNDETERMINED
    assert judge(make_inventory_with("//"), replace(PATH, unread="/")).status is Status.UNDETERMINED


def test_a_waiver_of_unread_content_accepts_no_finding() -> None:
    existing = AdvisorySnapshot((make_advisory("CVE-2024-1", "a"),), COVERED)
    verdict = judge(make_inventory_with(JAR), PATH, snapshot_override=existing)
    assert verdict.status is Status.REJECTED
    assert [applied_waiver.finding for applied_waiver in verdict.platform_verdicts[0].waived] == [None]


def test_an_image_with_only_an_accepted_file_is_not_called_empty() -> None:
    bare = replace(make_inventory_with("app/server"), packages=())
    path_waiver = replace(PATH, unread="app/server")
    assert judge(bare, path_waiver).status is Status.APPROVED
    assert judge(replace(bare, unread=()), path_waiver).status is Status.UNDETERMINED


@pytest.mark.parametrize("path", [*DATABASES, "var/lib/dpkg/status.d/base", "var/lib", "etc/os-release"])
def test_evidence_of_what_is_installed_is_accepted_for_one_image_only(path: str) -> None:
    of_image, of_repository = replace(PATH, unread=path), replace(OF_REPOSITORY, unread=path)
    check_protected(of_image, DATABASES)
    with pytest.raises(UsageError, match=r"^image: "):
        check_protected(of_repository, DATABASES)
    evidence = make_inventory_with(path.rstrip("/"))
    for waiver, remaining in ((of_image, 0), (of_repository, 1)):
        gate_input = apply_to_unread(evidence, Matches((), ()), ExemptionSet((waiver,)), IMAGE, NOW, DATABASES)
        assert len(gate_input.inventory.unread) == remaining


def list_remaining_entries(
    *doubts: UndeterminedFact, waiver: Waiver, inventory: Inventory
) -> tuple[UndeterminedFact, ...]:
    return apply_to_unread(
        inventory, Matches((), doubts), ExemptionSet((waiver,)), IMAGE, NOW, DATABASES
    ).matches.undetermined


def test_a_package_that_cannot_be_judged_is_accepted_by_its_purl() -> None:
    first = make_package("a")
    inventory = make_inventory(first)
    waiver = replace(PATH, unread=first.purl.partition("@")[0])
    for kind in ("uncomparable", "uncovered"):
        assert (
            list_remaining_entries(UndeterminedFact(first.purl, "why", kind), waiver=waiver, inventory=inventory) == ()
        )
        second = UndeterminedFact("pkg:npm/other@1", "why", kind)
        assert list_remaining_entries(second, waiver=waiver, inventory=inventory) == (second,)
    for other_kind, subject in (("stale", first.ecosystem), (None, first.purl), ("uncovered", "/")):
        doubt = UndeterminedFact(subject, "why", other_kind)
        assert list_remaining_entries(doubt, waiver=waiver, inventory=inventory) == (doubt,)


def test_an_ecosystem_without_a_feed_is_accepted_package_by_package() -> None:
    first, second = make_package("a"), make_package("b")
    inventory = make_inventory(first, second)
    without = AdvisorySnapshot((), (Coverage("kev", True, (), NOW),))
    waiver = [replace(PATH, id=item.name, unread=item.purl.partition("@")[0]) for item in (first, second)]
    assert judge(inventory, snapshot_override=without).status is Status.UNDETERMINED
    assert judge(inventory, waiver[0], snapshot_override=without).status is Status.UNDETERMINED
    assert judge(inventory, *waiver, snapshot_override=without).status is Status.APPROVED


def test_a_waiver_applies_under_a_policy_that_rejects_unread_content() -> None:
    strict = read_policy("evidence:\n  unread: reject\n")
    assert judge(make_inventory_with(JAR), policy=strict).status is Status.REJECTED
    assert judge(make_inventory_with(JAR), PATH, policy=strict).status is Status.APPROVED
