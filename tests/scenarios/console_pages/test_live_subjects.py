"""The stream of a live page: what it says of subjects that do not exist, or that the reader may not see."""

import pytest
from tests.scenarios.browser import Browser
from tests.scenarios.console_site import Site

from dockgate.events.model import NewEvent
from dockgate.events.subject import EventSubject
from dockgate.identity.model import Role

AT = "2026-11-28T12:00:00.000Z"


def _record(site: Site, key: str, subject: str, repository: str) -> None:
    event = NewEvent(f"{key}/{subject}", "test", "test.x", EventSubject.parse(subject), AT, {}, repository=repository)
    site.server.store.event_log.record([event])


def _read_first_refresh(browser: Browser, site: Site, subject: str, key: str) -> str:
    """What the stream says until it refreshes the page, of an event of this subject and then of one that all see."""
    text = ""
    with browser.stream("GET", "/live", params={"subject": f"{subject},tag web/app:seen-{key}"}) as answer:
        assert answer.status_code == 200
        for part in answer.iter_text():
            text += part
            if "event: refresh" in text:
                return text
            if text.endswith("retry: 2000\n\n"):  # the stream has begun
                _record(site, key, subject, "api/app")
                _record(site, key, f"tag web/app:seen-{key}", "web/app")
    return text


def test_a_foreign_subject_and_one_that_does_not_exist_are_alike(site: Site) -> None:
    token = site.issue_token("ada", days=1, repositories=["web/*"])
    with Browser(site.server, token) as browser:
        texts = {
            _read_first_refresh(browser, site, subject, f"e{number}")
            for number, subject in enumerate(("execution api-1", "execution no-such-1", "image sha256:0"))
        }
    assert texts == {"retry: 2000\n\nevent: refresh\ndata: \n\n"}


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("subject=zzz", 422, "execution"),
        ("subject=service%20web,zzz%20a", 422, "execution"),
        ("topics=x", 422, "subject"),
        ("since=yesterday", 400, "RFC 3339"),
        (f"subject={','.join(['service'] * 21)}", 400, "more than 20 subjects"),
    ],
)
def test_an_unknown_kind_of_subject_is_refused_at_once(site: Site, query: str, status: int, words: str) -> None:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        answer = browser.get(f"/live?{query}")
    assert answer.status_code == status
    assert words in answer.text.lower() or words in answer.text
