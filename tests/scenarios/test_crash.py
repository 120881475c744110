"""Killed before and after every effect, started again, the server ends where it ends without.

The moments are not chosen: they are `Step`, all of it. For each step the server is killed before the step's first
time, and, started again, after it; several steps are gone through in one life, one after the other. Then tables,
registry and containers are compared with those of a server that was left alone.
"""

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from tests.scenarios import advisories
from tests.scenarios.live import PIPELINE, SERVICE, Clone, Live, application
from tests.scenarios.waiting import SECRET as CALLBACK_SECRET
from tests.scenarios.waiting import Receiver

from dockgate.pipeline.effects import Step

pytestmark = pytest.mark.real

T = TypeVar("T")

AT_ONCE = 6
"""steps that the server is killed around in one story"""
OVER = ("Succeeded", "Failed", "Stopped")
BOGUS, ASKED = "sha256:" + "0" * 64, "sha256:" + "1" * 64
SIDE = (Step.EXPIRE, Step.STOP, Step.FAIL_SCAN, Step.REPORT, Step.ASK, Step.DELIVER, Step.RECORD_IMAGE)
"""what only happens on the way of `side_story`"""
FOUND = {"matches": [], "descriptor": {"name": "grype"}, "source": {"type": "image"}}
"""what another scanner reports of it, in Grype's form"""
VOTED = (Step.VOTE,)
"""what only happens on the way of `voted_story`"""
ACCEPTED = (Step.ACCEPT, Step.ANNOUNCE)
"""what only happens on the way of `accepted_story`"""


@dataclass
class Mortal(Live):
    """A server that dies at the moments given, in order, and is started again whenever it is found dead."""

    moments: list[str] = field(default_factory=list)
    deaths: int = 0

    def said(self) -> str:
        return (self.folder / "server.log").read_text()[-4000:]

    def revive(self) -> None:
        if not self.alive():
            if self.process is not None and self.process.returncode != -9:
                raise AssertionError(f"ended with {self.process.returncode}: {self.said()}")
            self.deaths += self.process is not None
            self.start(DOCKGATE_CRASH_AT=self.moments[self.deaths] if self.deaths < len(self.moments) else "")

    def insist(self, attempt: Callable[[], T], seconds: float = 300) -> T:
        """The attempt's first true value, made again as long as the server dies under it."""
        end = time.monotonic() + seconds
        while True:
            try:
                self.revive()
                if value := attempt():
                    return value
            except (httpx.TransportError, AssertionError):
                if self.alive() and time.monotonic() > end:
                    raise
            assert time.monotonic() < end, f"waited {seconds} s in vain: {self.said()}"
            time.sleep(0.05)

    def state(self, execution: str) -> str:
        found: str = self.get(f"/executions/{execution}")["execution"]["state"]
        return found

    def ends(self, execution: str) -> str:
        return self.insist(lambda: (state := self.state(execution)) in OVER and state)  # type: ignore[return-value]


def main_story(server: Mortal) -> None:
    """Rejected, tried again, mended, approved, deployed, scaled; then an advisory puts what runs at risk."""
    feed = server.folder / "feed"
    advisories.write(feed, advisories.DEMO)
    server.dockgate("db", "build", "--from", str(feed))
    server.insist(lambda: server.set_up("web", "Web", "web", count=0) or True)
    work = Clone(server, "web", server.folder / "web")
    work.init()
    application(work, "1.0")
    work.commit("One")
    server.insist(lambda: work.push() or True)
    assert server.ends("Web-1") == "Failed"
    server.insist(lambda: _retried(server, "Web-1"))
    assert server.ends("Web-1") == "Failed"
    application(work, "2.0")
    work.commit("Two")
    server.insist(lambda: work.push() or True)
    assert server.ends("Web-2") == "Succeeded"
    server.insist(lambda: server.put("/policies/strict", "max_findings:\n  HIGH: 0\n"))
    server.insist(lambda: _removed(server, "strict"))
    server.insist(lambda: server.post("/services/web/scale", {"desired_count": 1}))
    server.insist(lambda: [t["state"] for t in server.get("/services/web")["tasks"]] == ["RUNNING"])
    advisories.write(feed, advisories.DEMO, advisories.record("CVE-2026-2000", "demo", "3.0"))
    server.dockgate("db", "build", "--from", str(feed))
    server.insist(lambda: server.get("/services/web")["service"]["at_risk"])


