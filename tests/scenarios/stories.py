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
# What only happens on the way of `play_side_story`.
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
# What only happens on the way of `play_vote_story`.
VOTED = (EffectKind.VOTE,)
# What only happens on the way of `play_waiver_story`.
ACCEPTED = (EffectKind.ACCEPT, EffectKind.ANNOUNCE)
# What only happens on the way of `play_fix_story`.
FIXED = (EffectKind.PLAN_FIX, EffectKind.OFFER_FIX, EffectKind.END_FIX)


def play_main_story(server: Mortal) -> None:
    """Rejected, tried again, fixed, approved, deployed, scaled; then an advisory puts what runs at risk."""
    feed = server.folder / "feed"
    work = _set_up_web(server)
    application(work, "1.0")
    work.commit("One")
    server.repeat_until_done(lambda: work.push() or True)
    assert server.wait_for_end("Web-1") == "Failed"
    server.repeat_until_done(lambda: _has_retried(server, "Web-1"))
    assert server.wait_for_end("Web-1") == "Failed"
    _deliver_fixed_version(server, work, "Web-2")
    server.repeat_until_done(lambda: server.put("/policies/strict", "max_findings:\n  HIGH: 0\n"))
    server.repeat_until_done(lambda: _is_removed(server, "strict"))
    _run_one_task(server)
    advisories.write(feed, advisories.DEMO, advisories.record("CVE-2026-2000", "demo", "3.0"))
    server.run_dockgate("db", "build", "--from", str(feed))
    server.repeat_until_done(lambda: server.get("/services/web")["service"]["at_risk"])
    server.repeat_until_done(lambda: "after converge\n" in (server.folder / "steps").read_text())


def play_delivery_story(server: Mortal) -> None:
    """Approved, deployed, scaled: the part of the main story that every push to production has."""
    _deliver_fixed_version(server, _set_up_web(server), "Web-1")
    _run_one_task(server)


def _set_up_web(server: Mortal) -> Clone:
    advisories.write(server.folder / "feed", advisories.DEMO)
    server.run_dockgate("db", "build", "--from", str(server.folder / "feed"))
    server.repeat_until_done(_make_attempt(server.set_up, "web", "Web", "web", count=0))
    work = Clone(server, "web", server.folder / "web")
    work.create_data()
    return work


def _deliver_fixed_version(server: Mortal, work: Clone, execution: str) -> None:
    application(work, "2.0")
    work.commit("Two")
    server.repeat_until_done(lambda: work.push() or True)
    assert server.wait_for_end(execution) == "Succeeded"
    server.repeat_until_done(lambda: _is_attested(server, "web"))


def _run_one_task(server: Mortal) -> None:
    server.repeat_until_done(lambda: server.post("/services/web/scale", {"desired_count": 1}))
    server.repeat_until_done(lambda: [t["state"] for t in server.get("/services/web")["tasks"]] == ["RUNNING"])
    # Its task runs before the rollout ends: a server that was killed between the two goes on with it.
    server.repeat_until_done(lambda: server.get("/services/web")["service"]["desired_count"] == 1)


def play_side_story(server: Mortal) -> None:
    """A scan of nothing, and a report on it; a pipeline elsewhere that waits; an approval that waits out its time, an
    execution that is stopped while it waits."""
    advisories.write(server.folder / "feed", advisories.DEMO)
    server.run_dockgate("db", "build", "--from", str(server.folder / "feed"))
    for digest in (BOGUS, REQUESTED):
        server.repeat_until_done(_make_attempt(server.report_push, NOWHERE, digest))
    server.repeat_until_done(
        lambda: _has_bogus_image(server) or server.post(f"/images/{BOGUS}/scan", {"repository": NOWHERE})
    )
    # Judged after the report, it would have the event of a scan.
    server.repeat_until_done(lambda: _is_judged_since_scan(server, BOGUS))
    server.repeat_until_done(lambda: server.post(f"/images/{BOGUS}/findings", REPORT))
    receiver = Receiver()
    server.repeat_until_done(lambda: server.get("/approvals") or _is_answered(server, receiver.url))
    server.repeat_until_done(lambda: receiver.answers)
    for name, timeout in (("late", "1s"), ("stopped", "1d")):
        server.repeat_until_done(partial(server.apply, f"kind: Repository\nname: {name}\n"))
        server.repeat_until_done(partial(server.apply, SERVICE.format(name=name, count=0)))
        text = PIPELINE.format(name=name, repository=name, service=name, timeout=timeout)
        text = text.replace(f"image: {name}/app", f"image: slow/{name}")
        server.repeat_until_done(partial(server.apply, text))
        work = Clone(server, name, server.folder / name)
        work.create_data()
        application(work, "2.0", greeting=name)
        work.commit("One")
        server.repeat_until_done(_make_attempt(work.push))
    server.repeat_until_done(lambda: _is_waiting(server, "stopped-1") or server.read_state("stopped-1") in OVER)
    server.repeat_until_done(lambda: _is_stopped(server, "stopped-1"))
    assert server.wait_for_end("stopped-1") == "Stopped"
    assert server.wait_for_end("late-1") == "Failed"
    assert len(receiver.answers) == 1
    assert receiver.errors == []
    receiver.close()
    server.repeat_until_done(lambda: all(scan and scan["finished_at"] for scan in _list_scans(server)))


