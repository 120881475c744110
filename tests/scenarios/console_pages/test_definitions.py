"""Definitions in the console: from templates, checked while typed, saved as versions, compared."""

import json
import re
from collections.abc import Iterator
from html import unescape

import httpx
import pytest
from tests.scenarios.browser import Browser
from tests.scenarios.console_site import HOSTILE, Site

from dockgate.events.model import NewEvent
from dockgate.events.subject import EventSubject
from dockgate.identity.model import Role
from dockgate.web.console.definition_templates import KINDS, TEMPLATES
from dockgate.web.console.policy_examples import EXAMPLES, PolicyExample


@pytest.fixture
def browser(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        yield browser


def _read_textarea(html: str) -> str:
    match = re.search(r"(?s)<textarea[^>]*>(.*?)</textarea>", html)
    assert match
    return unescape(match[1])


def _save(browser: Browser, name: str, text: str, version: str, **fields: str) -> httpx.Response:
    return browser.send_form(f"/pipelines/{name}/definition", text=text, version=version, **fields)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: f"{template.kind}-{template.id}")
def test_every_template_makes_a_valid_document(site: Site, template) -> None:  # type: ignore[no-untyped-def]
    name = f"from-{template.id}"
    query = {"template": template.id, "name": name, "repository": "web", "service": "web"}
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        text = _read_textarea(browser.get(f"/new/{template.kind}", params=query).text)
        answer = browser.send_form(f"/new/{template.kind}", text=text)
        assert answer.status_code == 303, answer.text
        assert name in browser.get(answer.headers["location"]).text


@pytest.mark.parametrize(
    "template", {template.kind: template for template in TEMPLATES}.values(), ids=lambda entry: entry.kind
)
def test_the_page_for_a_new_definition_changes_no_existing_one(site: Site, template) -> None:  # type: ignore[no-untyped-def]
    name = f"twice-{template.kind}"
    query = {"template": template.id, "name": name, "repository": "web", "service": "web"}
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        text = _read_textarea(browser.get(f"/new/{template.kind}", params=query).text)
        assert browser.send_form(f"/new/{template.kind}", text=text).status_code == 303
        second_response = browser.send_form(f"/new/{template.kind}", text=f"# changed\n{text}")
    assert "exists already" in second_response.text
    assert "# changed" in _read_textarea(second_response.text)


def test_the_first_template_of_every_kind_says_what_is_missing(browser: Browser) -> None:
    for kind in KINDS:
        assert browser.get(f"/new/{kind}").status_code == 200
    answer = browser.send_form("/new/pipeline", text=_read_textarea(browser.get("/new/pipeline").text))
    assert answer.status_code == 422
    assert re.search(r'<div class="errors" role="alert" tabindex="-1" autofocus>.*href="#text"', answer.text)
    assert "REPOSITORY" in re.sub(r"(?s)<textarea.*?</textarea>", "", answer.text)
    assert browser.get("/new/anything").status_code == 404


def test_a_text_is_checked_without_saving(site: Site, browser: Browser) -> None:
    text = _read_textarea(browser.get("/pipelines/api/definition").text)
    check = {"form": "pipeline", "name": "api"}
    assert "Valid Pipeline." in browser.send_form("/definitions/check", text=text, **check).text
    wrong = browser.send_form("/definitions/check", text=text.replace("type: build", "type: bild"), **check).text
    assert "Not valid." in wrong
    assert re.search(r"api:\d+: ", unescape(wrong))
    assert "<html" not in wrong
    renamed_text = text.replace("name: api", "name: other", 1)
    assert "Not valid." in browser.send_form("/definitions/check", text=renamed_text, **check).text
    rules = {"form": "policy", "name": "strict"}
    assert "Valid Policy." in browser.send_form("/definitions/check", text="max_findings: {HIGH: 0}", **rules).text
    assert "Not valid." in browser.send_form("/definitions/check", text="max_findings: {HIHG: 0}", **rules).text
    assert "Not valid." in browser.send_form("/definitions/check", text=HOSTILE, form="document").text
    assert len(site.server.store.pipelines.list_versions("api")) == 1


