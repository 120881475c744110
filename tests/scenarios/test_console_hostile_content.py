"""Content of images, commits, advisories and logs that tries to act in the console's pages: it is shown as text."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import cast
from urllib.parse import quote

import pytest
from tests.fakes.target import MemoryTarget
from tests.parts import wait_until
from tests.scenarios.browser import Browser
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.planned_images import make_package
from tests.scenarios.server import ServerSystem

from dockgate.delivery.model import ActionKey, ExecutionId
from dockgate.events.model import NewEvent
from dockgate.events.subject import EventSubject
from dockgate.scanner.model import Distribution, Inventory, LayerBuildInfo, Unread
from dockgate.store.records import PushedImage
from dockgate.vulnerabilities.model import Advisory, Range, Rating, Severity
from dockgate.web.console.pages.images import TABS

# Ends an attribute of either quotes, an element, a comment and a script, and begins each; turns the direction of text.
ATTACK = (
    """x"><img src=x evil=1 onerror=alert(1)><a href="javascript:evil()">' evil='1 --></script><script evil=1>"""
    """</textarea></title><form action=//evil.example evil=1>{{ evil }}\u202e\x1b]8;;javascript:evil()\x07"""
)
NAME = f"lib{ATTACK}"
# A byte of a path that is not UTF-8, as the scanner keeps it; JSON can have it, too.
ODD = "\udcff"
VULNERABILITY = "CVE-2026-66666"


class Hostile(ServerSystem):
    """A server whose images are hostile wherever a text of theirs is read."""

    def _read(self, repository: str, digest: str) -> Sequence[Inventory]:
        (inventory,) = super()._read(repository, digest)
        if repository.startswith("calm/"):  # which may be deployed
            return [inventory]
        hostile = replace(
            make_package(NAME),
            version=f"1{ATTACK}",
            path=f"/{ATTACK}{ODD}",
            purl=f"pkg:deb/debian/{quote(NAME, safe='')}@1",
        )
        return [
            replace(
                inventory,
                distribution=Distribution("debian", "13", ATTACK),
                packages=(
                    *inventory.packages,
                    hostile,
                    replace(make_package("plain"), path=ATTACK, ecosystem="Debian:13"),
                ),
                unread=(*inventory.unread, Unread(ATTACK, ATTACK + ODD)),
                layers=("sha256:" + "1" * 64,),
                base=ATTACK,
                user=ATTACK + ODD,
            )
        ]

    def _list_origins(self, inventory: Inventory) -> tuple[LayerBuildInfo, ...]:
        return (LayerBuildInfo(1, ATTACK + ODD),)


