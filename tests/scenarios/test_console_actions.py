"""What each page of the console leads to: its main action, its command or call, and the way back."""

import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from html import unescape
from pathlib import Path
from typing import Any

import click
import pytest
from click.exceptions import Exit
from markupsafe import escape
from tests.scenarios.browser import Browser, Forms, remove_word_marks
from tests.scenarios.console_site import Site
from tests.scenarios.live import PIPELINE
from tests.scenarios.planned_images import make_advisory
from tests.scenarios.server import ServerSystem

from dockgate.cli.main import root
from dockgate.identity.model import Permission, Role
from dockgate.vulnerabilities.model import Severity
from dockgate.web.console.empty_states import EMPTY_STATES

# Its tests share a server, and later ones change what earlier ones look at.


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("actions"))) as server:
        yield Site(server)


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        yield browser


@pytest.fixture(scope="module")
def viewer(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.VIEWER]) as viewer:
        yield viewer


# What an administrator and a viewer are led to on a page; None: nothing is to be done there.
PRIMARY = {
    "/": (None, None),
    "/pipelines": ("New pipeline", None),
    "/pipelines/web": ("Start", None),
    "/pipelines/web/definition": ("Save as version 2", None),
    "/executions/web-1": (None, None),
    "/executions/api-1": ("Retry what failed", None),
    "/images": (None, None),
    "/vulnerabilities": (None, None),
    "/running": ("New service", None),
    "/running/web": ("Change", None),
    "/repositories": ("New repository", None),
    "/repositories/web": ("New file", None),
    "/repositories/web/files/Dockerfile?at=main": ("Edit", None),
    "/repositories/web/edit/Dockerfile?at=main": ("Commit", None),
    "/policies": ("New policy", None),
    "/policies/default": ("New policy from an example", None),
    "/waivers": ("New waiver", None),
    "/waivers/new": ("Save waiver", None),
    "/vex": ("Upload", None),
    "/advisories": (None, None),
    "/events": (None, None),
    "/events/targets": (None, None),
    "/people": ("Add", None),
    "/people/viewer": ("Make a token", None),
    "/audit": (None, None),
    "/settings": ("Save", "Save"),
    "/workers": (None, None),
    "/attestation-keys": (None, None),
    "/gc": (None, None),
    "/executions/none-1": ("Pipelines", "Pipelines"),
    "/people?sort=x": ("People", None),
    "/nothing/here": ("Overview", "Overview"),
}


@pytest.mark.parametrize("path", PRIMARY)
def test_a_page_has_one_primary_action_where_there_is_one_to_take(browser: Browser, viewer: Browser, path: str) -> None:
    for person, expected in zip((browser, viewer), PRIMARY[path], strict=True):
        answer = person.get(path)
        if answer.status_code == 403:
            expected = "Overview"
        primary_actions = re.findall(r'class="[^"]*\bprimary\b[^"]*"[^>]*>([^<]+)', answer.text)
        assert primary_actions == ([expected] if expected else []), person.token


def test_the_first_command_of_a_remediation_is_the_primary_action_of_its_page(site: Site, browser: Browser) -> None:
    verdict = site.server.get(f"/images/{site.rejected_image}")["verdicts"][0]["digest"]
    html = browser.get(f"/verdicts/{verdict}").text
    assert html.count("Copy command</button>") == html.count('class="copy primary"') == 1


def test_a_waiver_of_a_finding_leads_back_to_its_verdict(site: Site, browser: Browser) -> None:
    verdict = site.server.get(f"/images/{site.rejected_image}")["verdicts"][0]["digest"]
    fields = {"vulnerability": "CVE-2026-77", "owner": "ada", "reason": "x", "until": "2999-01-01"}
    location = browser.send_form("/waivers/new", **fields, key="back", verdict=verdict).headers["location"]
    assert f'href="/verdicts/{verdict}">back to the verdict' in browser.get(location).text
    for query in ("", f"?verdict={verdict}"):  # once, and never by a link
        assert "back to the verdict" not in browser.get(f"{location}{query}").text


def test_a_verdict_names_waivers_of_its_blocking_findings_that_came_later(site: Site, browser: Browser) -> None:
    verdict = site.server.get(f"/images/{site.rejected_image}")["verdicts"][0]["digest"]
    path, link = f"/verdicts/{verdict}", site.server.post(f"/verdicts/{verdict}/link", {})["url"]
    finding = make_advisory("critical-fixed-0", Severity.CRITICAL, "2").id
    waiver = {"owner": "ana", "reason": "x", "vulnerability": finding, "until": "2999-01-01"}
    other_waiver_id = site.server.post("/waivers", {**waiver, "repository": "web/app"})["waiver"]["id"]
    assert "Waiver added since then" not in browser.get(path).text
    waiver_id = site.server.post("/waivers", {**waiver, "repository": "api/*"})["waiver"]["id"]
    html = browser.get(path).text
    assert html.count("Waiver added since then") == 1
    assert f'<a href="/waivers/{waiver_id}">{waiver_id}</a>' in html
    assert f"/waivers/new?vulnerability={finding}" in html, "the server may not count that waiver: its owner pushed"
    assert "Waiver added since then" not in browser.get(link.removeprefix(site.server.console_url)).text
    for entry in (other_waiver_id, waiver_id):
        site.server.post(f"/waivers/{entry}/revoke")
    assert "Waiver added since then" not in browser.get(path).text


