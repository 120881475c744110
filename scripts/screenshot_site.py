"""A server with invented images, repositories and people, whose pages scripts/screenshots.py shows."""

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import cast

from playwright.sync_api import Page
from tests.fakes.identity_provider import CLIENT, ISSUER, SECRET, FakeProvider
from tests.fakes.target import MemoryTarget
from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import PIPELINE
from tests.scenarios.planned_images import make_advisory
from tests.scenarios.server import ServerSystem

import dockgate.demo
from dockgate.config import OidcSettings, Settings
from dockgate.delivery.model import ActionKey, ExecutionId
from dockgate.delivery.ports import Clock
from dockgate.identity.openid.connection import ProviderConnection
from dockgate.identity.openid.provider import OpenIdProvider
from dockgate.scanner.model import Inventory, LayerBuildInfo
from dockgate.services.identity.provider_sign_in import read_mapping
from dockgate.shared.redaction import redact_url
from dockgate.shared.timestamps import format_time
from dockgate.vulnerabilities import feeds
from dockgate.vulnerabilities.database.build import build as build_database
from dockgate.vulnerabilities.database.feed_states import change_states
from dockgate.vulnerabilities.feed_schedule import FeedState, PartFailure
from dockgate.vulnerabilities.model import AdvisoryText, Severity

# What the images of the past had, by how many days ago they were pushed: findings with a fix, and without.
PAST = (
    (84, {"CRITICAL": 1, "HIGH": 6, "MEDIUM": 8, "LOW": 9}, {"LOW": 3, "MEDIUM": 2}),
    (61, {"CRITICAL": 3, "HIGH": 7, "MEDIUM": 8, "LOW": 9}, {"LOW": 3, "MEDIUM": 2}),
    (40, {"HIGH": 4, "MEDIUM": 9, "LOW": 6}, {"LOW": 3, "MEDIUM": 2}),
    (19, {"HIGH": 1, "MEDIUM": 5, "LOW": 6}, {"LOW": 2, "MEDIUM": 1}),
    (6, {"MEDIUM": 2, "LOW": 4}, {"LOW": 2, "MEDIUM": 1}),
)
# Lines of a build's log, with the colours of a terminal.
LOG = (
    "STEP 1/3: FROM debian:13",
    "STEP 2/3: RUN apt-get update && apt-get install --yes openssl",
    "\x1b[32mGet:1\x1b[0m http://mirror.example/debian trixie InRelease [138 kB]",
    "\x1b[33mwarning:\x1b[0m 3 packages can be upgraded",
    "\x1b[1;31merror:\x1b[0m a mirror did not answer, trying the next",
    "STEP 3/3: COPY app /app",
    "\x1b[1;36mSuccessfully built the image\x1b[0m",
)
# A target, and a rule that sends events to it.
TARGET = "kind: Target\nname: nightly\ntype: pipeline\npipeline: web\n"
RULE = """kind: Rule
name: rebuild
pattern: {source: [dockgate], detail-type: [feed.recovered]}
targets: [nightly, {name: owners, group: 30s}]
"""
# A VEX document that a person uploads.
VEX = {
    "@context": "https://openvex.dev/ns/v0.2.0",
    "@id": "https://vex.example.org/2026/17",
    "author": "Example product security",
    "timestamp": "2026-11-20T09:00:00Z",
    "version": 1,
    "statements": [
        {
            "vulnerability": {"name": "CVE-2026-1"},
            "products": [{"@id": "pkg:oci/app"}],
            "status": "not_affected",
            "justification": "vulnerable_code_not_in_execute_path",
        }
    ],
}
# Files of the repository whose image runs, and what its newest commit is called.
FILES = {
    "Dockerfile": "FROM debian:13\nRUN apt-get update && apt-get install --yes openssl\n"
    "COPY app /app\nCMD /app/serve\n",
    "README.md": "# Orders\n\nThe list of orders, for the people who pack them.\n",
}
MESSAGE = "Serve the list of orders"
# Waivers beside the one that is shown, the last of them revoked; versions of a policy; people beside the administrator.
WAIVERS = (
    {
        "owner": "ben",
        "reason": "No fix exists, and the port is closed.",
        "vulnerability": "CVE-2026-7",
        "until_fixed": True,
    },
    {"owner": "ana", "reason": "Only tests load it.", "vulnerability": "CVE-2026-4", "until": "2027-03-31"},
)
POLICY_VERSIONS = ((9, "Begin with what images have today"), (4, "Halve the limit"))
PEOPLE = (
    {"name": "ana", "roles": ["security"], "email": "ana@ops.example"},
    {"name": "ben", "roles": ["developer", "approver"], "email": "ben@example.org"},
)
TASK_LOG = "listening on port 8080\nGET /health 200\nGET / 200\n"
# A file in a folder, an image that an outside pipeline asks for, and who decides on an execution.
FILE = "app/settings.py"
OUTSIDE = f"sha256:{sha256(b'checkout').hexdigest()}"
APPROVERS = "\n        approvers: {count: 1, roles: [security, admin]}\n  - name: Deploy"
# What appears for the package of the service that runs.
RUNNING = make_advisory("web", Severity.CRITICAL, "2").id
TEXT = AdvisoryText(
    RUNNING,
    "The server does not check the length of a header before it copies it.\n\n"
    "A client that needs no account can read what other clients sent, or stop the process.\n\n"
    "Workaround: limit the length of headers in a proxy in front of the server.",
    ("https://web.example.org/security/2026-4", "https://web.example.org/commit/5f0a1c9"),
    ("CWE-125",),
)
LAYERS = tuple(f"sha256:{sha256(f'layer {number}'.encode()).hexdigest()}" for number in range(5))
BASE_LAYERS = 2
ORIGINS = (
    LayerBuildInfo(49_286_912, "# debian.sh --arch 'amd64' out/ 'trixie' '@1783036800' # buildkit"),
    LayerBuildInfo(
        18_452_113, "RUN /bin/sh -c apt-get update && apt-get install --yes ca-certificates openssl # buildkit"
    ),
    LayerBuildInfo(1_873, "COPY requirements.txt /app/ # buildkit"),
    LayerBuildInfo(
        38_201_554, "RUN /bin/sh -c pip install --no-cache-dir --requirement /app/requirements.txt # buildkit"
    ),
    LayerBuildInfo(254_310, "COPY . /app # buildkit"),
)


