"""A form that is sent twice acts once, and both times its answer is that of the first."""

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from threading import Barrier
from typing import NamedTuple

import pytest
from tests.scenarios.browser import Browser
from tests.scenarios.console_site import Site
from tests.scenarios.server import ServerSystem

from dockgate.identity.model import Role
from dockgate.web.console.repeated_forms import SENT_AGAIN

POLICY = "kind: Policy\nname: {name}\nrules:\n  max_findings: {{CRITICAL: 0}}\n"
AUTHOR = {"author": "Ada", "email": "ada@example.org"}


class FormFields(HTMLParser):
    """The fields of the form of a page that is sent to this path, as the page fills them."""

    def __init__(self, html: str, action: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._action = action
        self._is_inside = False
        self._textarea: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form":
            self._is_inside = values.get("method") == "post" and values.get("action") == self._action
        name = values.get("name")
        if self._is_inside and name and tag == "textarea":
            self._textarea = name
            self.fields[name] = ""
        if self._is_inside and name and tag == "input" and values.get("type") not in ("checkbox", "radio"):
            self.fields[name] = values.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._is_inside = False
        if tag == "textarea":
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._textarea is not None:
            self.fields[self._textarea] += data.removeprefix("\n")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("console"))) as server:
        yield Site(server)


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        yield browser


def fill(browser: Browser, page: str, action: str, **fields: str) -> dict[str, str]:
    """The fields of a form of a page, some of them filled in."""
    form = FormFields(browser.get(page).text, action).fields
    assert form["form_key"], (page, action)
    return {**form, **fields}


def send_twice(browser: Browser, page: str, action: str, **fields: str) -> str:
    """Send a form of a page twice, and return where both answers lead to."""
    form = fill(browser, page, action, **fields)
    first, second = (browser.send_form(action, **form) for _ in range(2))
    assert first.status_code == 303, re.findall(r'role="alert".*?</div>|<h1>.*?</h1>', first.text)
    assert (second.status_code, second.headers.get("location")) == (303, first.headers["location"])
    return first.headers["location"]


def list_commits(site: Site, repository: str = "web") -> list[str]:
    return [commit["id"] for commit in site.server.get(f"/repositories/{repository}/commits")]


def test_a_changed_file_is_committed_once(site: Site, browser: Browser) -> None:
    before = list_commits(site)
    change = {**AUTHOR, "content": "FROM scratch\n# once\n", "message": "Change it once"}
    location = send_twice(browser, "/repositories/web/edit/Dockerfile?at=main", "/repositories/web/edit", **change)
    commits = list_commits(site)
    assert commits[1:] == before
    assert location.startswith(f"/repositories/web/commits/{commits[0]}?")
    assert browser.get(location).status_code == 200
    repeated_entry, entry = site.server.get("/audit?call=POST%20/repositories/%7Bname%7D/edit")[:2]
    assert (entry["detail"].endswith(commits[0]), repeated_entry["detail"]) == (True, SENT_AGAIN)


def test_a_new_file_is_committed_once(site: Site, browser: Browser) -> None:
    before = list_commits(site)
    file = {**AUTHOR, "path": "once.txt", "content": "once\n", "message": "Add it once"}
    send_twice(browser, "/repositories/web/new?at=main", "/repositories/web/edit", **file)
    assert list_commits(site)[1:] == before


def test_what_was_changed_after_going_back_is_not_taken_for_the_first(site: Site, browser: Browser) -> None:
    action = "/repositories/web/edit"
    change = {**AUTHOR, "content": "FROM scratch\n# first\n", "message": "First"}
    form = fill(browser, "/repositories/web/edit/Dockerfile?at=main", action, **change)
    assert browser.send_form(action, **form).status_code == 303
    answer = browser.send_form(action, **{**form, "content": "FROM scratch\n# second\n"})
    assert answer.status_code == 412
    assert "# second" in answer.text


def test_a_refused_form_is_handled_again(site: Site, browser: Browser) -> None:
    action, page = "/repositories/web/edit", "/repositories/web/edit/Dockerfile?at=main"
    form = fill(browser, page, action, **AUTHOR, content="FROM scratch\n# corrected\n", message="")
    assert [browser.send_form(action, **form).status_code for _ in range(2)] == [422, 422]
    assert browser.send_form(action, **{**form, "message": "Corrected"}).status_code == 303


