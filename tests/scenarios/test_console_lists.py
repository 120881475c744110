"""Lists of the console: paged, filtered and sorted by their addresses, with the calls of the API that they name."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tests.parts import wait_until
from tests.scenarios.browser import Browser, Forms, remove_word_marks
from tests.scenarios.console_site import Site
from tests.scenarios.live import PIPELINE, SERVICE
from tests.scenarios.planned_images import make_advisory
from tests.scenarios.server import ServerSystem

from dockgate.cli.client import Client
from dockgate.events.model import NewEvent
from dockgate.events.subject import EventSubject
from dockgate.identity.model import Role
from dockgate.services.identity.people import USED_SECONDS
from dockgate.shared.cursors import PAGE
from dockgate.shared.wording import format_count
from dockgate.vulnerabilities.model import Severity
from dockgate.web.api.search import MAX_NAMES
from dockgate.web.console.empty_states import EMPTY_STATES
from dockgate.web.console.pages.events import MAX_READ, PAGE_SIZE

CRITICAL = make_advisory("critical-fixed-0", Severity.CRITICAL, "2").id


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("lists")), sweep_seconds=3600) as server:
        site_of_server = Site(server)
        wait_until(lambda: server.get(f"/exposure?q={CRITICAL}")["total"])
        yield site_of_server


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        yield browser


def _find_link(html: str, title: str) -> str:
    link = re.search(rf'<a href="([^"]+)">{title}</a>', html)
    return link[1].replace("&amp;", "&") if link else ""


def test_images_are_filtered_by_epss_on_the_page_and_in_its_call(site: Site, browser: Browser) -> None:
    html = browser.get("/images?epss=0.1&severity=CRITICAL").text
    assert 'aria-current="true">EPSS from 10%' in html
    assert "It is unknown whether an image matches. This server has not read EPSS" in remove_word_marks(html)
    assert "/api/v1/images?severity=CRITICAL&epss=0.1" in Forms(html).links
    assert site.server.get("/images?severity=CRITICAL&epss=0.1")["images"] == []
    assert site.rejected_image in {entry["digest"] for entry in site.server.get("/images?severity=CRITICAL")["images"]}
    assert 'aria-current="true">EPSS from 0.25' in browser.get("/images?epss=0.25").text


def test_executions_are_paged_and_filtered_by_result(site: Site, browser: Browser) -> None:
    site.server.apply(PIPELINE.format(name="paged", repository="api", service="api", timeout="7d"))
    for number in range(PAGE + 1):
        execution = site.server.store.executions.start("paged", str(number), {}, "2026-11-28T12:00:00.000Z")
        site.server.store.executions.stop(execution.id, "only listed", "2026-11-28T12:00:01.000Z")
    second = browser.get(_find_link(browser.get("/pipelines/paged").text, "Next")).text
    assert re.findall(r'href="/executions/paged-(\d+)"', second) == ["1"]
    assert _find_link(second, "Next") == ""
    oldest_page = browser.get("/pipelines/paged?sort=number").text
    assert re.findall(r'href="/executions/paged-(\d+)"', oldest_page)[:2] == ["1", "2"]
    second_page = browser.get(_find_link(oldest_page, "Next")).text
    assert re.findall(r'href="/executions/paged-(\d+)"', second_page) == [str(PAGE + 1)]
    assert 'href="/executions/api-1"' in browser.get("/pipelines/api?result=Rejected&sort=number").text
    assert 'href="/executions/api-1"' not in browser.get("/pipelines/api?result=Failed&sort=number").text
    assert str(EMPTY_STATES["executions"].no_match_sentence) in browser.get("/pipelines/api?result=Succeeded").text
    assert site.server.get("/pipelines/api/executions?state=Failed&sort=number&limit=1")[0]["id"] == "api-1"


@pytest.mark.parametrize(
    ("path", "call", "shown_text", "hidden_text"),
    [
        ("/pipelines?result=Succeeded", "/pipelines?result=Succeeded", "/pipelines/web", "/pipelines/jobs"),
        ("/pipelines?result=Undetermined", "/pipelines?result=Undetermined", "/pipelines/jobs", "/pipelines/api"),
        ("/pipelines?result=Waiting", "/pipelines?result=Waiting", "/pipelines/slow", "/pipelines/web"),
        ("/running?trouble=AtRisk", "/services?trouble=AtRisk", "No service matches.", "/running/web"),
        ("/people?role=viewer", "/principals?role=viewer", "/people/viewer", "/people/approver"),
        ("/waivers?state=Active", "/waivers?state=Active", "/waivers/w-", "No waiver matches."),
        ("/waivers?ending=true", "/waivers?ending=true", "No waiver matches.", "/waivers/w-"),
        ("/repositories?name=WE", "/repositories?name=WE", "/repositories/web", "/repositories/api"),
        ("/repositories?name=none", "/repositories?name=none", "No repository matches.", "/repositories/web"),
        ("/policies?name=Ref", "/policies?name=Ref", "/policies/reference-2022", "/policies/strict"),
        ("/policies?name=none", "/policies?name=none", "No policy matches.", "/policies/reference-2022"),
        ("/events/rules?enabled=true", "/rules?enabled=true", "built in", "No event rule matches."),
        ("/events/rules?enabled=false", "/rules?enabled=false", "No event rule matches.", "built in"),
        ("/events/targets?state=Failed", "/targets?state=Failed", "No target matches.", "Dead letters"),
        ("/workers?state=Active", None, "Takes work from", "No worker matches."),
        ("/workers?state=Lost", None, "No worker matches.", "Takes work from"),
        ("/vex?state=Removed", None, "No document matches.", "Vouched for by"),
        ("/audit?call=POST+%2Fapi%2Fv1%2Fwaivers&result=Done", None, "w-", "ada: admin"),
        ("/audit?result=NoAnswer", "/audit?result=NoAnswer", "No entry matches.", "Changed"),
    ],
)
def test_a_list_is_filtered_by_links_and_its_call_by_the_same(
    site: Site, browser: Browser, path: str, call: str | None, shown_text: str, hidden_text: str
) -> None:
    html = browser.get(path).text
    content = html.partition("<main")[2]
    assert shown_text in content
    assert hidden_text not in content
    if call:
        assert f"/api/v1{call}" in Forms(html).links
        assert site.server.client.get(call).status_code == 200


def test_events_that_match_further_back_are_reached_by_links(site: Site, browser: Browser) -> None:
    site.server.store.event_log.record(
        [_make_event("rare", 0), *(_make_event("shop", number) for number in range(MAX_READ))]
    )
    path = "/events?" + urlencode({"pattern": '{"detail": {"service": ["rare"]}}'})
    first = browser.get(path).text
    assert "service rare" not in first.partition("<table")[2]
    assert "There are older ones." in first
    call = next(link for link in Forms(first).links if link.startswith("/api/"))
    assert "pattern=%7B%22detail%22" in call
    older = browser.get(_find_link(first, "Older")).text
    assert older.count('data-label="Number"') == 1
    assert _find_link(older, "Older") == ""
    assert _find_link(older, "Newest").startswith("/events?pattern=")
    empty_page = browser.get(_find_link(first, "Older").replace("rare", "none")).text
    assert "No older event matches." in empty_page


def _make_event(service: str, number: int) -> NewEvent:
    at = "2026-11-28T12:00:00.000Z"
    return NewEvent(f"{service}/{number}", "test", "service.at_risk", EventSubject("service"), at, {"service": service})


def test_events_are_listed_from_the_oldest_on_too(site: Site, browser: Browser) -> None:
    log = site.server.store.event_log
    log.record([_make_event("filler", number) for number in range(MAX_READ)])
    begin = log.read_newest_seq()
    log.record([_make_event("order", number) for number in range(350)])
    numbers = {}
    for query, title, back in (("sort=-number", "Older", "Newer"), (f"sort=number&after={begin}", "Newer", "Older")):
        listed_numbers: list[int] = []
        path = f"/events?{query}"
        while path and begin not in listed_numbers:
            html = browser.get(path).text
            assert "1,000+ in all" in html
            listed_numbers += map(int, re.findall(r'<tr id="e(\d+)"', html))
            path = _find_link(html, title)
        numbers[title] = [number for number in listed_numbers if number > begin]
        backwards: list[int] = []  # from the last page to the second one
        while begin not in backwards and (path := _find_link(html, back)):
            html = browser.get(path).text
            backwards = [*map(int, re.findall(r'<tr id="e(\d+)"', html)), *backwards]
        backwards = [number for number in backwards if number > begin]
        end = listed_numbers.index(backwards[-1]) + 1
        assert backwards == listed_numbers[end - len(backwards) : end]
        assert len(backwards) > PAGE_SIZE
    numbers["Newer"] = [number for number in numbers["Newer"] if number <= numbers["Older"][0]]  # others come in
    assert numbers["Newer"] == sorted(numbers["Newer"]) == numbers["Older"][::-1]
    pattern = urlencode({"pattern": '{"detail": {"service": ["order"]}}'})
    html = browser.get(f"/events?sort=number&{pattern}").text
    assert 'name="sort" value="number"' in html
    while "<tr id=" not in html:  # others come first
        html = browser.get(_find_link(html, "Newer")).text
    assert 'aria-sort="ascending"' in html
    assert html.count("<tr id=") == 100 == browser.get(_find_link(html, "Newer")).text.count("<tr id=")
    unmatched_query = {"sort": "number", "pattern": '{"source": ["no-such"]}'}
    assert "There are newer ones." in browser.get("/events", params=unmatched_query).text


# A page of each kind with tables of its own, and the names and columns of these.
TABLES = (
    ("/images/{image}?tab=packages", "packages", ("name", "version", "kind", "path")),
    ("/images/{image}?tab=findings", "findings", ("severity", "name", "package")),
    ("/images/{image}", "verdicts", ("when", "verdict", "policy")),
    ("/images/{image}", "pushes", ("name", "when")),
    ("/packages/critical-fixed-0", "versions", ("version", "package", "ecosystem", "images", "findings")),
    ("/packages/critical-fixed-0", "vulnerabilities", ("severity", "name")),
    ("/running/web", "tasks", ("task", "state", "revision", "started")),
    ("/repositories/web", "files", ("name", "bytes")),
    ("/policies", "assignments", ("policy", "name")),
    ("/running/web", "revisions", ("revision", "image")),
    ("/pipelines/web/definition", "versions", ("version", "saved")),
    ("/policies/own", "versions", ("version", "saved", "by")),
    ("/executions/{execution}", "artifacts", ("action", "kind")),
    ("/settings", "sessions", ("signed", "used", "ends")),
    ("/advisories", "coverage", ("ecosystem", "part", "checked")),
)


@pytest.mark.parametrize(("path", "table", "columns"), TABLES)
def test_a_table_inside_of_a_page_is_sorted_by_links_that_keep_the_rest(
    site: Site, browser: Browser, path: str, table: str, columns: tuple[str, ...]
) -> None:
    site.server.apply("kind: PolicyAssignment\nname: all\nrepositories: ['none/*']\npolicy: default\n")
    site.server.apply("kind: Policy\nname: own\nrules:\n  max_findings: {CRITICAL: 0}\n")
    path = path.format(image=site.rejected_image, execution=site.execution)
    first = browser.get(path).text
    links = {link for link in Forms(first).links if f"{table}-sort=" in link and link.endswith(f"#{table}")}
    assert f'id="{table}"' in first
    for column in columns:
        (link,) = (link for link in links if re.search(rf"{table}-sort=-?{column}#", link))
        assert link.startswith(f"{path}{'&' if '?' in path else '?'}")
        response = browser.get(link)
        assert response.status_code == 200
        head = response.text.partition(f'id="{table}"')[2].partition("</thead>")[0]
        assert head.count("aria-sort=") == 1


def test_packages_of_an_image_are_sorted_and_found(site: Site, browser: Browser) -> None:
    def list_package_names(query: str) -> list[str]:
        html = browser.get(f"/images/{site.rejected_image}?tab=packages&{query}").text
        return re.findall(r'<a href="/packages/[^>]+><bdi class="foreign">([^<]+)', html)

    ascending = list_package_names("packages-sort=name")
    assert ascending == sorted(ascending)
    assert len(ascending) > 2
    assert list_package_names("packages-sort=-name") == ascending[::-1]
    assert set(list_package_names("packages-sort=-name&q=low")) == {name for name in ascending if "low" in name}


def test_the_audit_log_is_paged_in_both_directions(site: Site, browser: Browser) -> None:
    for number in range(PAGE):
        site.server.post("/principals", {"name": f"audited-{number}", "roles": ["viewer"]})
    everything = [entry["id"] for entry in site.server.get("/audit?limit=1000")]
    for sort, expected in (("-at", everything), ("at", everything[::-1])):
        listed_ids, path = [], f"/audit?sort={sort}"
        while path:
            html = browser.get(path).text
            call = next(link for link in Forms(html).links if link.startswith("/api/"))
            headers = {"Authorization": f"Bearer {site.tokens[Role.ADMIN]}"}
            entries = browser.get(call, headers=headers).json()
            assert html.count('data-label="When"') == len(entries)
            listed_ids += [entry["id"] for entry in entries]
            path = _find_link(html, "Next")
        assert listed_ids == expected


def test_waivers_are_paged_and_sorted_by_their_end(site: Site, browser: Browser) -> None:
    for number in range(PAGE):
        waiver = {"owner": "zoe", "reason": "x", "vulnerability": f"CVE-2026-{number + 100}"}
        site.server.post("/waivers", {**waiver, "until": f"{2200 - number}-01-01"})
    path = "/waivers?owner=zoe&sort=end"
    ends = re.findall(r'data-label="Until"><time datetime="(\d{4})', browser.get(path).text)
    assert ends == sorted(ends)
    assert len(ends) == PAGE
    assert (
        'aria-sort="ascending"><a class="sort" href="/waivers?owner=zoe&amp;sort=-end">Until' in browser.get(path).text
    )
    everything = browser.get("/waivers").text
    second = browser.get(_find_link(everything, "Next")).text
    pages = [set(re.findall(r'href="/waivers/(w-\w+)"', html)) for html in (everything, second)]
    assert pages[0].isdisjoint(pages[1])
    assert len(pages[0] | pages[1]) == len(site.server.get("/waivers?limit=1000"))


# The page of each list, its call, what its links begin with, and its orders by columns.
LISTS = (
    ("/repositories", "/repositories", "/repositories/", ("name",)),
    ("/pipelines", "/pipelines", "/pipelines/", ("name", "began")),
    ("/running", "/services", "/running/", ("name", "state", "target")),
    ("/policies", "/policies", "/policies/", ("name", "changed")),
    ("/people", "/principals", "/people/", ("name", "added")),
    ("/events/rules", "/rules", "/events/rules/", ("name", "changed")),
    ("/events/targets", "/targets", "/events/targets/", ("name", "type", "waiting", "dead")),
)


@pytest.fixture(scope="module")
def large_site(site: Site) -> Site:
    """With more of everything than a page shows."""
    for number in range(PAGE + 1):
        name = f"many-{number:03}"
        fields = {"name": name, "repository": name, "service": name, "count": 0, "timeout": "7d"}
        documents = [template.format(**fields) for template in (SERVICE, PIPELINE)]
        policy = f"Policy\nrules: {{max_findings: {{CRITICAL: {number}}}}}"
        target = f"Target\ntype: pipeline\npipeline: {name}"
        rule = f"Rule\npattern: {{source: [none]}}\ntargets: [{name}]"
        documents += [f"name: {name}\nkind: {kind}\n" for kind in ("Repository", policy, target, rule)]
        site.server.post("/apply/documents", [{"name": "many.yaml", "text": text} for text in documents])
        site.server.post("/principals", {"name": name, "roles": ["viewer"]})
    return site


@pytest.mark.parametrize(("path", "call", "start", "columns"), LISTS)
def test_a_list_is_paged_and_sorted_by_the_heads_of_its_columns(
    large_site: Site, browser: Browser, path: str, call: str, start: str, columns: tuple[str, ...]
) -> None:
    headers = {"Authorization": f"Bearer {large_site.tokens[Role.ADMIN]}"}

    def list_names(page: str) -> list[str]:
        return re.findall(rf'<tr><td><a href="{start}([^"/?]+)"', page)

    everything = browser.get(f"/api/v1{call}?limit=1000", headers=headers).json()
    for column in columns:
        orders = {}
        for sort in (column, f"-{column}"):
            listed_names: list[str] = []
            link = f"{path}?sort={sort}"
            while link:
                page = browser.get(link).text
                direction = "descending" if sort.startswith("-") else "ascending"
                assert f'aria-sort="{direction}"' in page
                assert len(list_names(page)) <= PAGE
                twin = next(link for link in Forms(page).links if link.startswith("/api/"))
                assert len(browser.get(twin, headers=headers).json()) == len(list_names(page))
                listed_names += list_names(page)
                link = _find_link(page, "Next")
            assert len(listed_names) == len(set(listed_names)) == len(everything)
            orders[sort] = listed_names
        assert orders[column] == orders[f"-{column}"][::-1]


@pytest.mark.parametrize(("path", "call", "start", "columns"), LISTS)
def test_a_call_links_the_page_that_follows(
    large_site: Site, browser: Browser, path: str, call: str, start: str, columns: tuple[str, ...]
) -> None:
    headers = {"Authorization": f"Bearer {large_site.tokens[Role.ADMIN]}"}
    first = browser.get(f"/api/v1{call}?limit=2", headers=headers)
    second = browser.get(first.links["next"]["url"], headers=headers)
    assert len(first.json()) == len(second.json()) == 2
    assert all(entry not in first.json() for entry in second.json())
    assert "next" not in browser.get(f"/api/v1{call}?limit=1000", headers=headers).links
    for wrong in ("after=bm8", "sort=no-such", "limit=0", "limit=1001"):
        assert browser.get(f"/api/v1{call}?{wrong}", headers=headers).status_code in (400, 422), wrong
    for wrong in ("after=bm8", "sort=no-such"):
        assert browser.get(f"{path}?{wrong}").status_code in (400, 422), wrong


def test_tokens_of_one_person_are_paged_in_both_directions(site: Site, browser: Browser) -> None:
    site.server.post("/principals", {"name": "robot", "roles": ["viewer"]})
    ids = [site.issue_token("robot").split("_")[1] for _ in range(PAGE + 1)]
    headers = {"Authorization": f"Bearer {site.tokens[Role.ADMIN]}"}
    for sort, expected in (("-created", ids[::-1]), ("created", ids)):
        listed_ids: list[str] = []
        link = f"/people/robot?sort={sort}"
        while link:
            page = browser.get(link).text
            assert f'Last used <span class="muted small">within {format_count(USED_SECONDS // 3600, "hour")}' in page
            shown_ids = re.findall(r"<tr><td><code[^>]*>(\w+)</code>", page)
            call = next(link for link in Forms(page).links if link.startswith("/api/"))
            assert [entry["id"] for entry in browser.get(call, headers=headers).json()] == shown_ids
            assert len(shown_ids) <= PAGE
            listed_ids += shown_ids
            link = _find_link(page, "Next")
        assert listed_ids == expected


def test_commands_get_all_pages_of_a_list(large_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKGATE_SERVER", large_site.server.url)
    monkeypatch.setenv("DOCKGATE_TOKEN", large_site.tokens[Role.ADMIN])
    with closing(Client()) as client:
        people = client.get_all("principals", sort="-name", limit=20)
    assert people == large_site.server.get("/principals?sort=-name&limit=1000")
    assert len(people) > PAGE


def test_search_is_a_call_too_and_shows_limited_callers_their_part(site: Site, browser: Browser) -> None:
    matches = site.server.get("/search?q=api")
    assert {"name": "api", "kind": "pipeline", "page": "/pipelines/api", "title": None} in matches
    assert "/api/v1/search?q=a" in Forms(browser.get("/search?q=a").text).links
    token = site.issue_token("ada", days=1, repositories=["web/*"])
    with Browser(site.server, token) as limited_browser:
        visible = limited_browser.get("/api/v1/search?q=api", headers={"Authorization": f"Bearer {token}"}).json()
        assert not [match for match in visible if match["kind"] in ("image repository", "vulnerability", "policy")]


def test_many_matches_of_one_kind_hide_none_of_another(large_site: Site, browser: Browser) -> None:
    large_site.server.apply(SERVICE.format(name="many", count=0))
    kinds = Counter(match["kind"] for match in large_site.server.get("/search?q=many"))
    assert kinds == dict.fromkeys(("pipeline", "service", "policy"), MAX_NAMES)
    assert browser.get("/search?q=MANY").headers["location"] == "/running/many"
    assert f"At most {MAX_NAMES} of each kind" in browser.get("/search?q=many-0").text


def test_tables_show_two_lines_of_a_long_reason_and_the_rest_by_a_click(site: Site, browser: Browser) -> None:
    reason = site.server.get(f"/images/{site.rejected_image}")["verdicts"][0]["summary"]
    assert len(reason) > 80
    for path in ("/", "/images", f"/images/{site.rejected_image}", "/pipelines", "/pipelines/api"):
        messages = re.findall(r'<details class="message">(.*?)</details>', browser.get(path).text)
        texts = [re.sub(r"<[^>]+>", "", message) for message in messages]
        assert reason in " ".join(texts), path


def test_images_lead_from_repositories_to_tags(site: Site, browser: Browser) -> None:
    push = site.server.get(f"/images/{site.rejected_image}")["pushes"][0]
    name = push["repository"]
    for page, link in (
        ("/images", "/images/r"),
        ("/images/r", f"/images/r/{name}"),
        (f"/images/r/{name}", f"/images/r/{name}:{push['tag']}"),
    ):
        assert link in Forms(browser.get(page).text).links
    assert "Findings of the last 1 image</h2>" in browser.get(f"/images/r/{name}").text
    assert browser.get("/images/r/nothing/here").status_code == 404