def play_waiver_story(server: Mortal) -> None:
    """A waiver that lapses soon and is announced, another that is revoked, a VEX document that is taken back.

    The revoked one lapses late: otherwise a task may announce its end before it is revoked, or not.
    """
    fields = {"owner": "ana", "reason": "why", "vulnerability": "CVE-2026-1"}
    today = datetime.now(UTC)
    bodies = {"one": {**fields, "until": f"{today + timedelta(days=3):%Y-%m-%d}"}}
    bodies["two"] = {**fields, "until": f"{today + timedelta(days=90):%Y-%m-%d}"}
    expiring_waiver, revoked_waiver = (
        server.repeat_until_done(partial(server.post, "/waivers", body, {"Idempotency-Key": key}))
        for key, body in bodies.items()
    )
    server.repeat_until_done(lambda: server.post(f"/waivers/{revoked_waiver['waiver']['id']}/revoke"))
    vex = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "author": "Vendor",
        "timestamp": "2026-11-01T00:00:00Z",
        "statements": [{"vulnerability": "CVE-2026-1", "products": ["pkg:npm/a"], "status": "fixed"}],
    }
    document = server.repeat_until_done(lambda: server.post("/vex", vex))["document"]
    server.repeat_until_done(lambda: server.post(f"/vex/{document}/remove"))
    server.repeat_until_done(lambda: server.get(f"/waivers/{expiring_waiver['waiver']['id']}")["announced_at"])


def play_vote_story(server: Mortal) -> None:
    """An execution waits for a person, who says yes."""
    advisories.write(server.folder / "feed", advisories.DEMO)
    server.run_dockgate("db", "build", "--from", str(server.folder / "feed"))
    server.repeat_until_done(lambda: server.apply("kind: Repository\nname: voted\n"))
    server.repeat_until_done(lambda: server.apply(SERVICE.format(name="voted", count=0)))
    text = PIPELINE.format(name="voted", repository="voted", service="voted", timeout="1d")
    text = text.replace("timeout: 1d", "timeout: 1d\n        approvers: {principals: [ann]}")
    server.repeat_until_done(lambda: server.apply(text))
    work = Clone(server, "voted", server.folder / "voted")
    work.create_data()
    application(work, "2.0")
    work.commit("One")
    server.repeat_until_done(lambda: work.push() or True)
    ann = {"name": "ann", "roles": ["admin"], "email": "ann@example.org"}
    token = server.repeat_until_done(lambda: server.post("/principals", ann))["token"]
    server.environment = {**server.environment, "DOCKGATE_TOKEN": token}
    server.repeat_until_done(lambda: _is_waiting(server, "voted-1"))
    vote = "/approvals/voted-1/ContainerVulnerabilityAssessment/Approval/1/vote"
    server.repeat_until_done(lambda: server.post(vote, {"is_yes": True, "reason": "fine"}))
    assert server.wait_for_end("voted-1") == "Succeeded"
    server.repeat_until_done(lambda: _is_attested(server, "voted"))


