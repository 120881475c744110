"""A form that is sent twice acts once, and both times its answer is that of the first."""

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from json import dumps
from pathlib import Path
from threading import Barrier
from typing import NamedTuple

import pytest
from httpx import Response
from sqlalchemy import select
from tests.scenarios.browser import FROM_PAGE, Browser
from tests.scenarios.console_site import Site
from tests.scenarios.server import ServerSystem

from dockgate.identity.model import Role
from dockgate.store.schema.identity import form_answers
from dockgate.web.console.repeated_forms import SENT_AGAIN

POLICY = "kind: Policy\nname: {name}\nrules:\n  max_findings: {{CRITICAL: 0}}\n"
# A token's text.
TOKEN = re.compile(r"dgt_[0-9a-f]{12}_[0-9a-f]{64}")
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
    assert location == f"/repositories/web/commits/{commits[0]}"
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
    Form("/pipelines/web", "/pipelines/web/start"),
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


def list_tokens(site: Site, principal: str) -> list[str]:
    return [token["id"] for token in site.server.get(f"/tokens?principal={principal}&limit=1000")]


def test_a_form_of_a_token_that_is_sent_again_leads_to_a_new_form(site: Site, browser: Browser) -> None:
    action, page = "/people/ada/tokens", "/people/ada"
    form = fill(browser, page, action, days="9", repositories="web/*")
    before = list_tokens(site, "ada")
    first = browser.send_form(action, **form)
    second = browser.send_form(action, **form)
    (token,) = set(list_tokens(site, "ada")) - set(before)
    assert (first.status_code, second.status_code) == (200, 409)
    assert len(TOKEN.findall(first.text)) == 1
    assert TOKEN.findall(second.text) == []
    assert "This form has made a token already" in second.text
    assert token in second.text
    assert f"/people/ada/tokens/{token}/revoke" in second.text
    new_form = FormFields(second.text, action).fields
    assert new_form["form_key"] not in ("", form["form_key"])
    assert {name: new_form[name] for name in ("days", "repositories")} == {"days": "9", "repositories": "web/*"}
    third = browser.send_form(action, **new_form)
    assert len(TOKEN.findall(third.text)) == 1
    assert len(list_tokens(site, "ada")) == len(before) + 2
    revocation = FormFields(second.text, f"/people/ada/tokens/{token}/revoke").fields
    assert browser.send_form(f"/people/ada/tokens/{token}/revoke", **revocation).status_code == 303
    page_afterwards = browser.send_form(action, **form).text
    assert "It is revoked" in page_afterwards
    assert f"Revoke {token}" not in page_afterwards


def test_a_form_of_a_token_that_was_changed_after_going_back_makes_another(site: Site, browser: Browser) -> None:
    form = fill(browser, "/people/ada", "/people/ada/tokens", days="9")
    answers = [browser.send_form("/people/ada/tokens", **{**form, "days": days}) for days in ("9", "8")]
    assert [len(TOKEN.findall(answer.text)) for answer in answers] == [1, 1]


def test_forms_of_a_token_that_are_sent_at_the_same_time_show_one_secret_once(site: Site, browser: Browser) -> None:
    form, before = fill(browser, "/people/ada", "/people/ada/tokens", days="7"), list_tokens(site, "ada")
    gate = Barrier(4)

    def send(_: int) -> tuple[int, int]:
        gate.wait()
        answer = browser.send_form("/people/ada/tokens", **form)
        return answer.status_code, len(TOKEN.findall(answer.text))

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(send, range(4)))
    assert answers == [(200, 1), (409, 0), (409, 0), (409, 0)]
    assert len(list_tokens(site, "ada")) == len(before) + 1
    with site.server.store.database.read() as connection:
        locations = connection.execute(select(form_answers.c.location)).scalars().all()
    assert not any("dgt_" in location for location in locations if location)


def test_the_form_of_roles_keeps_the_roles_after_a_refused_token(browser: Browser) -> None:
    form = fill(browser, "/people/ada", "/people/ada/tokens", days="0")
    answer = browser.send_form("/people/ada/tokens", **form)
    assert answer.status_code == 422
    assert re.search(r'name="role-admin" value="yes" checked', answer.text)


def test_a_changed_waiver_after_going_back_is_another_one(site: Site, browser: Browser) -> None:
    fields = {"vulnerability": "CVE-2026-9", "owner": "ana", "until": "2999-01-01", "reason": "first"}
    form = fill(browser, "/waivers/new", "/waivers/new", **fields)
    before = len(site.server.get("/waivers"))
    answers = [browser.send_form("/waivers/new", **{**form, "reason": reason}) for reason in ("first", "first", "new")]
    assert [answer.status_code for answer in answers] == [303, 303, 303]
    assert len(site.server.get("/waivers")) == before + 2
    preview = browser.send_form("/waivers/new", **form, do="preview")
    assert preview.status_code == 200
    assert FormFields(preview.text, "/waivers/new").fields["form_key"] != form["form_key"]


def upload(browser: Browser, key: str, data: bytes) -> Response:
    """Send the form of `/vex` as a browser does: each time with another boundary."""
    files = {"file": ("document.json", data, "application/json")}
    return browser.post("/vex", data={"form_key": key, "content": ""}, files=files, headers=FROM_PAGE)


def make_document(number: int) -> bytes:
    statement = {"vulnerability": {"name": "CVE-2026-4"}, "products": [{"@id": "pkg:oci/app"}]}
    statement |= {"status": "not_affected", "justification": "vulnerable_code_not_present"}
    document = {"@context": "https://openvex.dev/ns/v0.2.0", "author": "Example", "version": number}
    document |= {"timestamp": "2026-11-20T09:00:00Z", "@id": "https://vex.example/4", "statements": [statement]}
    return dumps(document).encode()


def test_a_document_that_is_uploaded_twice_is_added_once(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        key = fill(browser, "/vex", "/vex")["form_key"]
        assert upload(browser, key, make_document(1)).status_code == 303
        (document,) = site.server.get("/vex")
        assert browser.send_form(f"/vex/{document['document']}/remove").status_code == 303
        assert upload(browser, key, make_document(1)).headers["location"] == "/vex"
        (document,) = site.server.get("/vex")
        assert document["removed_at"]
        assert site.server.get("/audit?call=POST%20/vex")[0]["detail"] == SENT_AGAIN
        assert upload(browser, key, make_document(2)).status_code == 303
        assert len(site.server.get("/vex")) == 2
        new_key = fill(browser, "/vex", "/vex")["form_key"]
        assert upload(browser, new_key, make_document(1)).status_code == 303
        assert not any(entry["removed_at"] for entry in site.server.get("/vex"))
        assert [upload(browser, new_key, b"[]").status_code for _ in range(2)] == [422, 422]


def test_documents_that_are_uploaded_at_the_same_time_are_added_once(site: Site) -> None:
    gate = Barrier(4)
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        key, before = fill(browser, "/vex", "/vex")["form_key"], len(site.server.get("/vex"))

        def send(_: int) -> int:
            gate.wait()
            return upload(browser, key, make_document(3)).status_code

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(send, range(4))) == {303}
        assert len(site.server.get("/vex")) == before + 1
    details = [entry["detail"] for entry in site.server.get("/audit?call=POST%20/vex")[:4]]
    assert details.count(SENT_AGAIN) == 3
