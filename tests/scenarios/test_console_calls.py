"""Every page of the console names the call of the API that shows the same, or that its form makes."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from fastapi.routing import APIRoute
from tests.scenarios.browser import Browser
from tests.scenarios.console_site import Site
from tests.scenarios.page_links import MORE, START, fetch_linked_pages
from tests.scenarios.server import ServerSystem

from dockgate.identity.model import Role
from dockgate.web.console.definition_templates import KINDS
from dockgate.web.console.site import list_routers

# Pages that show nothing of what the server has.
WITHOUT_CALL = ("/signin", "/styleguide")
# Addresses that are no pages of their own (parts of pages, files, steps of signing in), and the page for visitors.
NO_PAGES = {
    *("/static/{name}", "/live", "/queue-count", "/exposure/report", "/verdicts/{digest}/link"),
    "/repositories/{name}/raw/{path:path}",
    *("/signin/provider", "/signin/provider/return", "/first-admin"),
}


class ReachedPages(NamedTuple):
    """The pages that links lead an administrator to."""

    site: Site
    browser: Browser
    answers: dict[str, httpx.Response]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReachedPages]:
    with ServerSystem(Path(tmp_path_factory.mktemp("calls"))) as server:
        site = Site(server)
        server.apply('kind: Rule\nname: all\npattern: {"source": ["dockgate"]}\ntargets: [log]\n')
        body = {"pipeline": "ci", "stage": "gate", "execution": "1", "repository": "web/app"}
        approval = server.post("/approvals", {**body, "digest": site.approved_image})["approval"]["id"]
        paths = (
            *START,
            *MORE,
            *("/search", "/waivers/new", "/vex", "/events/rules", "/events/targets"),
            *(f"/new/{kind}" for kind in KINDS),
            *(f"/approvals/{approval}", "/events/rules/all", "/repositories/web/edit/Dockerfile?at=main"),
            "/events/deliveries",
        )
        with Browser(server, site.tokens[Role.ADMIN]) as browser:
            yield ReachedPages(site, browser, dict(fetch_linked_pages(browser, paths, limit=2)))


def test_every_page_names_its_call(pages: ReachedPages) -> None:
    """A link that answers this person, or the method and the path of a call that has no address to open."""
    documented_paths = pages.site.server.app.openapi()["paths"]
    calls = {(method.upper(), path) for path, methods in documented_paths.items() for method in methods}
    links: dict[str, str] = {}
    for path, answer in pages.answers.items():
        is_page = answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
        if not is_page or path.partition("?")[0] in WITHOUT_CALL or "content-disposition" in answer.headers:
            continue
        footer = unescape(answer.text.partition('<footer class="twin')[2].partition("</footer>")[0])
        named_calls = set(re.findall(r"<code>([A-Z]+) (/api/v1/[^<]+)</code>", footer))
        assert named_calls <= calls, path
        links |= dict.fromkeys(re.findall(r'href="([^"]+)"', footer), path)
        assert 'href="/api/v1/' in footer or "/raw/" in footer or named_calls, path
    for link, path in links.items():
        answer = pages.browser.get(link, headers={"Accept": "application/json"})
        assert answer.status_code == 200, (path, link, answer.text)


def test_the_links_lead_to_every_page(pages: ReachedPages) -> None:
    paths = {path.partition("?")[0] for path, answer in pages.answers.items() if answer.status_code < 400}
    routes = [route for router in list_routers() for route in router.routes if isinstance(route, APIRoute)]
    unreached_paths = {
        route.path
        for route in routes
        if "GET" in (route.methods or ()) and not any(route.path_regex.match(path) for path in paths)
    }
    assert unreached_paths <= NO_PAGES


def test_the_call_and_the_command_have_the_filters_of_the_page(pages: ReachedPages) -> None:
    """Of every filter that is a link, on every page."""
    checked_paths, pages_without_command = set(), set()
    for path, answer in pages.answers.items():
        plain = path.partition("?")[0]
        rows = answer.text.partition('<div class="filter-rows')[2].partition("</div>")[0]
        if "?" in path or not rows or plain in WITHOUT_CALL:
            continue
        checked_paths.add(plain)
        _, plain_commands = read_footer(answer.text)
        for link in re.findall(r'href="([^"]+)"', rows):
            filters = set(parse_qsl(urlsplit(unescape(link)).query))
            call, commands = read_footer(pages.browser.get(unescape(link)).text)
            assert filters <= set(parse_qsl(urlsplit(call).query)), (link, call)
            if not commands:
                pages_without_command.add(plain)
            elif "example:" not in commands:
                assert commands != plain_commands, (link, commands)
    assert {
        "/people",
        "/running",
        "/pipelines/web",
        "/vex",
        "/workers",
        "/images",
        "/events/deliveries",
    } <= checked_paths
    assert pages_without_command == set()


def read_footer(page: str) -> tuple[str, str]:
    """The link to the call that shows the same, and the words about commands."""
    footer = unescape(page.partition('<footer class="twin')[2].partition("</footer>")[0])
    links = re.findall(r'href="(/api/v1/[^"]+)"', footer)
    return links[0] if links else "", re.sub(r"<[^>]*>", "", footer.partition('<a href="/api')[0])
