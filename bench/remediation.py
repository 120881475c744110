"""Judging an image with its remediation: 500 packages, 300 findings or 6,000, the search for the fewest upgrades
included.

    python bench/remediation.py [RUNS]

Made-up images, in six kinds: `forced`, where every package with a finding has to be raised; `budgets`, where limits
leave a choice among 20; `many`, where they leave one among 100; `stuck`, where a third of the findings has no fix;
`torn`, where a file could not be read, so that counting alone does not decide; `old`, where each of 300 packages has 20
findings, all fixed in versions of their own. One process, without reading any image or database; medians.
"""

import platform
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from dockgate.gate import evaluate, rules
from dockgate.gate.definitions.policy import complete_settings
from dockgate.gate.model import Policy, VerdictCase
from dockgate.gate.policy import make_policy
from dockgate.scanner import ecosystems
from dockgate.scanner.model import Inventory, Package, Unread
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, Coverage, Range, Rating, Severity

NOW = "2026-11-26T12:00:00Z"
PACKAGES, FINDINGS = 500, 300


def make_packages() -> tuple[Package, ...]:
    """Of Debian, two of each source."""
    return tuple(
        Package(
            name=f"lib{number:03}",
            version="1.0-1",
            purl=f"pkg:deb/debian/lib{number:03}@1.0-1?arch=amd64&distro=debian-13",
            ecosystem="Debian:13",
            source_name=f"source{number // 2:03}",
            source_version="1.0-1",
            path="var/lib/dpkg/status",
            layer="sha256:" + ("b" if number < 400 else "c") * 64,
        )
        for number in range(PACKAGES)
    )


def make_advisories(sources: int, severities: list[Severity], unfixed_every: int) -> Iterator[Advisory]:
    """150 of them, each of which is a finding in two packages; every `unfixed_every`th without a fix."""
    for number in range(FINDINGS // 2):
        fixed = () if unfixed_every and number % unfixed_every == 0 else (("fixed", f"1.0-{2 + number % 5}"),)
        severity = severities[number % sources % len(severities)]
        name = f"source{number % sources:03}"
        span = Range("ECOSYSTEM", (("introduced", "0"), *fixed))
        yield Advisory(f"CVE-2026-{number:04}", "Debian:13", name, (span,), ratings=(Rating("advisory", severity),))


def build_policy(**limits: object) -> Policy:
    all_rules = rules.load()
    settings = {rule.name: limits if rule.name == "max_findings" else rule.mandatory_settings for rule in all_rules}
    return make_policy(
        "bench",
        {rule.name: (complete_settings(rule, use),) for rule in all_rules if (use := settings[rule.name]) is not None},
    )


def make_cases() -> dict[str, VerdictCase]:
    layers = tuple("sha256:" + sign * 64 for sign in "bc")
    inventory = Inventory("sha256:" + "a" * 64, "linux/amd64", None, layers, make_packages(), (), base_layers=1)
    coverage = (Coverage("Debian:13", True, (), NOW),)
    high, mixed_severities = [Severity.HIGH], [Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW]
    old = [
        replace(
            advisory,
            id=f"{advisory.id}{year:02}",
            ranges=(Range("ECOSYSTEM", (("introduced", "0"), ("fixed", f"1.1-{year}"))),),
        )
        for advisory in make_advisories(150, mixed_severities, 0)
        for year in range(20)
    ]
    cases_by_name = {
        "forced": (list(make_advisories(50, high, 0)), build_policy(HIGH=0)),
        "budgets": (
            list(make_advisories(10, mixed_severities, 0)),
            build_policy(CRITICAL=0, HIGH=40, MEDIUM=50, LOW=45),
        ),
        "many": (list(make_advisories(50, mixed_severities, 0)), build_policy(CRITICAL=10, HIGH=20, MEDIUM=25, LOW=15)),
        "old": (old, build_policy(CRITICAL=0, HIGH=0, MEDIUM=10, LOW=15)),
        "stuck": (list(make_advisories(50, mixed_severities, 3)), build_policy(CRITICAL=0, HIGH=0, MEDIUM=10, LOW=15)),
    }
    cases = {
        name: VerdictCase(
            inventory.image_digest,
            under,
            NOW,
            "bench",
            (inventory,),
            AdvisorySnapshot(tuple(advisories_of_case), coverage),
        )
        for name, (advisories_of_case, under) in cases_by_name.items()
    }
    damaged_inventory = replace(inventory, unread=(Unread("opt/app.jar", "opt/app.jar cannot be read."),))
    cases["torn"] = replace(cases["many"], inventories=(damaged_inventory,))
    return cases


def main(runs: int) -> None:
    print(f"{platform.platform()}, Python {platform.python_version()}, {runs} runs")
    kinds, all_rules = ecosystems.load(), rules.load()
    for name, case in make_cases().items():
        took = []
        for _ in range(runs):
            begin = time.perf_counter()
            verdict = evaluate.judge(case, kinds, all_rules)
            took.append(time.perf_counter() - begin)
        (platform_verdict,) = verdict.platform_verdicts
        remediation = platform_verdict.remediation
        size = (
            "the fewest" if remediation.is_minimum else "irreducible" if remediation.is_sufficient else "does not turn"
        )
        print(
            f"{name:8} {len(platform_verdict.findings)} findings, {len(remediation.upgrades)} upgrades ({size}): "
            f"{statistics.median(took):.3f} s ({min(took):.3f}–{max(took):.3f})"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
