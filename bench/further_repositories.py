"""Images in a second repository, or that services run: which of them a changed advisory database has judged again.

    python bench/further_repositories.py [--images 2000] [--services 1000] [--database sqlite|postgres]

Every image has 20 of 300 packages; each service runs another image. Processor seconds of this process; on Postgres, the
server's are not in it.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests drive the same server
from tests.scanned_platforms import list_platforms
from tests.scenarios.planned_images import make_advisory, make_package
from tests.scenarios.server import ServerSystem
from tests.services import running_services
from tests.services.further_repositories import count_verdicts

from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.gate.policy_reference import PolicyReference
from dockgate.scanner.model import Distribution, Inventory
from dockgate.services.durable_effects import Effects
from dockgate.shared.digest import compute_digest
from dockgate.shared.references import ImageReference
from dockgate.shared.timestamps import format_time
from dockgate.store.records import PushedImage
from dockgate.vulnerabilities.model import Severity

PACKAGES, PACKAGES_OF_IMAGE, ADVISORIES = 300, 20, 100


def main(count: int, service_count: int, database: str) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {database}")
    with tempfile.TemporaryDirectory(prefix="dockgate-bench-") as name:
        system = ServerSystem(Path(name), database=database)
        try:
            system.advisories.advisories = [
                make_advisory(f"package{number}", Severity.LOW, "2") for number in range(ADVISORIES)
            ]
            push_images(system, count)
            measure(system)
            run_services(system, service_count)
            measure_services(system)
        finally:
            system.close()


def push_images(system: ServerSystem, count: int) -> None:
    """Read images in dev/app, and push each to prod/app."""
    random, images, now = Random(1), system.store.images, format_time(system.clock())  # noqa: S311 - the same each time
    for number in range(count):
        image = compute_digest(str(number).encode())
        scan = images.request_scan(image, "dev/app", now)
        names = sorted(random.sample(range(PACKAGES), PACKAGES_OF_IMAGE))
        packages = tuple(make_package(f"package{name}") for name in names)
        inventory = Inventory(image, "linux/amd64", Distribution("debian", "13"), (), packages, ())
        images.finish_scan(image, scan.number, list_platforms(inventory), None, now)
        for repository in ("dev/app", "prod/app"):
            images.add_push(PushedImage(repository, str(number), image, now))
        system.use_cases.verdicts.judge_push(image, "prod/app", scan.number)
    while system.store.images.list_unindexed(1):
        system.use_cases.fleet_index.add_missing()


def measure(system: ServerSystem) -> None:
    """Measure the images of prod/app."""
    verdicts = count_verdicts(system.use_cases.verdicts)
    review = replace(system.use_cases.repository_verdicts, verdicts=verdicts, effects=Effects()).review
    measure_updates(system, "images", review, verdicts.judged)


def run_services(system: ServerSystem, count: int) -> None:
    """Have so many services run an image of prod/app each, which is approved there."""
    registry, policy = system.services.addresses.registry, PolicyReference("default")
    for number in range(count):
        image = compute_digest(str(number).encode())
        system.use_cases.verdicts.judge_followed(image, "prod/app", policy)
        reference = ImageReference(f"{registry}/prod/app", image)
        definition = TaskDefinition(f"service{number}", 0, "app", reference)
        system.store.services.put(Service(definition.family, "podman", 1, 0), definition)


def measure_services(system: ServerSystem) -> None:
    """Measure what the services run."""
    verdicts = running_services.count_verdicts(system.use_cases.verdicts)
    review = replace(system.use_cases.service_risk, verdicts=verdicts, effects=Effects()).review
    measure_updates(system, "services", review, verdicts.judged)


def measure_updates(system: ServerSystem, name: str, review: Callable[[], None], judged_items: list[Any]) -> None:
    """Print how many items are judged, and in how long, after each of some updates of the advisories.

    The effects are plain ones: those of the server need its heartbeat on Postgres, which is not started.
    """
    advisories = system.advisories.advisories
    verdict_renewal = replace(system.use_cases.verdict_renewal, effects=Effects())
    for change, package in (("first round", None), ("unrelated advisory", "unrelated"), ("advisory", "package299")):
        if package is not None:
            advisories.append(make_advisory(package, Severity.CRITICAL, "2", name))
        verdict_renewal.renew()
        judged_count, start = 0, time.process_time()
        while True:
            judged_items.clear()
            review()
            if not judged_items:
                break
            judged_count += len(judged_items)
        used = time.process_time() - start
        round_start = time.process_time()
        review()
        idle = time.process_time() - round_start
        print(f"{name}, {change}: {judged_count} judged in {used:.2f} s, a round without work {idle:.3f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    arguments = parser.parse_args()
    main(arguments.images, arguments.services, arguments.database)