class Elements(HTMLParser):
    """What of a page came from the attack: elements, attributes, addresses."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.links: set[str] = set()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        address = values.get("href") or values.get("action") or values.get("src") or ""
        is_own = address.startswith(("/", "#", "?")) and not address.startswith("//")
        if "evil" in values or any(name.startswith("on") for name in values):
            self.faults.append(f"<{tag} {values}>")
        if address and not is_own and not address.startswith("https://osv.dev/"):
            self.faults.append(f"{tag}: {address}")
        if tag == "a" and is_own:
            self.links.add(address.partition("#")[0])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hostile, str, str, str]]:
    """The server, the token of an administrator, an image, and an execution."""
    with Hostile(Path(tmp_path_factory.mktemp("hostile"))) as server:
        span = Range("ECOSYSTEM", (("introduced", "0"), ("fixed", "2")))
        server.advisories.advisories += [
            Advisory(
                VULNERABILITY, "Debian:13", name, (span,), ratings=(Rating("advisory", Severity.HIGH),), summary=ATTACK
            )
            for name in (NAME, "plain")
        ]
        image = server.plan_image("web", PlannedFindings({"CRITICAL": 1}))
        # A registry whose names have no limits, and a task whose program writes what it likes.
        pushed_image = PushedImage(f"evil/{ATTACK}", ATTACK, image, "2026-11-28T12:00:00.000Z", ATTACK)
        server.store.images.add_push(pushed_image)
        server.deploy_image(server.plan_image("calm", PlannedFindings({})))
        target = cast(MemoryTarget, server.adapters.targets["podman"])
        (task,) = (task.id for task in target.list_tasks("calm"))
        target.logs[task] = f"{ATTACK}\x1b[31m{ATTACK}\x1b[0m\n"
        server.push("web", files={"Dockerfile": ATTACK, "a<b>.txt": ATTACK}, message=ATTACK, author=f"{ATTACK} <a@b.c>")
        execution = server.request_approval(image)
        server.end_scan(image)
        server.answer(execution)
        wait_until(lambda: server.get(f"/exposure?q={VULNERABILITY}")["total"])
        for stage in ("Source", "Build", "Deploy"):
            server.store.logs.append(ActionKey(ExecutionId(execution), stage, stage, 1), ATTACK)
        detail = {"summary": ATTACK, "vulnerability": ATTACK, ATTACK: ATTACK}
        event = NewEvent(
            "evil/1", "dockgate", "verdict.changed", EventSubject.parse(ATTACK), "2026-11-28T12:00:00.000Z", detail
        )
        server.store.event_log.record([event])
        waiver = {"owner": ATTACK, "reason": ATTACK, "vulnerability": VULNERABILITY, "until": "2999-01-01"}
        server.post("/waivers", waiver)
        token = server.post("/principals", {"name": "ada", "roles": ["admin"], "email": "ada@example.org"})["token"]
        server.client.headers["Authorization"] = f"Bearer {token}"
        yield server, token, image, execution


def test_no_text_of_others_becomes_a_part_of_a_page(hostile: tuple[Hostile, str, str, str]) -> None:
    server, token, image, execution = hostile
    verdict = server.get(f"/images/{image}")["verdicts"][0]["digest"]
    commit = server.get("/repositories/web/commits")[0]["id"]
    waiting = [
        *("/", "/pipelines", "/pipelines/web", f"/executions/{execution}", f"/executions/{execution}/Build/Build/1"),
        *(
            "/images",
            *(f"/images/{image}?tab={tab}" for tab in TABS),
            f"/verdicts/{verdict}",
            f"/verdicts/{verdict}/report?form=html",
        ),
        *("/vulnerabilities", f"/vulnerabilities/{VULNERABILITY}", f"/packages/{quote(NAME, safe='')}", "/waivers"),
        *("/running/calm", f"/running/calm/tasks/{server.get('/services/calm')['tasks'][0]['id']}"),
        *("/repositories/web", f"/repositories/web/commits/{commit}", "/repositories/web/files/Dockerfile?at=main"),
        *("/repositories/web/edit/Dockerfile?at=main", "/events", "/audit", "/settings", "/running/web"),
        *(f"{path}{quote(ATTACK, safe='')}" for path in ("/search?q=", "/images?repository=", "/waivers?owner=")),
        *(f"{path}{quote(ATTACK, safe='')}" for path in ("/events?pattern=", "/audit?by=", "/vulnerabilities?q=")),
        *(f"{path}{quote(ATTACK, safe='')}" for path in ("/waivers/new?vulnerability=", "/policies/default?example=")),
        *(
            f"{path}{quote(ATTACK, safe='')}"
            for path in (f"/images/{image}?tab=packages&q=", f"/verdicts/{verdict}?q=", "/none/")
        ),
        *(f"{path}{quote(ATTACK, safe='')}" for path in ("/packages/", "/vulnerabilities/", "/new/pipeline?name=")),
        f"/exposure/report?q={VULNERABILITY}",
    ]
    seen_links, shown_count, tags = set(waiting), 0, 0
    with Browser(server, token) as browser:
        while waiting:
            path = waiting.pop(0)
            answer = browser.get(path)
            assert answer.status_code < 500, path
            if not answer.headers.get("content-type", "").startswith("text/html"):
                continue
            elements = Elements(answer.text)
            is_report = "/report" in path  # links to advisories, in a sandbox
            assert is_report or not elements.faults, (path, elements.faults[:3])
            texts = re.sub(r"(?s)<textarea.*?</textarea>|<input[^>]*>", "", answer.text)  # fields keep their bytes
            assert "\u202e" not in texts or is_report, path
            assert "<script evil" not in answer.text, path
            assert "<img" not in answer.text, path
            shown_count += "&lt;img src=x evil=1" in answer.text
            tags += "evil/x&#34;&gt;" in answer.text
            further = (entry for entry in elements.links - seen_links if "evil" in entry or "-sort=" in entry)
            for link in sorted(entry for entry in further if len(seen_links) < 80):
                seen_links.add(link)
                waiting.append(link)
    assert shown_count > 25
    assert tags > 3  # its list, its page, that of its tag, those of what it holds


def test_calls_answer_with_texts_that_are_not_unicode(hostile: tuple[Hostile, str, str, str]) -> None:
    server, _, image, _ = hostile
    view = server.get(f"/images/{image}")
    verdict = server.get(f"/verdicts/{view['verdicts'][0]['digest']}")
    assert all(ODD in json.dumps(answer, ensure_ascii=False) for answer in (view, verdict))
    assert server.get("/events")


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "javascript:evil()", ""]
)
def test_signing_in_leads_to_no_other_host_by_a_form_or_a_provider(
    hostile: tuple[Hostile, str, str, str], target: str
) -> None:
    server, token, _, _ = hostile
    with Browser(server) as browser:
        answer = browser.send_form("/signin", token=token, to=target)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_a_person_of_one_project_finds_no_other_one_by_sorting_or_paging(
    hostile: tuple[Hostile, str, str, str],
) -> None:
    server, _, image, execution = hostile
    server.plan_image("other", PlannedFindings({}))
    roles = [{"role": "viewer", "repositories": "other/*"}]
    server.post("/principals", {"name": "kim", "roles": [], "project_roles": roles})
    token = server.post("/tokens", {"principal": "kim"})["text"]
    closed_paths = (
        *(
            f"/images/{image}?tab=packages&packages-sort=name",
            f"/executions/{execution}",
            f"/executions/{execution}/Build/Build/1",
        ),
        *("/running/web?tasks-sort=task", "/repositories/web?files-sort=name", "/pipelines/web?sort=number"),
    )
    with Browser(server, token) as browser:
        for path in closed_paths:
            assert browser.get(path).status_code in (403, 404), path
        for path in ("/events?sort=number", "/policies?assignments-sort=name", "/settings?sessions-sort=used"):
            answer = browser.get(path)
            assert answer.status_code == 200, path
            assert "evil" not in answer.text, path
            assert image[7:19] not in answer.text, path