def side_story(server: Mortal) -> None:
    """A scan of nothing, and a report on it; a pipeline elsewhere that waits; an approval that waits out its time, an
    execution that is stopped while it waits."""
    advisories.write(server.folder / "feed", advisories.DEMO)
    server.dockgate("db", "build", "--from", str(server.folder / "feed"))
    server.insist(lambda: _bogus(server) or server.post(f"/images/{BOGUS}/scan", {"repository": "nowhere"}))
    server.insist(lambda: server.post(f"/images/{BOGUS}/findings", FOUND))
    receiver = Receiver()
    server.insist(lambda: server.get("/approvals") or _asked(server, receiver.url))
    server.insist(lambda: receiver.answers)
    for name, timeout in (("late", "1s"), ("stopped", "1d")):
        server.insist(lambda name=name: server.apply(f"kind: Repository\nname: {name}\n"))
        server.insist(lambda name=name: server.apply(SERVICE.format(name=name, count=0)))
        text = PIPELINE.format(name=name, repository=name, service=name, timeout=timeout)
        text = text.replace(f"image: {name}/app", f"image: slow/{name}")
        server.insist(lambda text=text: server.apply(text))
        work = Clone(server, name, server.folder / name)
        work.init()
        application(work, "2.0", greeting=name)
        work.commit("One")
        server.insist(lambda work=work: work.push() or True)
    server.insist(lambda: _waits(server, "stopped-1") or server.state("stopped-1") in OVER)
    server.insist(lambda: _stopped(server, "stopped-1"))
    assert server.ends("stopped-1") == "Stopped"
    assert server.ends("late-1") == "Failed"
    assert len(receiver.answers) == 1
    assert receiver.errors == []
    receiver.close()
    server.insist(lambda: all(scan and scan["finished_at"] for scan in _scans(server)))


def accepted_story(server: Mortal) -> None:
    """A waiver that lapses soon and is announced, another that is revoked, a VEX document that is taken back."""
    until = f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%d}"
    body = {"owner": "ana", "reason": "why", "vulnerability": "CVE-2026-1", "until": until}
    made = [
        server.insist(lambda key=key: server.post("/waivers", body, {"Idempotency-Key": key})) for key in ("one", "two")
    ]
    server.insist(lambda: server.post(f"/waivers/{made[1]['waiver']['id']}/revoke"))
    vex = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "author": "Vendor",
        "timestamp": "2026-11-01T00:00:00Z",
        "statements": [{"vulnerability": "CVE-2026-1", "products": ["pkg:npm/a"], "status": "fixed"}],
    }
    document = server.insist(lambda: server.post("/vex", vex))["document"]
    server.insist(lambda: server.post(f"/vex/{document}/remove"))
    server.insist(lambda: server.get(f"/waivers/{made[0]['waiver']['id']}")["announced_at"])


def voted_story(server: Mortal) -> None:
    """An execution waits for a person, who says yes."""
    advisories.write(server.folder / "feed", advisories.DEMO)
    server.dockgate("db", "build", "--from", str(server.folder / "feed"))
    server.insist(lambda: server.apply("kind: Repository\nname: voted\n"))
    server.insist(lambda: server.apply(SERVICE.format(name="voted", count=0)))
    text = PIPELINE.format(name="voted", repository="voted", service="voted", timeout="1d")
    text = text.replace("timeout: 1d", "timeout: 1d\n        approvers: {principals: [ann]}")
    server.insist(lambda: server.apply(text))
    work = Clone(server, "voted", server.folder / "voted")
    work.init()
    application(work, "2.0")
    work.commit("One")
    server.insist(lambda: work.push() or True)
    ann = {"name": "ann", "roles": ["admin"], "email": "ann@example.org"}
    token = server.insist(lambda: server.post("/principals", ann))["token"]
    server.environment = {**server.environment, "DOCKGATE_TOKEN": token}
    server.insist(lambda: _waits(server, "voted-1"))
    vote = "/approvals/voted-1/ContainerVulnerabilityAssessment/Approval/1/vote"
    server.insist(lambda: server.post(vote, {"yes": True, "reason": "fine"}))
    assert server.ends("voted-1") == "Succeeded"
    image = next(
        one["digest"] for one in server.insist(lambda: server.get("/images")) if one["tag"].startswith("voted")
    )
    server.insist(lambda: [one["attested_at"] for one in server.get(f"/images/{image}/attestations")] not in ([], [""]))