def test_a_definition_is_saved_as_the_next_version_and_compared(site: Site, browser: Browser) -> None:
    text = _read_textarea(browser.get("/pipelines/jobs/definition").text)
    unchanged_response = _save(browser, "jobs", text, "1")
    assert unchanged_response.status_code == 303
    assert len(site.server.store.pipelines.list_versions("jobs")) == 1
    assert _save(browser, "jobs", text.replace("type: build", "type: bild"), "1").status_code == 422
    assert _save(browser, "jobs", text.replace("name: Approval", "name: Gate"), "1").status_code == 303
    page = browser.get("/pipelines/jobs/definition").text
    assert re.search(r"<del>-\s+- name: Approval", page)
    assert re.search(r"<ins>\+\s+- name: Gate", page)
    assert '<td data-label="By">ada</td>' in page
    assert "Approval" in browser.get("/pipelines/jobs/definition?version=1").text
    stale = _save(browser, "jobs", text, "1")
    assert stale.status_code == 412
    assert "was saved since you opened" in stale.text
    assert "What your text changes in version 2" in stale.text
    assert re.search(r"<del>-\s+- name: Gate", stale.text)
    assert '<input type="hidden" name="version" value="2">' in stale.text
    assert _read_textarea(stale.text).strip() == text.strip()
    assert browser.get("/pipelines/jobs/definition?version=9").status_code == 404


def test_comments_of_a_definition_are_kept(site: Site, browser: Browser) -> None:
    text = _read_textarea(browser.get("/pipelines/web/definition").text)
    version = len(site.server.store.pipelines.list_versions("web"))
    commented_text = text.replace("stages:", "# Who may approve is decided elsewhere.\r\nstages:")
    assert _save(browser, "web", commented_text, str(version)).status_code == 303
    assert len(site.server.store.pipelines.list_versions("web")) == version
    stored_text = _read_textarea(browser.get("/pipelines/web/definition").text)
    assert "# Who may approve is decided elsewhere.\nstages:" in stored_text
    assert _save(browser, "web", stored_text.replace("timeout: 7d", "timeout: 6d"), str(version)).status_code == 303
    assert "# Who may approve" in _read_textarea(browser.get("/pipelines/web/definition").text)
    page = browser.get("/pipelines/web/definition").text
    assert re.search(r"<ins>\+\s+timeout: 6d", page)
    assert "Who may approve" not in re.sub(r"(?s)<textarea.*?</textarea>", "", page)


def test_comments_that_another_person_changed_are_not_overwritten(site: Site, browser: Browser) -> None:
    opened_page = browser.get("/pipelines/jobs/definition").text
    fields = dict(re.findall(r'<input type="hidden" name="(version|text_digest)" value="([^"]+)">', opened_page))
    text = _read_textarea(opened_page)
    for comment, status in (("# First", 303), ("# Second", 412)):
        answer = browser.send_form("/pipelines/jobs/definition", text=f"{comment}\n{text}", **fields)
        assert answer.status_code == status
    assert "the comments of jobs were changed" in unescape(answer.text).lower()
    assert "<ins>+# Second</ins>" in answer.text
    assert "# First" in _read_textarea(browser.get("/pipelines/jobs/definition").text)


def test_a_definition_cannot_become_something_else(site: Site, browser: Browser) -> None:
    for text in ("kind: Repository\nname: slow", _read_textarea(browser.get("/pipelines/api/definition").text)):
        answer = _save(browser, "slow", text, "1")
        assert answer.status_code == 422
        assert "this is not the definition of the pipeline" in unescape(answer.text)
    assert len(site.server.store.pipelines.list_versions("slow")) == 1


def test_without_scripts_a_button_checks(site: Site, browser: Browser) -> None:
    text = _read_textarea(browser.get("/pipelines/slow/definition").text).replace("timeout: 7d", "timeout: 6d")
    answer = _save(browser, "slow", text, "1", do="check")
    assert answer.status_code == 200
    assert "Valid Pipeline." in answer.text
    assert len(site.server.store.pipelines.list_versions("slow")) == 1
    assert (
        "Valid Repository." in browser.send_form("/new/repository", text="kind: Repository\nname: x", do="check").text
    )
    assert "x" not in site.server.store.repositories.list_names()


