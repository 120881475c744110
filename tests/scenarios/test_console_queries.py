"""How many statements a page of the console sends to the database: as many however much there is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenarios.browser import Browser
from tests.scenarios.console_site import Site
from tests.scenarios.live import SERVICE, until
from tests.scenarios.planned_images import advisory
from tests.scenarios.queries import statements_of
from tests.scenarios.server import ServerSystem

from dockgate.identity.model import Role
from dockgate.vulnerabilities.model import Severity

CRITICAL = advisory("critical-fixed-0", Severity.CRITICAL, "2").id
LOW = advisory("low-open-0", Severity.LOW, "").id
# The statement that authenticates, before those of the page.
WHO = 1
# Statements of a page.
MOST = 12
# The server still judges what the site has pushed: a page then reads again what it had remembered.
TRIES = 5


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("console"))) as server:
        made = Site(server)
        until(lambda: server.get(f"/exposure?q={CRITICAL}")["total"])
        yield made


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[Browser]:
    """One for all pages: a person signs in a few times a minute at most."""
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        yield browser


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/pipelines", "/pipelines/web", "/pipelines/web/definition", "/executions/EXECUTION", "/running"),
        *("/executions/EXECUTION/Build/Build/1", "/running/web", "/policies", "/policies/default", "/waivers"),
        *(
            "/images",
            "/images?status=Rejected&repository=api/*",
            "/images/IMAGE",
            "/images/IMAGE/sbom",
            "/packages/critical-fixed-0",
            "/images/r/api/app:latest",
            "/vulnerabilities",
            "/verdicts/VERDICT",
            "/settings",
        ),
        *("/verdicts/VERDICT/report", "/advisories", "/events", "/search?q=critical", "/new/pipeline"),
        *("/vex", "/workers", "/attestation-keys", "/gc"),
    ],
)
def test_a_page_needs_few_queries(site: Site, browser: Browser, path: str) -> None:
    verdict = site.server.get(f"/images/{site.rejected}")["verdicts"][0]["digest"]
    path = path.replace("IMAGE", site.rejected).replace("VERDICT", verdict).replace("EXECUTION", site.execution)
    assert _count(browser, site, path) <= MOST


@pytest.mark.parametrize("path", ["/", "/running"])
def test_more_services_need_no_more_queries(site: Site, browser: Browser, path: str) -> None:
    for number in range(MOST):
        site.server.apply(SERVICE.format(name=f"more-{number}", count=1))
    assert _count(browser, site, path) <= MOST


def test_the_page_that_people_leave_open_needs_few_with_its_sign_in(site: Site, browser: Browser) -> None:
    assert _count(browser, site, "/") + WHO <= MOST


@pytest.mark.parametrize("name", [CRITICAL, LOW])
def test_the_page_of_a_vulnerability_does_so_too_where_it_is_waived_and_runs(
    site: Site, browser: Browser, name: str
) -> None:
    waiver = {"owner": "ana", "reason": "never called", "vulnerability": name, "until": "2999-01-01"}
    site.server.post("/waivers", waiver)
    assert _count(browser, site, f"/vulnerabilities/{name}") <= MOST + 1  # earlier findings, for the lives


def _count(browser: Browser, site: Site, path: str) -> int:
    """The statements of a page: the fewest of some tries."""
    assert browser.get(path).status_code == 200
    return min(len(statements_of(site.server.store, lambda: browser.get(path))) for _ in range(TRIES)) - WHO