def test_each_list_says_what_would_be_there_and_the_next_step(site: Site, browser: Browser) -> None:
    html = remove_word_marks(browser.get("/styleguide").text)
    for name, empty_state in EMPTY_STATES.items():
        state = empty_state.describe_for(None)
        part = html.partition(f'id="empty-{name}"')[2].partition("<h3")[0]
        for sentence in (state.sentence, state.step, state.command, state.step_of_others, state.no_match_sentence):
            assert sentence is None or str(escape(sentence)) in part, name
        assert "None" not in part, name
        assert not state.command or state.step, f"{name}: a command needs a sentence that leads to it"
        assert not state.step_of_others or state.permission is not Permission.READ, name


def test_every_page_for_work_names_a_command_or_a_call(site: Site, browser: Browser) -> None:
    commit = site.server.get("/repositories/web/commits")[0]["id"]
    for path in (
        *("/", "/pipelines", "/pipelines/api", "/executions/api-1", "/images", "/vulnerabilities", "/running"),
        *("/repositories", "/repositories/web", f"/repositories/web/commits/{commit}", "/policies", "/waivers"),
        *(
            "/waivers/new",
            "/advisories",
            "/events",
            "/events/rules",
            "/events/targets",
            "/people",
            "/audit",
            "/settings",
            "/vex",
            "/workers",
            "/attestation-keys",
            "/gc",
            "/search?q=a",
        ),
        *("/repositories/web/files/Dockerfile?at=main", "/new/pipeline"),
    ):
        assert 'class="twin' in browser.get(path).text, path


def test_every_command_that_a_page_copies_is_one(browser: Browser) -> None:
    commands = set()
    for path in (
        "/policies/default",
        "/vulnerabilities",
        "/vex",
        "/new/pipeline",
        "/pipelines/web/definition",
        "/styleguide",
    ):
        html = remove_word_marks(browser.get(path).text)
        pattern = r'data-copy="(dockgate [^"]+)"|<pre>(dockgate [^<]+)</pre><button'
        commands |= {unescape(twin or command) for twin, command in re.findall(pattern, html)}
    assert {"dockgate policy show default > default.yaml", "dockgate vex list"} <= commands
    for text in sorted(commands):
        command: click.Command | None = root
        words = shlex.split(text.partition(" > ")[0])[1:]
        while isinstance(command, click.Group) and words:
            _, command, words = command.resolve_command(click.Context(command), words)
        with suppress(Exit):  # for --help
            assert command
            command.make_context(text, words, **root.context_settings)  # a command keeps its first option for help
        assert not re.search(r"\b[A-Z]{2,}\b", text)


LIMITS: Mapping[str, Mapping[str, Any]] = {
    "role": {"principal": "webdev"},
    "token for a repository": {"principal": "ada", "repositories": ["web"]},
    "token for a pipeline": {"principal": "ada", "pipelines": ["web"]},
}


# A token for a repository shows the same.
TOKEN_FOR_PIPELINE = "token for a pipeline"


@pytest.mark.parametrize(
    "who", [pytest.param(who, marks=pytest.mark.slow if who == TOKEN_FOR_PIPELINE else ()) for who in LIMITS]
)
def test_no_page_for_a_limited_caller_links_what_is_closed_to_it(site: Site, who: str) -> None:
    """A pipeline of two repositories is closed to who has one of them, as is the service of another."""
    secret = PIPELINE.format(name="secret", repository="web", service="web", timeout="7d")
    second_source = "- {name: Other, type: source, repository: api, output: Other}"
    secret = secret.replace("actions:", f"actions:\n      {second_source}", 1).replace(
        "image: web/app", "image: secret/app"
    )
    site.server.apply(secret)
    if who == "role":
        role = {"role": "developer", "repositories": "web"}
        site.server.post("/principals", {"name": "webdev", "roles": [], "project_roles": [role]})
    token = site.issue_token(**LIMITS[who])
    source: dict[str, str | None] = dict.fromkeys(("/", "/pipelines", "/repositories", "/events", "/images"))
    if who == "role":
        source["/repositories/web/edit/Dockerfile?at=main"] = None
    waiting, refused_links = list(source), []
    with Browser(site.server, token) as browser:
        while waiting:
            path = waiting.pop(0)
            answer = browser.get(path)
            if answer.status_code in (403, 404):
                refused_links.append((path, source[path]))
            assert "secret" not in answer.text, path
            links = Forms(answer.text).links if "text/html" in answer.headers.get("content-type", "") else ()
            new_links = [link for link in links if "?" not in link and link not in source]
            source.update(dict.fromkeys(new_links, path))
            waiting.extend(new_links)
    assert not refused_links, "\n".join(map(str, refused_links))