class Site(ServerSystem):
    """A server whose images have layers: the first ones are the base image's. People sign in at a fake provider."""

    def __init__(self, folder: Path) -> None:
        roles = read_mapping([("platform", "admin")], ("127.0.0.1:7421",))
        super().__init__(folder, identity_provider=self._make_provider, group_roles=roles)
        _write_feeds(folder, self.clock())
        # The feeds are shown as if this server had fetched them; it judges by the planned advisories.
        settings = Settings(folder, folder)
        self.services = self.app.state.services = replace(
            self.services,
            upkeep=replace(self.services.upkeep, update_settings=settings),
            attention=replace(self.services.attention, update_settings=settings),
        )

    def _make_provider(self, return_url: str, clock: Clock) -> OpenIdProvider:
        self.provider = FakeProvider(clock)
        settings = OidcSettings(ISSUER, CLIENT, SECRET)
        return OpenIdProvider(settings, return_url, clock, ProviderConnection(transport=self.provider.transport))

    def sign_in_at_provider(self, page: Page) -> str:
        """Sign in at the provider as a person without a group: the address that the browser is sent back to."""
        provider_url = page.request.get("/signin/provider", max_redirects=0).headers["location"]
        return self.provider.authorize(provider_url, sub="kim", email="kim@example.org", email_verified=True, groups=[])

    def _read(self, repository: str, digest: str) -> Sequence[Inventory]:
        return [_assign_layers(inventory) for inventory in super()._read(repository, digest)]

    def _list_origins(self, inventory: Inventory) -> tuple[LayerBuildInfo, ...]:
        return ORIGINS


