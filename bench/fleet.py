"""The fleet at its size: what a change of advisories or policies costs, on SQLite and Postgres.

    python bench/fleet.py [--images 10000] [--database sqlite|postgres] [--no-changes]

The advisories are those of DOCKGATE_FEEDS. Every figure is a whole operation by the clock: reading, matching, judging,
writing, events included. On Postgres the cluster is that of the tests, but its commits reach the disk.
"""

import argparse
import os
import platform
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, func, select, text

sys.path.insert(0, str(Path(__file__).parent.parent))  # the cluster is that of the tests
from tests import postgres

import _advisories
import _fleet_questions
import _fleets
from dockgate.cli.main import reduce_garbage_collection
from dockgate.gate import rules
from dockgate.gate.model import Status, Waiver
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.scanner import ecosystems
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.feeds.advisories import CurrentDatabase, compare
from dockgate.services.fleet.contents import FleetContents
from dockgate.services.fleet.index import FleetIndex
from dockgate.services.fleet.indexed_image_judge import IndexedImageJudge, JudgedImage
from dockgate.services.fleet.verdict_renewal import VerdictRenewal
from dockgate.services.images.watched_images import WatchedImages
from dockgate.services.policies.policies import Policies
from dockgate.services.policies.selection import LoadedPolicy, PolicySelection
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.shared.timestamps import format_time
from dockgate.store import Store, open_store
from dockgate.store.images.tag_history import record_tag
from dockgate.store.records import PushedImage
from dockgate.store.schema.delivery import followed_callbacks, followed_images
from dockgate.store.schema.fleet import fleet_tags
from dockgate.vulnerabilities.database.keys import write_keys

POLICY = "kind: Policy\nname: fleet\nrules:\n  max_findings: {{CRITICAL: 0, HIGH: {high}, only_fixable: true}}\n"
EXPRESSION = (
    "kind: Policy\nname: fleet\nrules:\n  expression:\n"
    "    when: findings.filter(f, f.severity in ['CRITICAL', 'HIGH'] && f.fixed != '').size() > 3\n"
    "    message: too many\n"
)
TOUCHED_IMAGES, CHANGED = 500, 100
# One of so many images is followed for an outside pipeline.
FOLLOWED_EVERY = 20
# Images that are added one by one.
ALONE = 200