@pytest.mark.parametrize("role", [role for role in Role if role not in (Role.ADMIN, Role.SECURITY)])
def test_others_read_definitions_and_change_none(site: Site, role: Role) -> None:
    with Browser(site.server, site.tokens[role]) as browser:
        html = browser.get("/pipelines/web/definition").text
        assert "kind: Pipeline" in html
        assert "<textarea" not in html
        assert _save(browser, "web", "kind: Pipeline", "1").status_code == 403
        assert browser.get("/new/pipeline").status_code == 403
        assert browser.send_form("/new/repository", text="kind: Repository\nname: x").status_code == 403


def test_who_accepts_risks_creates_policies_and_no_pipelines(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        policy = _read_textarea(browser.get("/new/policy?name=careful").text)
        assert browser.send_form("/new/policy", text=policy).status_code == 303
        for kind in ("pipeline", "service", "repository"):
            assert browser.get(f"/new/{kind}").status_code == 403
            assert browser.send_form(f"/new/{kind}", text="kind: Repository\nname: x").status_code == 403
        response = browser.send_form("/new/policy", text="kind: Repository\nname: x")
        assert response.status_code == 422
        assert "permission" in response.text
    assert "x" not in site.server.store.repositories.list_names()


# --- policies ------------------------------------------------------------------------------------------------------


def test_a_policy_is_tried_on_the_past_and_on_what_runs_before_it_is_saved(site: Site) -> None:
    assert site.server.client.put("/policies/tried", content="max_findings: {LOW: 9}\n").is_success
    strict = {"text": "max_findings: {LOW: 0}", "version": "1"}
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        past = browser.send_form("/policies/tried", do="history", **strict).text
        assert "On the newest verdicts" in past
        assert "Approved → Rejected" in past
        assert re.search(
            rf'<a href="/images/{site.approved_image}\?repository=web/app"><bdi[^>]*>web/<wbr>app:latest</bdi></a>',
            past,
        )
        assert _read_textarea(past).strip() == strict["text"]
        runs = browser.send_form("/policies/tried", do="running", **strict).text
        assert "On what runs now: 1 image of 1 would change" in runs
        wrong = browser.send_form("/policies/tried", do="history", text="max_findings: {HIHG: 0}", version="1")
        assert wrong.status_code == 422
        assert "Nothing was saved" in wrong.text
        assert browser.send_form("/policies/tried", do="history x", **strict).status_code == 422
    assert site.server.get("/policies/tried")["version"] == 1


def test_a_new_policy_is_tried_before_it_is_created(site: Site) -> None:
    text = "kind: Policy\nname: fresh\nrules:\n  max_findings: {LOW: 0}\n"
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        assert "Try on past verdicts" in browser.get("/new/policy").text
        for action, title in (("history", "On the newest verdicts"), ("running", "On what runs now")):
            answer = browser.send_form("/new/policy", do=action, text=text)
            assert answer.status_code == 200
            assert title in answer.text
            assert _read_textarea(answer.text).strip() == text.strip()
        wrong = browser.send_form("/new/policy", do="history", text=text.replace("LOW", "LWO"))
        assert wrong.status_code == 422
        assert "fresh" not in browser.get("/policies").text
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        assert "Try on past verdicts" not in browser.get("/new/repository").text


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example.id))
def test_every_example_of_a_policy_is_valid_and_saved_only_on_demand(site: Site, example: PolicyExample) -> None:
    name = f"starts-{example.id}"
    site.server.client.put(f"/policies/{name}", content="max_findings: {LOW: 9}\n").raise_for_status()
    with Browser(site.server, site.tokens[Role.SECURITY]) as browser:
        assert f'href="/policies/{name}?example={example.id}"' in browser.get(f"/policies/{name}").text
        page = browser.get(f"/policies/{name}?example={example.id}").text
        assert _read_textarea(page) == example.text
        assert "Valid Policy" in page
        assert site.server.get(f"/policies/{name}")["version"] == 1
        assert browser.send_form(f"/policies/{name}", text=_read_textarea(page), version="1").status_code == 303
    assert site.server.get(f"/policies/{name}")["version"] == 2