def _write_feeds(folder: Path, now: datetime) -> None:
    """A database of the demo's advisories, made some minutes ago, and the state of each feed."""
    settings = Settings(folder, folder)
    source_folder = Path(dockgate.demo.__file__).parent / "advisories"
    build_database(settings.advisories, feeds.load(), source_folder, now - timedelta(minutes=12), lambda line: None)
    with closing(sqlite3.connect(settings.advisories)) as database, database:
        for feed in feeds.load():  # a folder of this machine says nothing to readers
            source = redact_url(feed.url) if feed.url else feed.file
            database.execute("UPDATE part SET source = ? WHERE feed = ?", (source, feed.name))
    finished_at, due = (format_time(now + timedelta(minutes=minutes)) for minutes in (-12, 48))
    states = {
        name: FeedState(name, finished_at, finished_at, next_at=due, newest=f"{now - timedelta(days=days):%Y-%m-%d}")
        for name, days in (("osv", 0), ("kev", 3))
    }
    states["cvss"] = FeedState("cvss", finished_at, next_at=due)
    part_failures = (PartFailure("epss", "epss.example.org did not answer within 60 s"),)
    states["epss"] = FeedState("epss", finished_at, None, finished_at, finished_at, 3, part_failures, next_at=due)
    change_states(settings.advisories, lambda before: before.replace_feeds(states))


def _assign_layers(inventory: Inventory) -> Inventory:
    """The inventory with each package in one of LAYERS, chosen by its name."""
    packages = tuple(
        replace(package, layer=LAYERS[sha256(package.name.encode()).digest()[0] % len(LAYERS)])
        for package in inventory.packages
    )
    return replace(inventory, packages=packages, layers=LAYERS, base_layers=BASE_LAYERS, base="debian:13")


def _request_vote(server: ServerSystem) -> str:
    """An execution that a person decides on, of an image that is approved."""
    image = server.plan_image("billing", PlannedFindings({}, {"LOW": 2}))
    text = PIPELINE.format(name="billing", repository="billing", service="billing", timeout="7d")
    server.apply(text.replace("\n  - name: Deploy", APPROVERS))
    server.push("billing", author="Ben <ben@example.org>", message="Round amounts to cents")
    execution = server.request_approval(image)
    server.end_scan(image)
    wait_until(lambda: server.get(f"/images/{image}")["verdicts"])
    return execution


