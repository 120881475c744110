"""A vulnerability appears, people are notified, and its fix replaces what runs: the whole way on real parts.

git, podman, the registry, a feed over HTTP that the server fetches by its own schedule, a webhook receiver and an SMTP
server.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from standardwebhooks import Webhook
from tests.contracts.event_target_systems import SECRET, Mailbox, Receiver
from tests.parts import wait_until
from tests.scenarios import advisories, slow_http
from tests.scenarios.live import PIPELINE, SERVICE, Clone, Live, application
from tests.vulnerabilities.feeds.feed_files import export, make_kev
from tests.vulnerabilities.feeds.feed_site import Site, serve_files

from dockgate.delivery.registry_access import PULL, PUSH, Access

pytestmark = [pytest.mark.real, pytest.mark.long]

EXPORT = "/osv/Debian/all.zip"
CVE = "CVE-2026-2000"
RISK = "service.at_risk"
# The machine may be busy; the server itself needs a few seconds.
PATIENCE = 240
wait = partial(wait_until, seconds=PATIENCE, every=0.5)
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    files = {EXPORT: export(advisories.DEMO), "/kev.json": make_kev({}), "/osv/ecosystems.txt": b"Debian\n"}
    with serve_files(files) as site:
        yield site


@pytest.fixture(scope="module")
def live(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    feeds = {
        "DOCKGATE_UPDATES": "on osv=2s kev=2s amazon=off epss=off cvss=off",
        "DOCKGATE_FEED_OSV": f"{site.url}/osv",
        "DOCKGATE_FEED_KEV": f"{site.url}/kev.json",
    }
    server = Live(tmp_path_factory.mktemp("live"), environment=feeds)
    try:
        server.start()
        wait(lambda: "coverage" in server.get("/status")["database"])
        yield server
    finally:
        server.purge()


def create_repository(live: Live, name: str, dockerfile: str | None = None, on_fix: str = "") -> Clone:
    """A pipeline of this name, on top of a base if a Dockerfile is given. It deploys if it wants fixes."""
    live.apply(f"kind: Repository\nname: {name}\n")
    text = PIPELINE.format(name=name, repository=name, service=name, timeout="7d")
    if on_fix:
        live.apply(SERVICE.format(name=name, count=1))
        live.apply(text.replace("kind: Pipeline\n", f"kind: Pipeline\n{on_fix}\n"))
    else:
        live.apply(text.partition("  - name: Deploy\n")[0])
    clone = Clone(live, name, live.folder / "clones" / name)
    clone.create_data()
    if dockerfile is None:
        application(clone, "2.0")
    else:
        clone.write({"Dockerfile": dockerfile, "www/index.html": name})
    return clone


def deliver_version(clone: Clone, number: int) -> str:
    """Pushes, and waits for the execution that this starts; the digest of the image that it delivers."""
    clone.commit(f"Version {number}")
    clone.push()
    return wait_for_success(clone.live, f"{clone.repository}-{number}")


def wait_for_success(live: Live, execution: str) -> str:
    view = live.wait_for_execution(execution, PATIENCE)
    assert view["execution"]["state"] == "Succeeded", view["execution"]["reason"]
    digest: str = view["stages"][1]["actions"][0]["variables"]["IMAGE_DIGEST"]
    return digest


def tag(live: Live, repository: str, digest: str, name: str) -> None:
    """Has a tag name an image, as `skopeo copy` does."""
    url = f"http://127.0.0.1:{live.registry_port}/v2/{repository}/manifests"
    token = live.make_registry_headers(Access("repository", repository, (PULL, PUSH)))
    manifest = slow_http.get(f"{url}/{digest}", headers={"Accept": MANIFEST, **token})
    put = slow_http.put(f"{url}/{name}", content=manifest.content, headers={"Content-Type": MANIFEST, **token})
    assert put.status_code == 201, put.text

    def is_listed() -> bool:
        images = live.get("/images?limit=1000")["images"]
        return any(image["tag"] == name and image["digest"] == digest for image in images)

    wait(is_listed)


def list_events(live: Live, kind: str) -> list[Any]:
    pattern = json.dumps({"detail-type": [kind]})
    answer = slow_http.get(f"{live.url}/api/v1/events", params={"pattern": pattern, "limit": 500})
    assert answer.is_success, answer.text
    return [event["detail"] for event in answer.json()["events"]]


def answer_of(live: Live, service: str) -> str:
    (task,) = [task for task in live.get(f"/services/{service}")["tasks"] if task["state"] == "RUNNING"]
    ((_, port),) = task["ports"]
    return slow_http.get(f"http://127.0.0.1:{port}/").text


def wait_for_fix(live: Live, kind: str) -> Any:
    """The newest fix of `shop`, once it is of this kind and offered."""

    def find_newest_fix() -> Any:
        fixes = live.get("/pipelines/shop/fixes")[:1]
        return next((fix for fix in fixes if (fix["kind"], fix["state"]) == (kind, "Offered")), None)

    return wait(find_newest_fix)


def test_a_vulnerability_appears_and_its_fix_replaces_what_runs(live: Live, site: Site) -> None:
    with ExitStack() as stack:
        receiver, mailbox = Receiver(), Mailbox()
        stack.callback(receiver.close)
        stack.callback(mailbox.close)
        hook = {"kind": "Target", "name": "hook", "type": "webhook", "url": receiver.url, "secret": SECRET}
        mail = {"kind": "Target", "name": "mail", "type": "apprise", "url": mailbox.url}
        rule = {"kind": "Rule", "name": "risk", "pattern": {"detail-type": [RISK]}, "targets": ["hook", "mail"]}
        for document in (hook, mail, rule):
            live.apply(json.dumps(document))

        # Two images pass, and one runs; a third one holds nothing that will change.
        base = create_repository(live, "base")
        old_base = deliver_version(base, 1)
        tag(live, "base/app", old_base, "13")
        base_reference = f"127.0.0.1:{live.registry_port}/base/app:13@{old_base}"
        dockerfile = (
            f'FROM {base_reference}\nCOPY www /www\nCMD ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]\n'
        )
        shop = create_repository(live, "shop", dockerfile, "onFix: branch\nfixesPerDay: 5")
        running = deliver_version(shop, 1)
        passing = deliver_version(create_repository(live, "spare", dockerfile), 1)
        calm = create_repository(live, "calm")
        status = calm.folder / "root/var/lib/dpkg/status"
        status.write_text(status.read_text().replace("Package: demo", "Package: calm"))
        untouched_image = deliver_version(calm, 1)
        assert answer_of(live, "shop") == "shop"

        # One more record is published.
        record = advisories.record(CVE, "demo", "3.0")
        site.files[EXPORT] = export(advisories.DEMO, record)
        wait(lambda: live.get("/services/shop")["service"]["at_risk"])
        touched_images = {running, passing, old_base}
        wait(lambda: {event["image"] for event in list_events(live, "verdict.changed")} == touched_images)
        assert untouched_image not in touched_images
        assert {event["status"] for event in list_events(live, "verdict.changed")} == {"Rejected"}
        assert answer_of(live, "shop") == "shop"

        # People are notified once, and find both images.
        wait(lambda: len(receiver.requests) == 1 and len(mailbox.mails) == 1)
        (path, headers, body) = receiver.requests[0]
        assert Webhook(SECRET).verify(body.decode(), headers)["data"]["detail"]["service"] == "shop", path
        assert b"shop runs an image that would no longer be approved" in mailbox.mails[0].content
        exposure = json.loads(live.run_dockgate("where", CVE, "-o", "json"))
        assert touched_images == {image["digest"] for image in exposure["images"]}

        # A redeploy of the digest is refused.
        changed_file = live.folder / "shop.yaml"
        changed_file.write_text(SERVICE.format(name="shop", count=1).replace("startPeriod: 20s", "startPeriod: 21s"))
        live.run_dockgate("apply", str(changed_file), code=2)
        assert f"{running} is not approved" in live.get("/services/shop")["rollouts"][0]["reason"]
        assert answer_of(live, "shop") == "shop"

        # A fix appears: first only people could make it, then there is a newer base image.
        assert "demo is in the base image" in wait_for_fix(live, "by hand")["details"]["obstacles"][0]
        application(base, "3.0")
        new_base = deliver_version(base, 2)
        tag(live, "base/app", new_base, "13")
        offered_fix = wait_for_fix(live, "change")
        assert [event["branch"] for event in list_events(live, "fix.available") if "branch" in event] == [
            offered_fix["branch"]
        ]
        assert offered_fix["branch"] in live.run_dockgate("pipeline", "fixes", "shop")
        shop.run_git("fetch", "--quiet", "origin")
        assert shop.run_git("rev-parse", "HEAD").strip() == shop.run_git("rev-parse", "origin/main").strip()

        # The branch builds, passes the gate, and replaces what ran.
        shop.run_git("merge", "--quiet", "--ff-only", f"origin/{offered_fix['branch']}")
        assert (shop.folder / "Dockerfile").read_text() == dockerfile.replace(old_base, new_base)
        shop.push()
        fixed_image = wait_for_success(live, "shop-2")
        assert fixed_image not in touched_images
        wait(lambda: [task["digest"] for task in live.get("/services/shop")["tasks"]] == [fixed_image])
        assert answer_of(live, "shop") == "shop"
        wait(lambda: not live.get("/services/shop")["service"]["at_risk"])
        wait(lambda: live.get("/pipelines/shop/fixes")[0]["state"] == "Applied")

        assert (len(receiver.requests), len(mailbox.mails)) == (1, 1)
