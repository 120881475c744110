"""Signed links to one verdict: what they open, until when, and that nothing else opens with them."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.scenarios import slow_http
from tests.scenarios.browser import Browser, Forms
from tests.scenarios.console_site import Site
from tests.scenarios.server import ServerSystem

from dockgate.identity.model import Role


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("links"))) as server:
        yield Site(server)


def get_verdict(site: Site, image: str) -> str:
    digest: str = site.server.get(f"/images/{image}")["verdicts"][0]["digest"]
    return digest


def make(site: Site, digest: str, days: float = 7) -> str:
    link = site.server.post(f"/verdicts/{digest}/link", {"days": days})
    url: str = link["url"]
    assert url.startswith(f"{site.server.console_url}/verdicts/{digest}/link?")
    return url.removeprefix(site.server.console_url)


def test_a_visitor_reads_this_verdict_without_a_session(site: Site) -> None:
    digest = get_verdict(site, site.rejected_image)
    with Browser(site.server) as visitor:
        page = visitor.get(make(site, digest))
        assert page.status_code == 200
        assert "Rejected" in page.text
        assert "set-cookie" not in page.headers
        assert page.headers["cache-control"] == "no-store"
        assert "<form" not in page.text
        assert visitor.get(f"/verdicts/{digest}").status_code == 303
        assert visitor.get("/images").status_code == 303


def test_every_link_of_a_visitor_opens(site: Site) -> None:
    digest = get_verdict(site, site.rejected_image)
    with Browser(site.server) as visitor:
        html = visitor.get(make(site, digest)).text
        links = {link for link in Forms(html).links if not link.startswith(("#", "/static/"))}
        assert f"/verdicts/{digest}" in links  # to sign in
        closed_links = {link for link in links if visitor.get(link).status_code != 200}
        assert closed_links == {f"/verdicts/{digest}"}


def test_links_within_the_page_keep_the_signature(site: Site) -> None:
    with Browser(site.server) as visitor:
        path = make(site, get_verdict(site, site.rejected_image))
        links = re.findall(r'href="([^"]*show=[^"]*)"', visitor.get(path).text)
        assert links
        assert {visitor.get(link.replace("&amp;", "&")).status_code for link in links} == {200}


def test_a_link_opens_no_other_verdict_and_nothing_else(site: Site) -> None:
    own_verdict, second = get_verdict(site, site.rejected_image), get_verdict(site, site.approved_image)
    query = urlsplit(make(site, own_verdict)).query
    with Browser(site.server) as visitor:
        assert visitor.get(f"/verdicts/{own_verdict}/link?{query}").status_code == 200
        for path in (
            f"/verdicts/{second}/link?{query}",
            f"/verdicts/{own_verdict.upper()}/link?{query}",
            f"/verdicts/{own_verdict}/link?{query.replace('expires=', 'expires=9')}",
            f"/verdicts/{own_verdict}/link?{query[:-1]}",
            f"/verdicts/{own_verdict}/link?{query}%00",
            f"/verdicts/{own_verdict}/link?expires=99999999999&signature=",
            f"/verdicts/{own_verdict}/link",
        ):
            answer = visitor.get(path)
            assert answer.status_code in (400, 403, 404, 422), path
            assert "Rejected" not in answer.text
        for path in (f"/verdicts/{own_verdict}?{query}", f"/images/{site.rejected_image}?{query}"):
            assert visitor.get(path).status_code == 303, path
        for path in (
            f"/verdicts/{own_verdict}",
            f"/verdicts/{own_verdict}/case",
            f"/verdicts/{own_verdict}/explanation",
        ):
            assert slow_http.get(f"{site.server.url}/api/v1{path}?{query}").status_code == 401
        response = visitor.get(f"/verdicts/{own_verdict}/link?{query}&against={second}")
        assert second[7:19] not in response.text
        assert visitor.post(f"/verdicts/{own_verdict}/link?{query}").status_code == 405


def test_a_link_to_a_verdict_expires(site: Site) -> None:
    path = make(site, get_verdict(site, site.rejected_image), days=1)
    with Browser(site.server) as visitor:
        assert visitor.get(path).status_code == 200
        site.server.clock.ahead += timedelta(days=1, seconds=1)
        answer = visitor.get(path)
        site.server.clock.ahead -= timedelta(days=1, seconds=1)
        assert answer.status_code == 403
        assert "has ended" in answer.text


def test_a_link_that_waits_for_the_database_delays_no_other_request(site: Site) -> None:
    is_asked, may_answer = Event(), Event()

    def count_slowly(digest: str) -> int:
        is_asked.set()
        assert may_answer.wait(60)
        return site.server.store.verdicts.count_link_revocations(digest)

    path, services = make(site, get_verdict(site, site.rejected_image)), site.server.services
    slow_links = replace(services.approvals.verdict_links, count_revocations=count_slowly)
    site.server.app.state.services = replace(services, approvals=replace(services.approvals, verdict_links=slow_links))
    try:
        with ThreadPoolExecutor(1) as executor, Browser(site.server) as visitor:
            answer = executor.submit(visitor.get, path)
            assert is_asked.wait(30)
            assert site.server.client.get("/health").status_code == 200
            may_answer.set()
            assert answer.result().status_code == 200
    finally:
        may_answer.set()
        site.server.app.state.services = services


@pytest.mark.parametrize("days", [0, -1, 31])
def test_a_link_lasts_a_month_at_most(site: Site, days: float) -> None:
    path = f"/verdicts/{get_verdict(site, site.rejected_image)}/link"
    assert site.server.client.post(path, json={"days": days}).status_code == 400


def test_only_who_decides_on_the_image_makes_and_revokes_links_and_it_is_recorded(site: Site) -> None:
    digest = get_verdict(site, site.rejected_image)
    url = f"{site.server.url}/api/v1/verdicts/{digest}/link"

    def ask(method: str, token: str) -> httpx.Response:
        return slow_http.request(method, url, headers={"Authorization": f"Bearer {token}"}, json={"days": 1})

    limited_token = site.issue_token("approver", repositories=["elsewhere/*"])
    for method in ("POST", "DELETE"):
        assert slow_http.request(method, url).status_code == 401
        for token in (limited_token, site.tokens[Role.VIEWER], site.tokens[Role.DEVELOPER]):
            assert ask(method, token).status_code == 403
    response = ask("POST", site.tokens[Role.APPROVER])
    assert (response.status_code, ask("DELETE", site.tokens[Role.APPROVER]).status_code) == (201, 204)
    signature = parse_qs(urlsplit(response.json()["url"]).query)["signature"][0]
    entries = site.server.get("/audit?by=approver")
    call = "/api/v1/verdicts/{digest}/link"
    assert {(f"POST {call}", 201), (f"DELETE {call}", 204)} <= {(entry["call"], entry["status"]) for entry in entries}
    assert signature not in str(entries)


def test_links_to_a_verdict_are_revoked_and_those_to_others_and_later_ones_count(site: Site) -> None:
    digest = get_verdict(site, site.rejected_image)
    paths = [make(site, digest), make(site, get_verdict(site, site.approved_image))]
    for _ in range(2):
        assert site.server.client.delete(f"/verdicts/{digest}/link").status_code == 204
    paths.append(make(site, digest))
    with Browser(site.server) as visitor:
        assert [visitor.get(path).status_code for path in paths] == [403, 200, 200]
    assert site.server.client.delete(f"/verdicts/sha256:{'0' * 64}/link").status_code == 404