def test_the_answer_is_that_of_the_same_person_alone(site: Site, browser: Browser) -> None:
    action = "/repositories/web/edit"
    change = {**AUTHOR, "content": "FROM scratch\n# of ada\n", "message": "Of Ada"}
    form = fill(browser, "/repositories/web/edit/Dockerfile?at=main", action, **change)
    assert browser.send_form(action, **form).status_code == 303
    with Browser(site.server, site.tokens[Role.DEVELOPER]) as developer:
        assert developer.send_form(action, **form).status_code == 412
    with Browser(site.server, site.tokens[Role.VIEWER]) as viewer:
        assert viewer.send_form(action, **form).status_code == 403


def test_forms_that_are_sent_at_the_same_time_act_once(site: Site, browser: Browser) -> None:
    before, action = list_commits(site), "/repositories/web/edit"
    change = {**AUTHOR, "content": "FROM scratch\n# at the same time\n", "message": "Together"}
    form = fill(browser, "/repositories/web/edit/Dockerfile?at=main", action, **change)
    gate = Barrier(4)

    def send(_: int) -> tuple[int, str | None]:
        gate.wait()
        answer = browser.send_form(action, **form)
        return answer.status_code, answer.headers.get("location")

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(send, range(4)))
    assert list_commits(site)[1:] == before
    assert {status for status, _ in answers} == {303}
    assert len(answers) == 1


def test_a_policy_is_saved_once(site: Site, browser: Browser) -> None:
    site.server.apply(POLICY.format(name="saved"))
    text = "max_findings: {CRITICAL: 0, HIGH: 9}"
    send_twice(browser, "/policies/saved", "/policies/saved", text=text, comment="once")
    assert site.server.get("/policies/saved")["version"] == 2


def test_a_definition_is_saved_once(site: Site, browser: Browser) -> None:
    page = "/pipelines/web/definition"
    text = FormFields(browser.get(page).text, page).fields["text"].replace("timeout: 1d", "timeout: 2d")
    before = site.server.store.pipelines.get("web").version
    send_twice(browser, page, page, text=f"{text}\n# once")
    assert site.server.store.pipelines.get("web").version - before in (0, 1)
    assert "# once" in browser.get(page).text


class Form(NamedTuple):
    """A form of a page, and what a person fills in."""

    page: str
    action: str
    fields: Mapping[str, str] = {}


FORMS = (
    Form("/new/repository", "/new/repository", {"text": "kind: Repository\nname: fresh"}),
    Form("/new/policy", "/new/policy", {"text": POLICY.format(name="fresh")}),
    Form("/policies/fresh", "/policies/fresh/remove"),
    Form("/people", "/people", {"name": "fresh", "email": "", "role-viewer": "yes"}),
    Form("/people/fresh", "/people/fresh/roles", {"role-viewer": "yes", "role-developer": "yes"}),
    Form("/people/fresh", "/people/fresh/disable"),
    Form("/people/fresh", "/people/fresh/enable"),
    Form("/running/web", "/running/web/restart"),
    Form("/running/web", "/running/web", {"desired_count": "2"}),
    Form(
        "/executions/EXECUTION",
        "/approvals/EXECUTION/ContainerVulnerabilityAssessment/Approval/1/reject",
        {"reason": "no"},
    ),
    Form("/executions/EXECUTION", "/executions/EXECUTION/retry"),
    Form("/executions/EXECUTION", "/executions/EXECUTION/stop", {"reason": "no"}),
)


def test_every_form_that_was_accepted_is_accepted_again(site: Site, browser: Browser) -> None:
    for page, action, fields in FORMS:
        page, action = (path.replace("EXECUTION", site.waiting) for path in (page, action))
        send_twice(browser, page, action, **fields)


def test_findings_are_accepted_once(site: Site) -> None:
    approval = f"/approvals/{site.execution}/ContainerVulnerabilityAssessment/Approval/1"
    before = len(site.server.get("/waivers"))
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        fields = {"until": "2999-01-01", "reason": "not reachable"}
        send_twice(browser, f"/executions/{site.execution}", f"{approval}/override", **fields)
    assert len(site.server.get("/waivers")) == before + 1