def fill(server: ServerSystem) -> dict[str, str]:
    """Run pipelines of each outcome. Return the pages by the names of their screenshots."""
    _fill_past(server)
    web = server.plan_image("web", PlannedFindings({}, {"LOW": 3, "MEDIUM": 1}))
    server.push("web", files=FILES, author="Ada <ada@example.org>", message=MESSAGE)
    server.deploy_image(web)
    api = server.plan_image("api", PlannedFindings({"CRITICAL": 1, "HIGH": 2, "LOW": 4}, {"MEDIUM": 2}))
    rejected_approval = server.request_approval(api)
    server.end_scan(api)
    server.answer(rejected_approval)
    jobs = server.plan_image("jobs", PlannedFindings({}, status="UNREAD"))
    undetermined_approval = server.request_approval(jobs)
    server.end_scan(jobs)
    server.answer(undetermined_approval)
    server.request_approval(server.plan_image("shop", PlannedFindings({})))
    waiting = _request_vote(server)
    outside = {
        "pipeline": "checkout",
        "stage": "gate",
        "execution": "41",
        "digest": OUTSIDE,
        "repository": "checkout/app",
    }
    approval = server.post("/approvals", outside)["approval"]["id"]
    waiver = {"owner": "ana", "reason": "Never called.", "vulnerability": "CVE-2026-1", "until": "2027-06-30"}
    waiver_id = server.post("/waivers", waiver)["waiver"]["id"]
    *_, revoked_id = [server.post("/waivers", waiver)["waiver"]["id"] for waiver in WAIVERS]
    server.post(f"/waivers/{revoked_id}/revoke")
    server.post("/vex", VEX)
    server.apply(TARGET)
    server.apply(RULE)
    commit = server.get("/repositories/web/commits")[0]["id"]
    server.publish_advisory(web)
    server.advisories.texts.append(TEXT)
    server.is_at_risk(web)
    verdict, running = (server.get(f"/images/{image}")["verdicts"][0]["digest"] for image in (api, web))
    for high, comment in POLICY_VERSIONS:
        rules = f"max_findings:\n  CRITICAL: 0\n  HIGH: {high}\n"
        server.client.put("/policies/strict", content=rules, params={"comment": comment}).raise_for_status()
    target = cast(MemoryTarget, server.adapters.targets["podman"])
    (task,) = (task.id for task in target.list_tasks("web"))
    target.logs[task] = TASK_LOG
    for line in LOG:
        server.store.logs.append(ActionKey(ExecutionId("web-1"), "Build", "Build", 1), line)
    return {
        "overview": "/",
        "pipelines": "/pipelines",
        "pipeline": "/pipelines/web",
        "definition": "/pipelines/web/definition",
        "pipeline-new": "/new/pipeline?name=web2&repository=web&service=web",
        "execution": f"/executions/{rejected_approval}",
        "execution-waiting": f"/executions/{waiting}",
        "approval": f"/approvals/{approval}",
        "log": "/executions/web-1/Build/Build/1",
        "verdict": f"/verdicts/{verdict}",
        "verdict-compared": f"/verdicts/{verdict}?against={running}#compare",
        "vulnerabilities": "/vulnerabilities",
        "vulnerability": f"/vulnerabilities/{RUNNING}",
        "package": "/packages/pkg:deb/debian/critical-fixed-0",
        "tag": "/images/r/history/app:latest",
        "images": "/images",
        "image": f"/images/{api}",
        **{f"image-{tab}": f"/images/{api}?tab={tab}" for tab in ("findings", "packages", "layers", "documents")},
        "image-repositories": "/images/r",
        "image-repository": "/images/r/history/app",
        "running": "/running",
        "service": "/running/web",
        "task": f"/running/web/tasks/{task}",
        "repositories": "/repositories",
        "repository": "/repositories/web",
        "repository-new": "/new/repository",
        "service-new": "/new/service",
        "folder": f"/repositories/web/files/{FILE.partition('/')[0]}?at=main",
        "file": "/repositories/web/files/Dockerfile?at=main",
        "commit": f"/repositories/web/commits/{commit}",
        "file-edit": "/repositories/web/edit/Dockerfile?at=main",
        "policies": "/policies",
        "policy-new": "/new/policy",
        "policy": "/policies/strict",
        "policy-example": "/policies/strict?example=grace",
        "waivers": "/waivers",
        "vex": "/vex",
        "waiver": f"/waivers/{waiver_id}",
        "waiver-new": f"/waivers/new?vulnerability={RUNNING}",
        "advisories": "/advisories",
        "events": "/events",
        "event-rules": "/events/rules",
        "event-rule": "/events/rules/rebuild",
        "targets": "/events/targets",
        "target": "/events/targets/nightly",
        "people": "/people",
        "person": "/people/ada",
        "audit": "/audit",
        "settings": "/settings",
        "workers": "/workers",
        "signing-keys": "/attestation-keys",
        "garbage-collection": "/gc",
        "search": "/search?q=critical",
        "styleguide": "/styleguide",
        "error": "/executions/web-99",
    }


def _fill_past(server: ServerSystem) -> None:
    """Push images to one tag, the first of them long ago."""
    for number, (days, fixed, unfixed_count) in enumerate(PAST):
        server.clock.ahead = timedelta(days=-days)
        digest = f"sha256:{sha256(f'past {number}'.encode()).hexdigest()}"
        server.plans[digest] = ("history", PlannedFindings(fixed, unfixed_count))
        server.scan_may_end[digest] = threading.Event()
        server.scan_may_end[digest].set()
        server.notify_push(digest, f"past-{number}")
        wait_until(lambda digest=digest: server.store.fleet.find_image(digest))  # type: ignore[misc]
        wait_until(lambda: not server.store.fleet_findings.list_unmatched_components(1))
    server.clock.ahead = timedelta()
