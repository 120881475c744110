"""Images in a second repository: which of them a changed advisory database has judged again, and at what cost.

    python bench/further_repositories.py [--images 2000] [--database sqlite|postgres]

Every image has 20 of 300 packages. Processor seconds of this process; on Postgres, the server's are not in it.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests drive the same server
from tests.scanned_platforms import list_platforms
from tests.scenarios.planned_images import make_advisory, make_package
from tests.scenarios.server import ServerSystem
from tests.services.further_repositories import count_verdicts

from dockgate.scanner.model import Distribution, Inventory
from dockgate.shared.digest import compute_digest
from dockgate.shared.timestamps import format_time
from dockgate.store.records import PushedImage
from dockgate.vulnerabilities.model import Severity

PACKAGES, PACKAGES_OF_IMAGE, ADVISORIES = 300, 20, 100


def main(count: int, database: str) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {database}")
    with tempfile.TemporaryDirectory(prefix="dockgate-bench-") as name:
        system = ServerSystem(Path(name), database=database)
        try:
            system.advisories.advisories = [
                make_advisory(f"package{number}", Severity.LOW, "2") for number in range(ADVISORIES)
            ]
            push_images(system, count)
            measure(system)
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
    use_cases, advisories = system.use_cases, system.advisories.advisories
    verdicts = count_verdicts(use_cases.verdicts)
    repository_verdicts = replace(use_cases.repository_verdicts, verdicts=verdicts)
    for change, package in (("first round", None), ("unrelated advisory", "unrelated"), ("advisory", "package299")):
        if package is not None:
            advisories.append(make_advisory(package, Severity.CRITICAL, "2"))
        use_cases.verdict_renewal.renew()
        judged_count, start = 0, time.process_time()
        while True:
            verdicts.judged.clear()
            round_start = time.process_time()
            repository_verdicts.review()
            if not verdicts.judged:
                break
            judged_count += len(verdicts.judged)
        end = time.process_time()
        used, idle = round_start - start, end - round_start
        print(f"{change}: {judged_count} judged in {used:.2f} s, a round without work {idle:.3f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    arguments = parser.parse_args()
    main(arguments.images, arguments.database)