def test_an_example_is_never_shown_as_if_it_were_the_policy(site: Site) -> None:
    site.server.client.put("/policies/shown", content="max_findings: {LOW: 9}\n").raise_for_status()
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        page = browser.get("/policies/shown?example=strict").text
        assert "max_findings: {LOW: 9}" in page
        assert "exploited" not in page
        assert browser.get("/policies/shown?example=nothing").status_code == 404


def test_versions_of_a_policy_are_compared(site: Site) -> None:
    for limit in (1, 2, 3):
        site.server.client.put("/policies/changing", content=f"max_findings: {{LOW: {limit}}}\n")
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        page = browser.get("/policies/changing").text
        assert "<del>-max_findings: {LOW: 2}</del>" in page
        assert "<ins>+max_findings: {LOW: 3}</ins>" in page
        assert "<del>-max_findings: {LOW: 1}</del>" in browser.get("/policies/changing?version=3&against=1").text


def test_a_rule_is_tried_with_an_event(site: Site) -> None:
    target = {"kind": "Target", "name": "rebuild", "type": "pipeline", "pipeline": "web"}
    site.server.apply(json.dumps(target))
    rule = {"kind": "Rule", "name": "risky", "pattern": {"detail-type": ["service.at_risk"]}, "targets": ["rebuild"]}
    site.server.apply(json.dumps(rule))
    at = "2026-11-28T12:00:00.000Z"
    risk = NewEvent(
        "test/web",
        "dockgate",
        "service.at_risk",
        EventSubject("service", "web"),
        at,
        {"service": "web", "summary": "x"},
    )
    event = json.dumps(risk.make_envelope())
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        matched_page = browser.send_form("/events/rules/risky/test", event=event).text
        assert "It matches." in matched_page
        other_page = browser.send_form("/events/rules/risky/test", event=event.replace("service.at_risk", "x")).text
        assert "It does not match." in other_page
        assert browser.send_form("/events/rules/risky/test", event="{").status_code == 422
        assert "pipeline" in browser.get("/events/targets/rebuild").text


def test_a_policy_page_says_in_words_what_its_rules_demand(site: Site) -> None:
    text = "max_findings:\n  CRITICAL: 0\n  only_fixable: true\nimage_age:\n  days: 30\n  action: warn\n"
    site.server.client.put("/policies/words", content=text).raise_for_status()
    for role in (Role.ADMIN, Role.VIEWER):
        with Browser(site.server, site.tokens[role]) as browser:
            html = browser.get("/policies/words").text
            words = html.partition('id="rules"')[2].partition("</section>")[0]
            assert "At most 0 CRITICAL findings that have a fix." in words
            assert "The image was created within 30 days." in words
            assert "only a warning" in words
            assert "No package that is known to be malicious." in words
    descriptions = site.server.get("/policies/words")["descriptions"]
    assert {
        "rule": "image_age",
        "action": "warn",
        "sentences": ["The image was created within 30 days."],
    } in descriptions


def test_a_candidate_is_shown_in_words_before_it_is_saved(site: Site) -> None:
    site.server.client.put("/policies/draft", content="max_findings:\n  HIGH: 1\n").raise_for_status()
    hostile = f"expression:\n  when: findings.size() > 5\n  message: {json.dumps(HOSTILE)}\n"
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        html = browser.send_form("/policies/draft", text=hostile, version="1", do="check").text
        assert "The text in words" in html
        words = html.partition('id="rules"')[2].partition("</section>")[0]
        assert "Not allowed" in words
        assert "<script>alert" not in words
        wrong = browser.send_form("/policies/draft", text="max_findings: 3", version="1", do="check").text
        assert "At most 1 HIGH finding." in wrong.partition('id="rules"')[2].partition("</section>")[0]