def play_fix_story(server: Mortal) -> None:
    """An advisory puts at risk what a pipeline delivered; its rebuild is started, and the gate rejects it."""
    feed = server.folder / "feed"
    advisories.write(feed, advisories.DEMO)
    server.run_dockgate("db", "build", "--from", str(feed))
    server.repeat_until_done(lambda: server.apply("kind: Repository\nname: fixed\n"))
    # What a service without tasks runs is not fixed.
    server.repeat_until_done(lambda: server.apply(SERVICE.format(name="fixed", count=1)))
    text = PIPELINE.format(name="fixed", repository="fixed", service="fixed", timeout="1d")
    server.repeat_until_done(lambda: server.apply(text.replace("name: fixed\n", "name: fixed\nonFix: rebuild\n", 1)))
    work = Clone(server, "fixed", server.folder / "fixed")
    work.create_data()
    application(work, "2.0")
    # Only a build that does more than copy files of the repository may bring newer packages.
    stages = "FROM scratch AS files\nCOPY root/ /\nFROM scratch\nCOPY --from=files / /\n"
    dockerfile = (work.folder / "Dockerfile").read_text().replace("FROM scratch\nCOPY root/ /\n", stages)
    work.write({"Dockerfile": dockerfile})
    work.commit("One")
    server.repeat_until_done(lambda: work.push() or True)
    assert server.wait_for_end("fixed-1") == "Succeeded"
    server.repeat_until_done(lambda: _is_attested(server, "fixed"))
    advisories.write(feed, advisories.DEMO, advisories.record("CVE-2026-2000", "demo", "3.0"))
    server.run_dockgate("db", "build", "--from", str(feed))
    server.repeat_until_done(lambda: [fix["state"] for fix in server.get("/pipelines/fixed/fixes")] == ["Failed"])
    assert server.wait_for_end("fixed-2") == "Failed"
    execution = server.repeat_until_done(lambda: server.get("/executions/fixed-2")["execution"])
    assert execution["reason"].startswith("ContainerVulnerabilityAssessment/"), execution["reason"]


def _is_attested(server: Live, service: str) -> bool:
    """Whether what was deployed to the service bears its attestation: nothing waits for that."""
    image = server.get(f"/services/{service}")["definitions"][0]["image"]["digest"]
    records = server.get(f"/images/{image}/attestations")
    return bool(records) and all(record["attested_at"] for record in records)


def _has_bogus_image(server: Live) -> bool:
    """A scan that failed would be requested again."""
    return slow_http.get(f"{server.url}/api/v1/images/{BOGUS}").is_success


def _is_judged_since_scan(server: Live, digest: str) -> bool:
    image = server.get(f"/images/{digest}")
    scan, verdicts = image["scan"], image["verdicts"]
    return bool(scan and scan["finished_at"] and verdicts and verdicts[0]["judged_at"] >= scan["finished_at"])


def _is_answered(server: Live, url: str) -> bool:
    """By a key, for the receiver's port differs from run to run."""
    body = {"pipeline": "elsewhere", "stage": "gate", "execution": "1", "digest": REQUESTED, "repository": NOWHERE}
    callback = {"url": url, "secret": CALLBACK_SECRET}
    answer = slow_http.post(
        f"{server.url}/api/v1/approvals", json={**body, "callback": callback}, headers={"Idempotency-Key": "one"}
    )
    assert answer.status_code == 201, answer.text
    return True


def _list_scans(server: Live) -> list[Any]:
    digests = {image["digest"] for image in server.get("/images?limit=1000&include_moved=true")["images"]} | {
        BOGUS,
        REQUESTED,
    }
    return [server.get(f"/images/{digest}")["scan"] for digest in sorted(digests)]


def _is_waiting(server: Live, execution: str) -> bool:
    stages = server.get(f"/executions/{execution}")["stages"]
    return any(action["state"] == "Waiting" for stage in stages for action in stage["actions"])


def _has_retried(server: Mortal, execution: str) -> bool:
    """Asked again after a crash, a retry that was written is refused: nothing stands failed any more, or it failed
    again."""
    attempts = [
        action["attempt"]
        for stage in server.get(f"/executions/{execution}")["stages"]
        for action in stage["actions"]
        if action["type"] == "approval"
    ]
    return attempts == [2] or bool(server.post(f"/executions/{execution}/retry"))


def _make_attempt(action: Callable[..., object], *arguments: object, **settings: object) -> Callable[[], bool]:
    """The action as an attempt that succeeds as soon as it does not raise."""

    def try_action() -> bool:
        action(*arguments, **settings)
        return True

    return try_action


def _is_removed(server: Mortal, policy: str) -> bool:
    """A removal that was written before a crash stands, and is not made again."""
    return bool(server.delete(f"/policies/{policy}")["version"] == 2)


def _is_stopped(server: Mortal, execution: str) -> bool:
    if server.read_state(execution) == "Stopped":
        return True
    return bool(server.post(f"/executions/{execution}/stop", {"reason": "enough"}))
