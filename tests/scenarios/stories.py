"""The stories that a server is killed in. Together they run every `EffectKind`.

A server may die at any moment of them: every request is repeated, and may have been served already.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from tests.scenarios import advisories, slow_http
from tests.scenarios.end_state import NOWHERE
from tests.scenarios.killable_server import OVER, Mortal
from tests.scenarios.live import PIPELINE, SERVICE, Clone, Live, application
from tests.scenarios.waiting_stories import SECRET as CALLBACK_SECRET
from tests.scenarios.waiting_stories import Receiver

from dockgate.services.durable_effects import EffectKind

BOGUS, REQUESTED = "sha256:" + "0" * 64, "sha256:" + "1" * 64
# What only happens on the way of `side_story`.
SIDE = (
    EffectKind.EXPIRE,
    EffectKind.STOP,
    EffectKind.FAIL_SCAN,
    EffectKind.REPORT,
    EffectKind.REQUEST_EXTERNAL_APPROVAL,
    EffectKind.DELIVER,
    EffectKind.RECORD_IMAGE,
)
# What another scanner reports of it, in Grype's form.
REPORT = {"matches": [], "descriptor": {"name": "grype"}, "source": {"type": "image"}}
# What only happens on the way of `voted_story`.
VOTED = (EffectKind.VOTE,)
# What only happens on the way of `accepted_story`.
ACCEPTED = (EffectKind.ACCEPT, EffectKind.ANNOUNCE)
# What only happens on the way of `fixed_story`.
FIXED = (EffectKind.PLAN_FIX, EffectKind.OFFER_FIX, EffectKind.END_FIX)


def main_story(server: Mortal) -> None:
    """Rejected, tried again, fixed, approved, deployed, scaled; then an advisory puts what runs at risk."""
    feed = server.folder / "feed"
    advisories.write(feed, advisories.DEMO)
    server.dockgate("db", "build", "--from", str(feed))
    server.insist(_done(server.set_up, "web", "Web", "web", count=0))
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
    server.insist(lambda: _attested(server, "web"))
    server.insist(lambda: server.put("/policies/strict", "max_findings:\n  HIGH: 0\n"))
    server.insist(lambda: _removed(server, "strict"))
    server.insist(lambda: server.post("/services/web/scale", {"desired_count": 1}))
    server.insist(lambda: [t["state"] for t in server.get("/services/web")["tasks"]] == ["RUNNING"])
    # Its task runs before the rollout ends: a server that was killed between the two goes on with it.
    server.insist(lambda: server.get("/services/web")["service"]["desired_count"] == 1)
    advisories.write(feed, advisories.DEMO, advisories.record("CVE-2026-2000", "demo", "3.0"))
    server.dockgate("db", "build", "--from", str(feed))
    server.insist(lambda: server.get("/services/web")["service"]["at_risk"])
    server.insist(lambda: "after converge\n" in (server.folder / "steps").read_text())


def side_story(server: Mortal) -> None:
    """A scan of nothing, and a report on it; a pipeline elsewhere that waits; an approval that waits out its time, an
    execution that is stopped while it waits."""
    advisories.write(server.folder / "feed", advisories.DEMO)
    server.dockgate("db", "build", "--from", str(server.folder / "feed"))
    for digest in (BOGUS, REQUESTED):
        server.insist(_done(server.report_push, NOWHERE, digest))
    server.insist(lambda: _bogus(server) or server.post(f"/images/{BOGUS}/scan", {"repository": NOWHERE}))
    server.insist(lambda: server.post(f"/images/{BOGUS}/findings", REPORT))
    receiver = Receiver()
    server.insist(lambda: server.get("/approvals") or _is_answered(server, receiver.url))
    server.insist(lambda: receiver.answers)
    for name, timeout in (("late", "1s"), ("stopped", "1d")):
        server.insist(partial(server.apply, f"kind: Repository\nname: {name}\n"))
        server.insist(partial(server.apply, SERVICE.format(name=name, count=0)))
        text = PIPELINE.format(name=name, repository=name, service=name, timeout=timeout)
        text = text.replace(f"image: {name}/app", f"image: slow/{name}")
        server.insist(partial(server.apply, text))
        work = Clone(server, name, server.folder / name)
        work.init()
        application(work, "2.0", greeting=name)
        work.commit("One")
        server.insist(_done(work.push))
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
    made = [server.insist(partial(server.post, "/waivers", body, {"Idempotency-Key": key})) for key in ("one", "two")]
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
    server.insist(lambda: _attested(server, "voted"))


def fixed_story(server: Mortal) -> None:
    """An advisory puts at risk what a pipeline delivered; its rebuild is started, and the gate rejects it."""
    feed = server.folder / "feed"
    advisories.write(feed, advisories.DEMO)
    server.dockgate("db", "build", "--from", str(feed))
    server.insist(lambda: server.apply("kind: Repository\nname: fixed\n"))
    server.insist(lambda: server.apply(SERVICE.format(name="fixed", count=0)))
    text = PIPELINE.format(name="fixed", repository="fixed", service="fixed", timeout="1d")
    server.insist(lambda: server.apply(text.replace("name: fixed\n", "name: fixed\nonFix: rebuild\n", 1)))
    work = Clone(server, "fixed", server.folder / "fixed")
    work.init()
    application(work, "2.0")
    # Only a build that does more than copy files of the repository may bring newer packages.
    stages = "FROM scratch AS files\nCOPY root/ /\nFROM scratch\nCOPY --from=files / /\n"
    dockerfile = (work.folder / "Dockerfile").read_text().replace("FROM scratch\nCOPY root/ /\n", stages)
    work.write({"Dockerfile": dockerfile})
    work.commit("One")
    server.insist(lambda: work.push() or True)
    assert server.ends("fixed-1") == "Succeeded"
    server.insist(lambda: _attested(server, "fixed"))
    advisories.write(feed, advisories.DEMO, advisories.record("CVE-2026-2000", "demo", "3.0"))
    server.dockgate("db", "build", "--from", str(feed))
    server.insist(lambda: [fix["state"] for fix in server.get("/pipelines/fixed/fixes")] == ["Failed"])
    assert server.ends("fixed-2") == "Failed"
    execution = server.insist(lambda: server.get("/executions/fixed-2")["execution"])
    assert execution["reason"].startswith("ContainerVulnerabilityAssessment/"), execution["reason"]


def _attested(server: Live, service: str) -> bool:
    """Whether what was deployed to the service bears its attestation: nothing waits for that."""
    image = server.get(f"/services/{service}")["definitions"][0]["image"]["digest"]
    records = server.get(f"/images/{image}/attestations")
    return bool(records) and all(record["attested_at"] for record in records)


def _bogus(server: Live) -> bool:
    """A scan that failed would be requested again."""
    return slow_http.get(f"{server.url}/api/v1/images/{BOGUS}").is_success


def _is_answered(server: Live, url: str) -> bool:
    """By a key, for the receiver's port differs from run to run."""
    body = {"pipeline": "elsewhere", "stage": "gate", "execution": "1", "digest": REQUESTED, "repository": NOWHERE}
    callback = {"url": url, "secret": CALLBACK_SECRET}
    answer = slow_http.post(
        f"{server.url}/api/v1/approvals", json={**body, "callback": callback}, headers={"Idempotency-Key": "one"}
    )
    assert answer.status_code == 201, answer.text
    return True


def _scans(server: Live) -> list[Any]:
    digests = {image["digest"] for image in server.get("/images?limit=1000&include_moved=true")["images"]} | {
        BOGUS,
        REQUESTED,
    }
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


def _done(action: Callable[..., object], *arguments: object, **settings: object) -> Callable[[], bool]:
    """The action as an attempt that succeeds as soon as it does not raise."""

    def attempt() -> bool:
        action(*arguments, **settings)
        return True

    return attempt


def _removed(server: Mortal, policy: str) -> bool:
    """A removal that was written before a crash stands, and is not made again."""
    return bool(server.delete(f"/policies/{policy}")["version"] == 2)


def _stopped(server: Mortal, execution: str) -> bool:
    if server.state(execution) == "Stopped":
        return True
    return bool(server.post(f"/executions/{execution}/stop", {"reason": "enough"}))