def _bogus(server: Live) -> bool:
    """A scan that failed would be asked for anew."""
    return httpx.get(f"{server.url}/api/v1/images/{BOGUS}", timeout=30).is_success


def _asked(server: Live, url: str) -> bool:
    """By a key, for the receiver's port differs from run to run."""
    body = {"pipeline": "elsewhere", "stage": "gate", "execution": "1", "digest": ASKED, "repository": "nowhere"}
    callback = {"url": url, "secret": CALLBACK_SECRET}
    answer = httpx.post(
        f"{server.url}/api/v1/approvals", json={**body, "callback": callback}, headers={"Idempotency-Key": "one"}
    )
    assert answer.status_code == 201, answer.text
    return True


def _scans(server: Live) -> list[Any]:
    digests = {image["digest"] for image in server.get("/images")} | {BOGUS, ASKED}
    return [server.get(f"/images/{digest}")["scan"] for digest in sorted(digests)]


def _waits(server: Live, execution: str) -> bool:
    stages = server.get(f"/executions/{execution}")["stages"]
    return any(action["state"] == "Waiting" for stage in stages for action in stage["actions"])


def _retried(server: Mortal, execution: str) -> bool:
    """Asked again after a crash, a retry that was written is refused: nothing stands failed any more, or it failed
    again."""
    attempts = [
        action["attempt"]
        for stage in server.get(f"/executions/{execution}")["stages"]
        for action in stage["actions"]
        if action["type"] == "approval"
    ]
    return attempts == [2] or bool(server.post(f"/executions/{execution}/retry"))


def _removed(server: Mortal, policy: str) -> bool:
    """A removal that was written before a crash stands, and is not made again."""
    return server.delete(f"/policies/{policy}")["version"] == 2


def _stopped(server: Mortal, execution: str) -> bool:
    if server.state(execution) == "Stopped":
        return True
    return bool(server.post(f"/executions/{execution}/stop", {"reason": "enough"}))


# --- what is compared ------------------------------------------------------------------------------------------------

MASKED = re.compile(r"(_at|_until|^since|^url|^receiver|^body|^at|^seq|^token|^expires_at)$")
"""times, tokens, ports, and the order in which rows happened to come"""


def picture(server: Mortal) -> dict[str, Any]:
    """Tables, registry and containers, with what differs from run to run (times, tokens, ports) put aside.

    An image's digest holds the time of its build: it is called by its tag here, and every other digest by nothing.
    """
    tags = _registry(server)
    names = {digest: f"{repository}:{tag}" for repository, found in tags.items() for tag, digest in found.items()}

    def named(text: str) -> str:
        text = text.replace(f"127.0.0.1:{server.registry_port}", "registry")
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "now", text)
        return re.sub("sha256:[0-9a-f]{64}", lambda found: names.get(found[0], "sha256:*"), text)

    def beside(text: str) -> str:
        """A tag of attestations bears its image's digest."""
        return re.sub("sha256-([0-9a-f]{64})", lambda found: names.get(f"sha256:{found[1]}", "?"), text)

    return {
        "tables": {
            table: sorted(named(row) for row in rows) for table, rows in _tables(server.data / "dockgate.db").items()
        },
        "registry": sorted(map(beside, names.values())),
        "tasks": [named(task) for task in _tasks(server)],
    }


