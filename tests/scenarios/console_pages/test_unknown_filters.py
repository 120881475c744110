"""Addresses of lists with filters that the list does not have: refused with those that it has, never ignored."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from tests.parts import wait_until
from tests.scenarios.browser import Browser
from tests.scenarios.console_site import Site
from tests.scenarios.planned_images import make_advisory

from dockgate.identity.model import Role
from dockgate.vulnerabilities.model import Severity

CRITICAL = make_advisory("critical-fixed-0", Severity.CRITICAL, "2").id
LISTS = (
    *("/pipelines", "/pipelines/web", "/images", "/images/r", "/vulnerabilities", f"/vulnerabilities/{CRITICAL}"),
    *("/packages/critical-fixed-0", "/running", "/running/web", "/repositories", "/repositories/web", "/policies"),
    *("/waivers", "/vex", "/advisories", "/events", "/events/rules", "/events/targets", "/people", "/people/ada"),
    *("/audit", "/settings", "/workers", "/images/IMAGE", "/verdicts/VERDICT", "/search", "/"),
)


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[Browser]:
    wait_until(lambda: site.server.get(f"/exposure?q={CRITICAL}")["total"])
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        yield browser


class FilterForms(HTMLParser):
    """The fields of the forms of a page that filter it, with their first values."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fields: list[dict[str, str]] = []
        self._is_inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form":
            self._is_inside = "filters" in (values.get("class") or "") and values.get("method") != "post"
            if self._is_inside:
                self.fields.append({})
        if tag in ("input", "select") and self._is_inside and (name := values.get("name")):
            self.fields[-1][name] = values.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        self._is_inside = self._is_inside and tag != "form"


def _fill_path(site: Site, path: str) -> str:
    verdict = site.server.get(f"/images/{site.rejected_image}")["verdicts"][0]["digest"]
    return path.replace("IMAGE", site.rejected_image).replace("VERDICT", verdict)


@pytest.mark.parametrize("path", LISTS)
def test_an_unknown_filter_is_refused_with_those_of_the_list(site: Site, browser: Browser, path: str) -> None:
    answer = browser.get(f"{_fill_path(site, path)}?no-such=<b>x")
    assert answer.status_code == 422
    assert "no-such is not a parameter here" in answer.text
    assert "<b>" not in answer.text
    assert "<tbody>" not in answer.text
    assert "Use ," not in answer.text  # the list may have no parameters


@pytest.mark.parametrize(
    ("address", "choice"),
    [
        ("/images?status=zzz", "NotJudged"),
        ("/images?severity=zzz", "CRITICAL"),
        ("/images?severity=HIGH&severity=zzz", "CRITICAL"),
        ("/images?epss=nan", "such as 0.5"),
        ("/images?epss=2", "or less"),
        ("/images?origin=zzz", "unknown"),
        ("/images?layer=zzz", "64 hexadecimal digits"),
        ("/images?running=zzz", "true or false"),
        ("/images?sort=zzz", "pushed"),
        ("/running?state=AtRisk", "trouble"),
        ("/running?trouble=zzz", "AtRisk"),
        ("/vulnerabilities?only=zzz", "exploited"),
        ("/vulnerabilities?severity=zzz", "CRITICAL"),
        (f"/vulnerabilities/{CRITICAL}?only=zzz", "running"),
        (f"/vulnerabilities/{CRITICAL}?versions-sort=zzz", "-record"),
        ("/packages/critical-fixed-0?only=zzz", "blocked"),
        ("/pipelines?result=zzz", "Succeeded"),
        ("/waivers?state=zzz", "Active"),
        ("/vex?documents-sort=zzz", "author"),
        ("/vex?other-sort=author", "state"),
        ("/images/IMAGE?tab=zzz", "packages"),
        ("/images/IMAGE?platform=zzz", "linux/amd64"),
        ("/images/IMAGE?tab=packages&layer=zzz", "Leave it out"),
        ("/verdicts/VERDICT?severity=zzz", "CRITICAL"),
        ("/verdicts/VERDICT?platform=zzz", "linux/amd64"),
        ("/verdicts/VERDICT?fix=zzz", "yes"),
        ("/new/policy?template=zzz", "Use"),
    ],
)
def test_an_unknown_value_is_refused_with_the_known_ones(
    site: Site, browser: Browser, address: str, choice: str
) -> None:
    answer = browser.get(_fill_path(site, address))
    assert answer.status_code == 422
    content = answer.text.partition("<main")[2]
    assert choice in content
    assert re.search(r"zzz|other-sort|state|nan|which is", content)
    assert "<tbody>" not in content


@pytest.mark.parametrize("path", LISTS)
def test_a_form_with_empty_fields_filters_nothing(site: Site, browser: Browser, path: str) -> None:
    path = _fill_path(site, path)
    for fields in FilterForms(browser.get(path).text).fields:
        answer = browser.get(f"{path}?{urlencode(fields)}")
        assert answer.status_code == 200, fields


@pytest.mark.parametrize("address", ["/services?state=AtRisk", "/images?state=Rejected", "/pipelines?state=Failed"])
def test_a_call_refuses_unknown_filters_too(site: Site, address: str) -> None:
    answer = site.server.client.get(address)
    assert answer.status_code == 422
    assert "is not a parameter here" in answer.json()["error"]


def test_a_page_without_sign_in_leads_to_it_whatever_the_filter(site: Site) -> None:
    with Browser(site.server) as visitor:
        assert visitor.get("/running?state=x").headers["location"].startswith("/signin?to=")


@pytest.mark.parametrize("path", ["/policies/compared", "/policies/default", "/pipelines/web/definition"])
def test_a_version_that_does_not_exist_is_compared_with_nothing(site: Site, browser: Browser, path: str) -> None:
    site.server.client.put("/policies/compared", content="max_findings: {LOW: 9}\n").raise_for_status()
    for version in (99, 0):
        answer = browser.get(f"{path}?against={version}")
        if (path, version) != ("/policies/default", 0):  # a built-in policy has version 0
            assert answer.status_code == 404
            assert f"has no version {version}" in answer.text


@pytest.mark.parametrize("path", ["/policies/compared", "/pipelines/web/definition"])
def test_version_0_is_not_the_newest(site: Site, browser: Browser, path: str) -> None:
    site.server.client.put("/policies/compared", content="max_findings: {LOW: 9}\n").raise_for_status()
    answer = browser.get(f"{path}?version=0")
    assert answer.status_code == 404
    assert "has no version 0" in answer.text
    assert browser.get("/policies/default?version=0").status_code == 200
