"""Vulnerabilities and packages in the console: what is known, everything that they touch, and reports as files."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.parts import wait_until
from tests.scenarios.browser import Browser, Forms, remove_word_marks
from tests.scenarios.console_site import HOSTILE, Site
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.planned_images import MissingAdvisories, make_advisory
from tests.scenarios.server import ServerSystem

from dockgate.events.model import NewEvent
from dockgate.events.subject import EventSubject
from dockgate.identity.model import Role
from dockgate.vulnerabilities.model import AdvisoryText, Severity
from dockgate.web.console.empty_states import LIMITED_NOTE

CRITICAL = make_advisory("critical-fixed-0", Severity.CRITICAL, "2").id
LOW = make_advisory("low-open-0", Severity.LOW, "").id
LOW_FIXED = make_advisory("low-fixed-0", Severity.LOW, "2").id


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("console"))) as server:
        site_of_server = Site(server)
        wait_until(lambda: server.get(f"/exposure?q={CRITICAL}")["total"])
        wait_until(lambda: server.get(f"/exposure?q={LOW}")["total"])
        yield site_of_server


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        yield browser


def test_a_vulnerability_says_where_it_is_and_where_it_is_fixed(site: Site, browser: Browser) -> None:
    html = browser.get(f"/vulnerabilities/{CRITICAL}").text
    assert "1 image contains it, and no service is known to run it" in html
    assert f"/images/{site.rejected_image}" in html
    assert 'Fixed in <strong class="good"><bdi class="foreign">2</bdi>' in html
    assert "before 2" in html
    record = f'<a href="https://osv.dev/vulnerability/{CRITICAL}" rel="noopener noreferrer"><bdi'
    assert record in html.partition('id="versions"')[2]
    assert "/packages/pkg:deb/debian/critical-fixed-0" in html


def test_a_vulnerability_shows_the_text_of_its_record(site: Site, browser: Browser) -> None:
    references = ("https://a.example/1", "javascript:alert(1)")
    site.server.advisories.texts.append(AdvisoryText(CRITICAL, HOSTILE, references, ("CWE-79",)))
    html = browser.get(f"/vulnerabilities/{CRITICAL}").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert '<a href="https://a.example/1" rel="noopener noreferrer">' in html
    assert "javascript:alert(1)" in html
    assert 'href="javascript' not in html
    assert '<a href="https://cwe.mitre.org/data/definitions/79.html" rel="noopener noreferrer">CWE-79</a>' in html
    facts = site.server.get(f"/vulnerabilities/{CRITICAL}")
    assert (facts["details"], facts["references"], facts["weaknesses"]) == (HOSTILE, list(references), ["CWE-79"])


def test_a_running_vulnerability_names_its_service_pipeline_and_waiver(site: Site, browser: Browser) -> None:
    waiver = {"owner": "ana", "reason": "never called", "vulnerability": LOW, "until": "2999-01-01"}
    waiver_id = site.server.post("/waivers", waiver)["waiver"]["id"]
    html = browser.get(f"/vulnerabilities/{LOW}").text
    assert "1 image contains it, and 1 service runs it" in html
    assert {"/running/web", "/pipelines/web", f"/waivers/{waiver_id}"} <= Forms(html).links
    sections = re.findall(r'<section id="(\w+)"', html)
    assert sections == ["known", "running", "images", "pipelines", "unknown", "waivers", "versions", "report"]
    assert {f"#{name}" for name in sections} == set(re.findall(r'<a href="(#\w+)">', html))
    assert "1 of 1" in html.partition('id="running"')[2].partition("</section>")[0]
    running = browser.get(f"/vulnerabilities/{LOW}?only=running").text
    assert f"/images/{site.approved_image}" in running
    assert f"/images/{site.rejected_image}" not in running
    assert "None of them is known to run" in browser.get(f"/vulnerabilities/{CRITICAL}?only=running").text


def test_images_are_filtered_by_link_and_each_shows_its_verdict(site: Site, browser: Browser) -> None:
    wait_until(lambda: site.server.get(f"/exposure?q={CRITICAL}")["rejected"])
    path = f"/vulnerabilities/{CRITICAL}"
    links = re.findall(r'<a href="([^"]+)"[^>]*>([^<]+ \d+)</a>', browser.get(path).text.partition('id="images"')[2])
    assert (f"{path}?only=rejected#images", "Rejected 1") in links
    assert (f"{path}?only=blocked#images", "Blocks 1") in links
    assert (f"{path}?only=waived#images", "Waived 0") in links
    rejected_page = browser.get(f"{path}?only=rejected").text
    assert f"/images/{site.rejected_image}" in rejected_page
    blocked_page = browser.get(f"{path}?only=blocked").text
    for page in (rejected_page, blocked_page):
        assert "Blocks:</strong> <a href" in page
        assert "1 CRITICAL finding, at most 0 allowed" in page
    verdict = site.server.get(f"/images/{site.rejected_image}")["verdicts"][0]["digest"]
    assert f"/verdicts/{verdict}?q={CRITICAL}" in Forms(blocked_page).links


def test_what_is_in_a_rejected_image_without_violating_a_rule_blocks_nothing(site: Site, browser: Browser) -> None:
    wait_until(lambda: site.server.get(f"/exposure?q={LOW_FIXED}")["rejected"])
    path = f"/vulnerabilities/{LOW_FIXED}"
    assert re.search(r'>for <a href="/verdicts/[^"]+">other reasons</a>', browser.get(f"{path}?only=rejected").text)
    page = browser.get(f"{path}?only=blocked").text
    assert "Blocks 0</a>" in page
    assert "violates no rule in the newest recorded verdicts" in page
    answer = site.server.get(f"/exposure?q={LOW_FIXED}&only=rejected")
    assert [image["is_blocking"] for image in answer["images"]] == [False]


def test_the_filter_of_waived_images_says_when_there_is_none(browser: Browser) -> None:
    path = f"/vulnerabilities/{CRITICAL}"
    assert "excuses it in one of them" in browser.get(f"{path}?only=waived").text
    assert (
        "/images/" not in browser.get(f"{path}?only=waived").text.partition('id="images"')[2].partition("</section>")[0]
    )


def test_any_name_in_any_case_of_letters_opens_the_page(browser: Browser) -> None:
    assert "1 image contains it" in browser.get(f"/vulnerabilities/{CRITICAL.lower()}").text


@pytest.mark.parametrize("page", ["/vulnerabilities/CVE-1999-1", "/packages/nowhere"])
def test_an_unknown_name_is_never_called_unaffected(site: Site, browser: Browser, page: str) -> None:
    html = browser.get(page).text
    assert 'class="answer unknown"' in html
    assert "It is unknown whether an image contains it" in html
    assert re.search(r"Every feed was checked on \d{4}-\d\d-\d\d at \d\d:\d\d UTC or later", html)
    assert "Check the spelling" in html
    assert "/advisories" in Forms(html).links
    content = html.partition("<main")[2]
    for all_clear in ("Running 0", "Images 0", "Versions 0", "0 images", "no image contains", "No image", "No service"):
        assert all_clear not in content, all_clear
    assert 'href="#unknown">Unknown all</a>' in content
    assert f"/images/{site.unread_image}" in content.partition('id="unknown"')[2]


@pytest.mark.parametrize(
    "page",
    ["/vulnerabilities/CVE-1999-1", "/packages/nowhere", f"/vulnerabilities/{CRITICAL}", f"/vulnerabilities/{LOW}"],
)
@pytest.mark.parametrize("repositories", [[], ["web/*"], ["other/*"]])
def test_a_page_without_readable_advisories_says_that_it_does_not_know(
    site: Site, page: str, repositories: list[str]
) -> None:
    readable_advisories = site.server.advisories
    site.server.advisories = MissingAdvisories(site.server.clock, [])
    token = site.issue_token("ada", days=1, repositories=repositories)
    try:
        with Browser(site.server, token) as browser:
            html = browser.get(page).text
            report = browser.get(f"/exposure/report?q={page.rpartition('/')[2]}&form=html").text
            rows = list(
                csv.DictReader(io.StringIO(browser.get(f"/exposure/report?q={page.rpartition('/')[2]}&form=csv").text))
            )
    finally:
        site.server.advisories = readable_advisories
    content = remove_word_marks(html).partition("<main")[2]
    for text in (content, report):
        assert "The advisories cannot be read: there is no advisory database" in text
        for claim in ("has this name", "Check the spelling", "0 images", "of 0 images", "None."):
            assert claim not in text, claim
    for claim in ("no source rates it", "no score", "not listed as exploited", "Unknown 0", 'class="answer good"'):
        assert claim not in content, claim
    if "/vulnerabilities/" in page:
        assert content.count("unknown: the advisory database cannot be asked") == 3
    assert any(row["answer"] == "unknown" and "cannot be read" in row["reason"] for row in rows)


def test_a_catalogue_that_was_never_read_lists_nothing_for_certain(browser: Browser) -> None:
    html = browser.get(f"/vulnerabilities/{LOW}").text
    assert "unknown: This server has not read the catalogue EPSS." in html  # it has read KEV
    assert "not listed as exploited, checked" in html
    assert "unknown: no advisory of this server has this name" in browser.get("/vulnerabilities/CVE-1999-1").text


def test_a_limited_reader_sees_the_waivers_that_count_in_its_images(site: Site) -> None:
    waiver = {"owner": "ana", "vulnerability": LOW_FIXED, "until": "2999-01-01"}
    for_all = site.server.post("/waivers", {**waiver, "reason": "for everybody"})["waiver"]["id"]
    for_others = site.server.post("/waivers", {**waiver, "reason": "others", "repository": "o/*"})["waiver"]["id"]
    token = site.issue_token("ada", days=1, repositories=["web/*"])
    with Browser(site.server, token) as browser:
        html = browser.get(f"/vulnerabilities/{LOW_FIXED}").text
        empty = browser.get(f"/vulnerabilities/{CRITICAL}").text
        assert browser.get(f"/waivers/{for_all}").status_code == 200
        assert browser.get(f"/waivers/{for_others}").status_code == 404
        waivers = browser.get("/waivers").text
        assert browser.get(f"/search?q={for_all}").headers["location"] == f"/waivers/{for_all}"
        assert "Nothing that you may see is known by this name" in browser.get(f"/search?q={for_others}").text
    for text in (html, waivers):
        assert f"/waivers/{for_all}" in text
        assert for_others not in text
    assert "Waivers 1 known" in html
    assert "Waivers 0 known" in empty
    assert "No waiver that counts in repositories that you may see names it." in empty


@pytest.mark.parametrize(
    "page",
    [
        *("/search?q=nothing-here", "/waivers?owner=vic", "/images?package=nowhere", "/images"),
        *("/vulnerabilities?only=exploited", "/pipelines", "/running", "/repositories", "/policies?name=nothing"),
    ],
)
def test_an_empty_list_of_a_limited_reader_says_that_it_is_a_part(site: Site, browser: Browser, page: str) -> None:
    token = site.issue_token("ada", days=1, repositories=["none/*"])
    with Browser(site.server, token) as limited_browser:
        html = limited_browser.get(page).text
    note = re.compile(f"{LIMITED_NOTE}|No(thing| [a-z]+) that you may see ")
    assert note.search(html)
    assert "creates the first one" not in html
    assert "{scope}" not in html
    assert not note.search(browser.get(page).text)


@pytest.mark.parametrize("name", ["CVE-1999-1", "nowhere"])
def test_a_report_of_an_unknown_name_is_no_all_clear(browser: Browser, name: str) -> None:
    report = browser.get(f"/exposure/report?q={name}&form=html").text
    assert '<p class="verdict undetermined">' in report
    assert "It is unknown whether an image contains it" in report
    for all_clear in ("0 images contain it", "0 services", "None."):
        assert all_clear not in report, all_clear
    rows = list(csv.DictReader(io.StringIO(browser.get(f"/exposure/report?q={name}&form=csv").text)))
    assert {row["answer"] for row in rows} == {"unknown"}
    assert "It is unknown whether an image contains it" in rows[0]["reason"]
    (caveat,) = browser.get(f"/exposure/report?q={name}&form=json").json()["caveats"]
    assert caveat["kind"] == "UnknownName"


@pytest.mark.parametrize("page", [f"/vulnerabilities/{CRITICAL}", "/packages/critical-fixed-0"])
def test_a_page_for_a_limited_reader_says_that_others_may_contain_it(site: Site, page: str) -> None:
    token = site.issue_token("ada", days=1, repositories=["web/*"])
    with Browser(site.server, token) as browser:
        html = browser.get(page).text
    assert 'class="answer good"' not in html
    assert "In the searched repositories, no image is known to contain it." in html
    assert "Only the repositories that you may see were searched: images in others may contain it." in html
    assert "No service of this server" not in html
    assert "0 images are known to contain it" in html
    assert {"Running 0 known", "Images 0 known"} <= set(re.findall(r'<a href="#[a-z]+">([^<]+)</a>', html))


@pytest.mark.parametrize("name", [CRITICAL, "critical-fixed-0"])
def test_a_report_for_a_limited_reader_says_what_was_not_searched(site: Site, name: str) -> None:
    token = site.issue_token("ada", days=1, repositories=["web/*"])
    with Browser(site.server, token) as browser:
        report = browser.get(f"/exposure/report?q={name}&form=html").text
        rows = list(csv.DictReader(io.StringIO(browser.get(f"/exposure/report?q={name}&form=csv").text)))
        answer = browser.get(f"/exposure/report?q={name}&form=json").json()
    assert "verdict approved" not in report
    assert "images in others may contain it" in report
    assert [row["reason"] for row in rows if row["answer"] == "not searched"] != []
    assert [caveat["kind"] for caveat in answer["caveats"]] == ["Limited"]


def test_a_package_lists_its_versions_and_their_vulnerabilities(browser: Browser) -> None:
    html = browser.get("/packages/pkg:deb/debian/critical-fixed-0").text
    assert "The version found has 1 vulnerability" in html
    assert f"/vulnerabilities/{CRITICAL}" in Forms(html).links
    assert browser.get("/packages/critical-fixed-0@1").status_code == 200


def test_each_page_leads_to_the_other_kind_by_the_name(browser: Browser) -> None:
    assert browser.get(f"/packages/{CRITICAL}").headers["location"] == f"/vulnerabilities/{CRITICAL}"
    assert browser.get("/vulnerabilities/openssl").headers["location"] == "/packages/openssl"
    assert browser.get(f"/search?q={CRITICAL}").headers["location"] == f"/vulnerabilities/{CRITICAL}"
    assert "/packages/critical-fixed-0" in browser.get("/search?q=critical-f").text
    for words in ("pkg:", "pkg:deb", "pkg:deb/", "pkg:github/a/b@1?x"):  # they lead to no page with an error
        assert browser.get("/search", params={"q": words}).status_code == 200
    assert browser.get("/search?q=API-1").headers["location"] == "/executions/api-1"
    answer = browser.get("/search", params={"q": "PKG:deb/debian/openssl"})
    assert answer.headers["location"] == "/packages/pkg:deb/debian/openssl"


def test_findings_images_and_waivers_link_to_vulnerability_and_package(site: Site, browser: Browser) -> None:
    verdict = site.server.get(f"/images/{site.rejected_image}")["verdicts"][0]["digest"]
    package = "/packages/pkg:deb/debian/critical-fixed-0"
    assert {f"/vulnerabilities/{CRITICAL}", package} <= Forms(browser.get(f"/verdicts/{verdict}").text).links
    assert package in Forms(browser.get(f"/images/{site.rejected_image}?tab=packages").text).links
    assert "/vulnerabilities/CVE-2026-1" in Forms(browser.get("/waivers").text).links


def test_events_link_to_the_vulnerabilities_that_they_name(site: Site, browser: Browser) -> None:
    detail = {"findings": [{"vulnerabilities": [CRITICAL, "CVE-" + "1-" * 100, "shop-2026-11"]}]}
    at = "2026-11-28T12:00:00.000Z"
    site.server.store.event_log.record([NewEvent("test/1", "dockgate", "test", EventSubject("image", "x"), at, detail)])
    links = Forms(browser.get("/events").text).links
    assert {link for link in links if link.startswith("/vulnerabilities/")} >= {f"/vulnerabilities/{CRITICAL}"}
    assert "/vulnerabilities/shop-2026-11" not in links


def test_the_list_is_filtered_and_paged(browser: Browser) -> None:
    assert f"/vulnerabilities/{CRITICAL}" in browser.get("/vulnerabilities").text
    low = browser.get("/vulnerabilities?severity=LOW").text
    assert f"/vulnerabilities/{LOW}" in low
    assert CRITICAL not in low
    assert LOW not in browser.get("/vulnerabilities?only=fixable").text
    assert CRITICAL in browser.get(f"/vulnerabilities?q={CRITICAL[:-2].lower()}").text
    # Another test of this module leaves an image that is never scanned.
    exploited_html = browser.get("/vulnerabilities?only=exploited").text
    assert re.search("No vulnerability (matches|is known to match, but some may)", exploited_html)


def test_reports_are_files_that_cannot_act_in_the_page(site: Site, browser: Browser) -> None:
    for form, kind in (("html", "text/html"), ("csv", "text/csv"), ("json", "application/json")):
        answer = browser.get(f"/exposure/report?q={CRITICAL}&form={form}")
        assert answer.headers["content-type"].startswith(kind)
        assert re.fullmatch(
            rf'attachment; filename="exposure-{CRITICAL}-[\d-]+\.{form}"', answer.headers["content-disposition"]
        )
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "sandbox"
    rows = list(csv.DictReader(io.StringIO(browser.get(f"/exposure/report?q={CRITICAL}&form=csv").text)))
    assert {row["image"] for row in rows if row["answer"] == "contains it"} == {site.rejected_image}
    document = json.loads(browser.get(f"/exposure/report?q={CRITICAL}&form=json").text)
    times = {name: document[name] for name in ("answered_at", "feeds", "catalogues")}  # as of the answer
    assert document == site.server.get(f"/exposure?q={CRITICAL}") | times


@pytest.mark.parametrize("page", ["/vulnerabilities/", "/packages/", "/exposure/report?q="])
def test_hostile_names_cannot_act(browser: Browser, page: str) -> None:
    for text in (HOSTILE, "../../waivers", '"; filename="x.html', "x\r\nSet-Cookie: a=b", "pkg:npm/a@1?x=<script>"):
        answer = browser.get(page + quote(text, safe=""), follow_redirects=True)
        assert answer.status_code in (200, 400, 404), text
        assert "<script>alert" not in answer.text
        assert "set-cookie" not in answer.headers
        assert answer.headers.get("content-disposition", "").count('"') in (0, 2)


def test_a_limited_token_sees_its_repositories_only(site: Site) -> None:
    token = site.issue_token("ada", days=1, repositories=["web/*"])
    with Browser(site.server, token) as browser:
        assert site.rejected_image not in browser.get(f"/vulnerabilities/{CRITICAL}").text
        assert site.rejected_image not in browser.get("/packages/critical-fixed-0").text
        assert site.rejected_image not in browser.get(f"/exposure/report?q={CRITICAL}&form=json").text
        assert CRITICAL not in browser.get("/vulnerabilities").text


def test_images_are_sorted_by_a_link_that_keeps_the_filter(site: Site, browser: Browser) -> None:
    def list_digests(query: str) -> list[str]:
        page = browser.get(f"/vulnerabilities/{CRITICAL}?{query}").text
        table = page.partition('id="images"')[2].partition("</table>")[0]
        return list(dict.fromkeys(re.findall(r'href="/images/(sha256:[0-9a-f]+)[?"]', table)))

    site.server.end_scan(site.server.plan_image("sorted", PlannedFindings({"CRITICAL": 1})))
    wait_until(lambda: len(list_digests("")) > 1)
    page = browser.get(f"/vulnerabilities/{CRITICAL}?only=rejected").text
    assert f'href="/vulnerabilities/{CRITICAL}?only=rejected&amp;sort=seen#images"' in page
    assert list_digests("sort=seen") == list_digests("")[::-1]


def test_vulnerabilities_are_sorted_and_their_page_names_the_call_with_the_same_filter(
    site: Site, browser: Browser
) -> None:
    html = browser.get("/vulnerabilities?sort=name&severity=LOW").text
    names = re.findall(r'href="/vulnerabilities/(CVE-[\d-]+)"', html)
    assert names == sorted(names)
    call = next(link for link in Forms(html).links if link.startswith("/api/"))
    call_result = browser.get(call).json()
    assert [entry["name"] for entry in call_result["vulnerabilities"]] == names
    assert {entry["severity"] for entry in call_result["vulnerabilities"]} == {"LOW"}
    page = site.server.get("/vulnerabilities?limit=1&sort=name")
    next_page = site.server.get(f"/vulnerabilities?limit=1&sort=name&after={page['next']}")
    assert page["vulnerabilities"][0]["name"] < next_page["vulnerabilities"][0]["name"]


def test_findings_of_a_verdict_are_filtered_and_keep_the_filter(site: Site, browser: Browser) -> None:
    verdict = site.server.get(f"/images/{site.rejected_image}")["verdicts"][0]["digest"]
    html = browser.get(f"/verdicts/{verdict}?severity=LOW").text
    assert CRITICAL not in html.partition('aria-label="Findings by reason"')[2].partition("How it was reached")[0]
    assert f"/verdicts/{verdict}?severity=LOW&amp;show=within" in html
    head = f'aria-sort="descending"><a class="sort" href="/verdicts/{verdict}?fix=yes&amp;sort=severity">Severity'
    assert head in browser.get(f"/verdicts/{verdict}?fix=yes&sort=severity&page=0").text
    assert "No finding matches" in browser.get(f"/verdicts/{verdict}?q=nothing-like-it").text
    assert CRITICAL in browser.get(f"/verdicts/{verdict}?fix=yes&q={CRITICAL.lower()}").text


def test_search_opens_an_image_by_the_names_that_pages_show(site: Site, browser: Browser) -> None:
    push = site.server.get(f"/images/{site.rejected_image}")["pushes"][0]
    name, address = push["repository"], site.server.get("/status")["registry"]
    tag_page, image_page = f"/images/r/{name}:{push['tag']}", f"/images/{site.rejected_image}?repository={name}"
    for host in ("", f"{address}/"):
        for words, page in ((f"{name}:{push['tag']}", tag_page), (f"{name}@{site.rejected_image}", image_page)):
            assert browser.get("/search", params={"q": host + words}).headers["location"] == page