def _tables(file: Path) -> dict[str, list[str]]:
    sql = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    sql.row_factory = sqlite3.Row
    try:
        names = [row[0] for row in sql.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = {}
        for name in names:
            rows = sql.execute(f'SELECT * FROM "{name}"')  # noqa: S608 - the name is out of the schema
            tables[name] = [json.dumps(_kept(dict(row)), sort_keys=True, default=str) for row in rows]
    finally:
        sql.close()
    del tables["identity"]
    # A call that a crash left without an answer is made again, and is on record twice.
    del tables["audit"]
    del tables["tokens"]  # made of chance
    # The registry tells of a push at least once.
    tables["events"] = [row for row in tables["events"] if "Image Push" not in row]
    return tables


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    return {
        column: value for column, value in row.items() if not MASKED.search(column) and not isinstance(value, bytes)
    }


def _registry(server: Live) -> dict[str, dict[str, str]]:
    base = f"http://127.0.0.1:{server.registry_port}/v2"
    found: dict[str, dict[str, str]] = {}
    for repository in httpx.get(f"{base}/_catalog").json()["repositories"]:
        tags = httpx.get(f"{base}/{repository}/tags/list").json()["tags"] or []
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        found[repository] = {
            tag: httpx.head(f"{base}/{repository}/manifests/{tag}", headers=accept).headers["docker-content-digest"]
            for tag in tags
        }
    return found


def _tasks(server: Live) -> list[str]:
    services = [item["service"]["name"] for item in server.get("/services")]
    tasks = [task for name in services for task in server.get(f"/services/{name}")["tasks"]]
    return sorted(f"{task['service']} {task['revision']} {task['state']} {task['digest']}" for task in tasks)


# --- the tests -------------------------------------------------------------------------------------------------------


def play(folder: Path, story: Callable[[Mortal], None], moments: list[str]) -> tuple[dict[str, Any], int]:
    server = Mortal(
        folder,
        entry=("-m", "tests.scenarios.crashing"),
        environment={
            "GIT_AUTHOR_DATE": "2026-11-24T10:00:00Z",
            "GIT_COMMITTER_DATE": "2026-11-24T10:00:00Z",
            "DOCKGATE_STEPS": str(folder / "steps"),
        },
        moments=moments,
    )
    # Tags are made with the server's secret: with one secret both servers give the same.
    (server.data / "run").mkdir(parents=True)
    (server.data / "run/registry-secret").write_text("only-for-tests")
    try:
        story(server)
        server.moments = []
        server.revive()
        return picture(server), server.deaths
    finally:
        server.purge()


@dataclass(frozen=True)
class Undisturbed:
    """A story with nobody dying: where it ends, and the steps on its way in the order of their first time."""

    picture: dict[str, Any]
    order: list[str]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Mortal], None]], Undisturbed]:
    """Each story once."""
    played: dict[str, Undisturbed] = {}

    def of(story: Callable[[Mortal], None]) -> Undisturbed:
        if story.__name__ not in played:
            folder = tmp_path_factory.mktemp(story.__name__)
            picture, deaths = play(folder, story, [])
            assert deaths == 0
            order = [line.removeprefix("before ") for line in (folder / "steps").read_text().splitlines()]
            played[story.__name__] = Undisturbed(picture, list(dict.fromkeys(order)))
        return played[story.__name__]

    return of


def _batches() -> Iterator[tuple[Callable[[Mortal], None], tuple[Step, ...]]]:
    """Every step, with those that happen on the way of the same story, so many at a time."""
    others = {side_story: SIDE, accepted_story: ACCEPTED, voted_story: VOTED}
    theirs = {step for steps in others.values() for step in steps}
    for story, steps in {main_story: tuple(step for step in Step if step not in theirs), **others}.items():
        for start in range(0, len(steps), AT_ONCE):
            yield story, steps[start : start + AT_ONCE]


BATCHES = tuple(_batches())


@pytest.mark.parametrize(
    ("story", "steps"), BATCHES, ids=lambda value: "-".join(value) if isinstance(value, tuple) else "story"
)
def test_killed_around_steps_it_ends_as_if_left_alone(
    story: Callable[[Mortal], None],
    steps: tuple[Step, ...],
    undisturbed: Callable[[Callable[[Mortal], None]], Undisturbed],
    tmp_path: Path,
) -> None:
    """In the order in which the story first comes to them. A step that an earlier death has let pass by is tried in
    a story of its own."""
    left_alone = undisturbed(story)
    missing = [step for step in steps if step not in left_alone.order]
    assert missing == [], "not on the story's way, so they cannot be tried"
    ordered = sorted(steps, key=left_alone.order.index)
    moments = [moment for step in ordered for moment in (f"before {step}", f"after {step}")]
    while moments:
        folder = tmp_path / str(len(moments))
        folder.mkdir()
        ended, deaths = play(folder, story, moments)
        assert deaths, f"nobody died {moments[0]}"
        assert ended["registry"] == left_alone.picture["registry"]
        assert ended["tasks"] == left_alone.picture["tasks"]
        for table, rows in left_alone.picture["tables"].items():
            assert ended["tables"][table] == rows, table
        moments = moments[deaths:]


def test_every_step_is_killed_around() -> None:
    assert sorted(step for _, steps in BATCHES for step in steps) == sorted(Step)
