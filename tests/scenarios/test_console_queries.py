"""How many statements a page of the console sends to the database: as many however much there is."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.parts import wait_until
from tests.scenarios.browser import Browser
from tests.scenarios.console_site import Site
from tests.scenarios.live import PIPELINE, SERVICE
from tests.scenarios.planned_images import make_advisory
from tests.scenarios.queries import list_statements
from tests.scenarios.server import ServerSystem

from dockgate.delivery.model import Approval, ApprovalId, ApprovalState, Approvers, Vote
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Role
from dockgate.shared.timestamps import format_time
from dockgate.store.records import PushedImage
from dockgate.vulnerabilities.model import Severity
from dockgate.web.console.pages.overview import COUNT_SECONDS

CRITICAL = make_advisory("critical-fixed-0", Severity.CRITICAL, "2").id
LOW = make_advisory("low-open-0", Severity.LOW, "").id
ASSIGNMENT = """\
kind: PolicyAssignment
name: api
repositories: ["api/**"]
policy: default
watch: 30d after push
"""
VEX = {"@context": "https://openvex.dev/ns/v0.2.0", "author": "Example", "timestamp": "2026-11-20T09:00:00Z"}
# Statements of a page, with the one that authenticates.
MOST = 12
# An approval of an external pipeline.
REJECTED = ApprovalId.make_external("ci", "rejected", "gate", f"{MOST:032x}")
# Pages that people see whose roles or tokens are for some repositories.
PAGES = (
    *("/", "/pipelines", "/pipelines/web", "/pipelines/web/definition", "/executions/EXECUTION", "/running"),
    *("/executions/EXECUTION/Build/Build/1", "/executions/EXECUTION/Build/Build/1/raw", "/running/web"),
    "/executions/EXECUTION/ContainerVulnerabilityAssessment/Approval/1",
    *("/policies", "/policies/default", "/waivers"),
    *("/images", "/images?status=Rejected&repository=api/*", "/images?sort=severity"),
    "/images?severity=CRITICAL&package=critical-fixed-0&repository=*&after=FIRST",
    *("/images/IMAGE", "/images/IMAGE?tab=findings", "/images/IMAGE?tab=packages", "/images/IMAGE?tab=layers"),
    *("/images/IMAGE?tab=documents", "/images/IMAGE/sbom", "/images/r", "/images/r/api/app"),
    *("/images/r/api/app:latest", "/packages/critical-fixed-0"),
    *("/vulnerabilities", "/vulnerabilities?severity=CRITICAL"),
    *(f"/vulnerabilities/{CRITICAL}{query}" for query in ("", "?only=waived", "?only=blocked")),
    *(f"/vulnerabilities/{LOW}", f"/exposure/report?q={CRITICAL}"),
    *("/verdicts/VERDICT", "/verdicts/VERDICT?against=RUNNING", "/verdicts/VERDICT/report"),
    *("/repositories", "/repositories/web", "/repositories/web/files/Dockerfile?at=main"),
    *("/repositories/web/commits/COMMIT", "/repositories/web/commits/COMMIT?against=main"),
    *("/repositories/web/edit/Dockerfile?at=main", "/settings", "/advisories", "/events", "/attestation-keys"),
    *("/search?q=critical", "/search?q=abcdef12", f"/approvals/{REJECTED}"),
)
PAGES_FOR_ALL = (
    *("/events/rules", "/events/targets", "/new/pipeline", "/vex", "/workers", "/gc", "/people", "/people/ada"),
    *("/events/deliveries", "/audit", "/waivers/new", "/styleguide"),
)
# Statements that plan a collection: of each kind of rows, and of the audit log. The site has 16 services.
MOST_OF_PLAN = 37
# The server still judges what the site has pushed: a page then reads again what it had remembered.
TRIES = 5


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("console"))) as server:
        site_of_server = Site(server)
        for number in range(MOST):
            server.apply(SERVICE.format(name=f"more-{number}", count=1))
            server.apply(PIPELINE.format(name=f"more-{number}", repository="web", service="web", timeout="7d"))
        server.apply(ASSIGNMENT)
        for name in (CRITICAL, LOW):
            _accept(server, name)
        _push_elsewhere(server, site_of_server.rejected_image)
        _request_approvals(server, site_of_server.rejected_image)
        wait_until(lambda: server.get(f"/exposure?q={CRITICAL}")["total"])
        yield site_of_server


@pytest.fixture(scope="module")
def values(site: Site) -> dict[str, str]:
    """The values of the placeholders in paths."""
    verdict, running = (
        site.server.get(f"/images/{image}")["verdicts"][0]["digest"]
        for image in (site.rejected_image, site.approved_image)
    )
    return {
        "IMAGE": site.rejected_image,
        "VERDICT": verdict,
        "EXECUTION": site.execution,
        "FIRST": site.server.get("/images?limit=1")["next"],
        "RUNNING": running,
        "COMMIT": site.server.get("/repositories/web/commits")[0]["id"],
    }


def _accept(server: ServerSystem, vulnerability: str) -> None:
    """Accept a vulnerability: by waivers, by a document that names packages, and by one that was removed."""
    waiver = {"owner": "ana", "reason": "never called", "vulnerability": vulnerability, "until": "2999-01-01"}
    for scope in ({}, {"repository": "api/*"}):
        server.post("/waivers", {**waiver, **scope})
    for number in range(2):
        statement = {"vulnerability": {"name": vulnerability}, "products": [{"@id": "pkg:oci/app"}]}
        statement |= {"status": "not_affected", "justification": "vulnerable_code_not_present"}
        document = {
            **VEX,
            "version": 1,
            "@id": f"https://vex.example/{vulnerability}/{number}",
            "statements": [statement],
        }
        digest = server.post("/vex", document)["document"]
    server.post(f"/vex/{digest}/remove")


def _push_elsewhere(server: ServerSystem, image: str) -> None:
    """Push an image to another repository, under several tags."""
    for number in range(3):
        pushed_image = PushedImage("other/app", f"1.{number}", image, format_time(server.clock()))
        server.store.images.add_push(pushed_image)


def _request_approvals(server: ServerSystem, image: str) -> None:
    """Approvals that wait for people, one of whom has voted on each, and a rejected one of an external pipeline."""
    times = "2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
    rejected_approval = Approval(REJECTED, "token", image, "api/app", PolicyReference("default"), "", *times)
    server.store.approvals.add(replace(rejected_approval, state=ApprovalState.REJECTED, requested_by="ada"))
    approvers = Approvers(count=2, exclude_committer=False)
    for number in range(MOST):
        approval = ApprovalId.make_external("ci", str(number), "gate", f"{number:032x}")
        server.store.approvals.add(replace(rejected_approval, id=approval, approvers=approvers))
        server.store.approvals.vote(Vote(approval, Role.SECURITY, True, "", times[0]))


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[Browser]:
    """One for all pages: a person signs in a few times a minute at most."""
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        yield browser


@pytest.mark.parametrize("path", [*PAGES, *PAGES_FOR_ALL])
def test_a_page_needs_few_queries(site: Site, browser: Browser, values: Mapping[str, str], path: str) -> None:
    # Images in several repositories need their policies, watches and verdicts.
    assert _count(browser, site, _fill_in(path, values)) <= MOST


def test_a_planned_collection_asks_for_nothing_of_each_service(site: Site, browser: Browser) -> None:
    plans = site.server.services.upkeep.collection_plans
    statements = list_statements(site.server.store, lambda: browser.send_form("/gc/plan"))
    assert len(statements) <= MOST_OF_PLAN
    assert plans.find() is not None
    assert _count(browser, site, "/gc") <= MOST


def test_the_count_beside_the_navigation_needs_few_queries(site: Site, browser: Browser) -> None:
    def request_count() -> None:
        site.server.clock.ahead += timedelta(seconds=COUNT_SECONDS)
        browser.get("/queue-count")

    assert _count_statements(site, request_count) <= MOST


# Roles for some repositories limit a caller as such a token does.
@pytest.mark.parametrize("caller", ["roles", pytest.param("token", marks=pytest.mark.slow)])
def test_pages_of_a_limited_caller_make_as_few_queries(site: Site, values: Mapping[str, str], caller: str) -> None:
    """Also those that find out in which repositories an image is, and which pipelines belong to a project."""
    if caller == "token":
        limits = {"repositories": ["api/*", "other/*", "web", "web/*"], "pipelines": ["api", "web"]}
        token = site.issue_token("ada", **limits)
    else:
        names = ("api/*", "other/*", "web/*")
        roles = [{"role": role, "repositories": name} for role in ("developer", "approver") for name in names]
        site.server.post("/principals", {"name": "project", "roles": [], "project_roles": roles})
        token = site.issue_token("project")
    with Browser(site.server, token) as browser:
        assert browser.get("/").text.count(">Decide<") == MOST
        counts = {path: _count(browser, site, _fill_in(path, values)) for path in PAGES}
    assert [path for path, count in counts.items() if count > MOST] == [], counts


def _fill_in(path: str, values: Mapping[str, str]) -> str:
    return re.sub("|".join(values), lambda name: values[name[0]], path)


def _count(browser: Browser, site: Site, path: str) -> int:
    """The statements of a page, which has to be answered."""

    def request_page() -> None:
        assert browser.get(path).status_code == 200

    return _count_statements(site, request_page)


def _count_statements(site: Site, call: Callable[[], object]) -> int:
    """The statements of a call: of the first try that sends few, or the fewest of all tries."""
    counts: list[int] = []
    while len(counts) < TRIES and (not counts or counts[-1] > MOST):
        counts.append(len(list_statements(site.server.store, call)))
    return min(counts)