class Fleet:
    """A fleet in a new store, with everything that renews its verdicts."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.advisories = folder / "advisories.db"
        shutil.copy(_advisories.get_data_folder() / "advisories.db", self.advisories)
        self.store: Store = open_store(folder, postgres.make_database_url(folder) if database == "postgres" else None)
        unused_part = cast(Any, None)
        clock, effects = ServerClock(lambda: datetime.now(UTC)), Effects(lambda _: None)
        self.clock = clock
        kinds, all_rules = ecosystems.load(), rules.load()
        current = CurrentDatabase(self.advisories)
        self.policies = Policies(self.store, all_rules, clock, effects)
        selection = PolicySelection(self.store, self.policies, unused_part)
        server_waivers = ServerWaivers(self.store, unused_part, kinds, clock, effects, 7)
        judging = IndexedImageJudge(self.store, unused_part, server_waivers, unused_part, kinds, all_rules, clock)
        self.index = FleetIndex(self.store, current, kinds, clock, "bench")
        watching = WatchedImages(self.store, selection, clock, clock, "")
        self.verdict_renewal = VerdictRenewal(
            self.store, self.index, judging, selection, watching, current, compare, clock, effects
        )

    def record_judged(self) -> list[int]:
        """The images (ids) that are judged from now on."""
        images: list[int] = []

        @dataclass(frozen=True, slots=True)
        class RecordingJudging(IndexedImageJudge):
            def judge(
                self, loaded_policy: LoadedPolicy, parts: Iterable[FleetContents], *exemptions: Any
            ) -> Iterator[JudgedImage]:
                for judged_image in IndexedImageJudge.judge(self, loaded_policy, parts, *exemptions):
                    images.append(judged_image.image)
                    yield judged_image

        judging = self.verdict_renewal.image_judge
        values = {name: getattr(judging, name) for name in judging.__dataclass_fields__}
        self.verdict_renewal.image_judge = RecordingJudging(**values)
        return images

    def change_advisories(self, sql: Callable[[sqlite3.Connection], None]) -> None:
        """Put another database in the place of the present one."""
        replacement = self.folder / "next.db"
        shutil.copy(self.advisories, replacement)
        with closing(sqlite3.connect(replacement)) as connection:
            sql(connection)
            connection.execute("UPDATE meta SET value = value || 'x' WHERE key = 'digest'")
            write_keys(connection)
            connection.commit()
        os.replace(replacement, self.advisories)

    def list_rare_names(self) -> list[tuple[str, str]]:
        """Packages with findings, whose images together are at most TOUCHED_IMAGES."""
        components = dict(
            self.store.fleet.iterate_components({row.component for row in self.store.fleet_findings.iterate_findings()})
        )
        by_name: dict[tuple[str, str], set[int]] = {}
        for number, component in components.items():
            by_name.setdefault((component.ecosystem, component.source_name), set()).add(number)
        rare_names, images = [], set[int]()
        for key, numbers in sorted(by_name.items()):
            images_with_name = self.store.fleet.find_images_with(
                {bundle for _, bundle, _ in self.store.fleet.iterate_bundle_uses(numbers)}
            )
            if len(images_with_name) < 40 and len(images | images_with_name) <= TOUCHED_IMAGES:
                rare_names.append(key)
                images |= images_with_name
            if len(rare_names) == CHANGED:
                break
        print(f"{len(rare_names)} packages whose advisories change are in {len(images)} images")
        return rare_names


def main(count: int, database: str, *, has_changes: bool) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {database}")
    postgres.OPTIONS["fsync"] = "on"
    reduce_garbage_collection()  # as a server does
    with tempfile.TemporaryDirectory(prefix="dockgate-bench-") as name:
        fleet = Fleet(Path(name), database)
        document = ingest_images(fleet, count)
        fleet.policies.put("fleet", POLICY.format(high=9), "bench")
        fleet.store.policy_assignments.put(PolicyAssignment("all", ("**",), "fleet"), "bench", _fleets.NOW)
        report(
            "all components matched, all images judged for the first time",
            measure_use(fleet.verdict_renewal.renew),
            None,
        )
        print_counts(fleet)
        if has_changes:
            measure(fleet)
        rewrite(fleet)
        push(fleet)
        ask_questions(fleet)
        index = measure_size(fleet) / count
        print(f"disk: {index:.0f} bytes an image, its tag included, and {document:.0f} of its inventory document")


def ingest_images(fleet: Fleet, count: int) -> float:
    """Add all images, the last ones alone by the clock. Returns the bytes of an inventory document."""
    generator = _fleets.Generator(fleet.advisories)
    images = generator.generate_images(count)
    with ThreadPoolExecutor(8) as pool:  # which share a commit
        waiting = deque[Future[object]]()
        for image in islice(images, max(count - ALONE, 0)):
            waiting.append(pool.submit(fleet.store.fleet.add, image))
            if len(waiting) > 64:
                waiting.popleft().result()
        for entry in waiting:
            entry.result()
    times = sorted(measure_use(partial(fleet.store.fleet.add, image)) for image in images)
    report("ingest of one more image, p95", times[int(len(times) * 0.95)], 0.020)
    print(f"  median {times[len(times) // 2].seconds * 1000:.1f} ms")
    return statistics.mean(generator.document_sizes)


def measure(fleet: Fleet) -> None:
    report("nothing has changed", measure_use(fleet.verdict_renewal.renew), None)
    for high in (0, 1):
        fleet.policies.put("fleet", POLICY.format(high=high), "bench")
        report("everything judged again, a new policy", measure_use(fleet.verdict_renewal.renew), 1.0)
    fleet.change_advisories(lambda sql: None)
    report("another snapshot, nothing relevant changed", measure_use(fleet.verdict_renewal.renew), 0.3)
    names = fleet.list_rare_names()

    def withdraw(sql: sqlite3.Connection) -> None:
        for ecosystem, name in names:
            sql.execute(
                "DELETE FROM affected WHERE name = ? AND ecosystem IN (SELECT id FROM ecosystem WHERE name = ?)",
                (name, ecosystem),
            )

    def change_epss(sql: sqlite3.Connection) -> None:
        sql.execute("UPDATE predicted SET epss = epss * 0.9")
        sql.execute("UPDATE part SET content = content || 'x' WHERE feed = 'epss'")

    fleet.change_advisories(withdraw)
    before = fleet.store.event_log.read_newest_seq()
    report(f"{len(names)} packages with replacement advisories", measure_use(fleet.verdict_renewal.renew), 0.5)
    print(f"  {fleet.store.event_log.read_newest_seq() - before} events")
    fleet.change_advisories(change_epss)
    report("all EPSS values moved", measure_use(fleet.verdict_renewal.renew), None)
    measure_waivers(fleet)
    fleet.policies.put("fleet", EXPRESSION, "bench")
    report("everything judged again, a policy with an expression", measure_use(fleet.verdict_renewal.renew), 8.0)


def measure_waivers(fleet: Fleet) -> None:
    """Add and revoke a waiver of a vulnerability that the median number of images have, and of the most common one."""
    bundles: dict[int, set[int]] = {}  # by component
    images: dict[int, set[int]] = {}  # by bundle
    images_by_vulnerability: dict[int, set[int]] = {}
    findings = list(fleet.store.fleet_findings.iterate_findings())
    for component, bundle, _ in fleet.store.fleet.iterate_bundle_uses({finding.component for finding in findings}):
        bundles.setdefault(component, set()).add(bundle)
    for row in fleet.store.fleet.iterate_bundles_of_images():
        images.setdefault(row.bundle, set()).add(row.image)
    for finding in findings:
        of_component = (images.get(bundle, set()) for bundle in bundles.get(finding.component, ()))
        images_by_vulnerability.setdefault(finding.vulnerability, set()).update(*of_component)
    counts = {
        number: len(of_vulnerability)
        for number, of_vulnerability in images_by_vulnerability.items()
        if of_vulnerability
    }
    names = fleet.store.fleet_findings.list_vulnerabilities()
    until = format_time(datetime.now(UTC) + timedelta(days=30))
    median = statistics.median_low(counts.values())
    for kind, number in (
        ("median", min(counts, key=lambda number: abs(counts[number] - median))),
        ("most", max(counts, key=counts.__getitem__)),
    ):
        waiver = Waiver(f"bench-{kind}", "bench", "Measured.", vulnerability=names[number].name, until=until)
        for action, change in (
            ("added", partial(fleet.store.waivers.add, waiver)),
            ("revoked", partial(fleet.store.waivers.revoke, waiver.id, "bench", _fleets.NOW)),
        ):
            change()
            judged_images = fleet.record_judged()
            report(
                f"a waiver {action} of what {counts[number]} images have",
                measure_use(fleet.verdict_renewal.renew),
                None,
            )
            print(f"  {len(judged_images)} images judged again")


def rewrite(fleet: Fleet) -> None:
    """Change the verdicts by a policy that counts other findings."""
    fleet.policies.put("fleet", POLICY.format(high=9), "bench")
    fleet.verdict_renewal.renew()
    before = fleet.store.fleet_verdicts.list_of_policy("fleet")
    fleet.policies.put("fleet", "kind: Policy\nname: fleet\nrules:\n  max_findings: {total: 0}\n", "bench")
    used = measure_use(fleet.verdict_renewal.renew)
    after = fleet.store.fleet_verdicts.list_of_policy("fleet").items()
    changed_count = sum(verdict != before.get(image) for image, verdict in after)
    report(f"everything judged again, {changed_count} verdicts rewritten", used, None)


def push(fleet: Fleet) -> None:
    """Give every image a tag, a minute after the one before, and have some followed for outside pipelines.

    A third of the images are pushed as `main`, which each of them moves from the image before in its repository.
    """
    start = datetime(2026, 1, 1, tzinfo=UTC)
    images = list(fleet.store.fleet.iterate_images())
    with fleet.store.database.write() as connection:
        for number, image in enumerate(images):
            at = format_time(start + timedelta(minutes=number))
            tag = f"v{number}" if number % 3 else "main"
            record_tag(connection, PushedImage(image.repository, tag, image.digest, at))
            if number % FOLLOWED_EVERY == 0:
                follow(connection, image.repository, image.digest, at)
    print_locations(fleet)
    if not fleet.store.database.is_sqlite:
        with fleet.store.database.open_autocommit() as connection:
            connection.execute(text("ANALYZE"))  # as Postgres itself does within a minute


def follow(connection: Connection, repository: str, image: str, at: str) -> None:
    """Follow an image as after the approval of an outside pipeline with a callback."""
    key = {"image": image, "repository": repository, "policy": "fleet"}
    state = {"status": Status.APPROVED, "verdict": f"sha256:{0:064}", "summary": "", "changed_at": at, "changes": 0}
    connection.execute(followed_images.insert().values(**key, **state))
    callback = {"receiver": "ci.example.org", "callback": "", "status": Status.APPROVED, "messages": 0}
    approval = f"external/bench-{image[7:15]}/gate/{image[7:]}"
    connection.execute(followed_callbacks.insert().values(**key, **callback, approval=approval))


def print_locations(fleet: Fleet) -> None:
    """Print how many images no tag names any more, and how many are followed."""
    tags = fleet_tags.c
    named_digests = select(tags.digest).where(tags.until.is_(None))
    with fleet.store.database.read() as connection:
        moved_count = connection.scalar(
            select(func.count(tags.digest.distinct())).where(~tags.digest.in_(named_digests))
        )
        followed_count = connection.scalar(select(func.count()).select_from(followed_images))
        both_count = connection.scalar(select(func.count()).where(~followed_images.c.image.in_(named_digests)))
    print(f"  {moved_count} images without a tag, {followed_count} followed, {both_count} of these without a tag")


def ask_questions(fleet: Fleet) -> None:
    service = fleet.verdict_renewal
    selection, judging = service.selection, service.image_judge
    fleet.policies.put("fleet", POLICY.format(high=9), "bench")
    service.renew()
    for name, times in _fleet_questions.ask(
        fleet.store,
        fleet.index.advisories,
        judging.waivers,
        service.watched_images,
        selection.read_timeline,
        judging.ecosystems,
        fleet.clock,
    ):
        print(f"{name:55} {times.describe()}", flush=True)


def print_counts(fleet: Fleet) -> None:
    components = sum(1 for _ in fleet.store.fleet.iterate_components())
    findings = list(fleet.store.fleet_findings.iterate_findings())
    verdicts = fleet.store.fleet_verdicts.list_of_policy("fleet").values()
    statuses = sorted(verdict.status.value for verdict in verdicts)
    numbers = [sum(verdict.counts) for verdict in verdicts]
    print(
        f"  {components} components, {len({row.component for row in findings})} with {len(findings)} findings;"
        f" {statistics.median(numbers):.0f} that count in the median image;"
        f" { {status: statuses.count(status) for status in sorted(set(statuses))} }"
    )


def measure_size(fleet: Fleet) -> int:
    """The bytes of the database."""
    if fleet.store.database.is_sqlite:
        return sum(path.stat().st_size for path in fleet.folder.glob("dockgate.db*"))
    with fleet.store.database.read() as connection:
        return int(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)


class Used(NamedTuple):
    """Seconds by the clock, and of this process's processor time."""

    seconds: float
    processor: float = 0.0


def measure_use(run: Callable[[], object]) -> Used:
    begin, begin_processor = time.perf_counter(), time.process_time()
    run()
    return Used(time.perf_counter() - begin, time.process_time() - begin_processor)


def report(name: str, used: Used, bar: float | None) -> None:
    judgment_text = "" if bar is None else f"   bar {bar:.3f} s   {'pass' if used.seconds <= bar else 'MISS'}"
    print(f"{name:62} {used.seconds:8.3f} s ({used.processor:7.3f} s of processor){judgment_text}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--no-changes", action="store_true", help="leave out what changes of advisories cost")
    options = parser.parse_args()
    main(options.images, options.database, has_changes=not options.no_changes)
