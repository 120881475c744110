"""Digests as people copy them: their first digits lead to the image or the verdict, and errors are sentences."""

from collections.abc import Iterator

import pytest
from tests.scenarios.browser import Browser
from tests.scenarios.console_site import Site

from dockgate.identity.model import Role
from dockgate.web.query_parameters import list_parameters
from dockgate.web.routes import list_public_routes
from dockgate.web.validation_messages import describe_problem


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.ADMIN]) as browser:
        yield browser


def _cut(digest: str, count: int = 12) -> str:
    return digest[: len("sha256:") + count]


@pytest.mark.parametrize("form", ["{}", "sha256:{}"])
def test_the_first_digits_of_an_image_lead_to_its_page(site: Site, browser: Browser, form: str) -> None:
    digits = site.rejected_image.removeprefix("sha256:")[:12]
    for words in (digits, digits.upper(), digits[:6]):
        text = form.format(words)
        assert browser.get(f"/images/{text}").headers["location"] == f"/images/{site.rejected_image}"
        answer = browser.get("/search", params={"q": text})
        assert answer.headers["location"] == f"/images/{site.rejected_image}"


def test_the_first_digits_after_a_repository_lead_to_the_image_there(site: Site, browser: Browser) -> None:
    name = site.server.get(f"/images/{site.rejected_image}")["pushes"][0]["repository"]
    answer = browser.get("/search", params={"q": f"{name}@{_cut(site.rejected_image)}"})
    assert answer.headers["location"] == f"/images/{site.rejected_image}?repository={name}"


def test_the_first_digits_of_a_verdict_or_of_its_image_lead_to_it(site: Site, browser: Browser) -> None:
    verdict = site.server.get(f"/images/{site.rejected_image}")["verdicts"][0]["digest"]
    for digest in (verdict, site.rejected_image):
        assert browser.get(f"/verdicts/{_cut(digest)}").headers["location"] == f"/verdicts/{verdict}"
    assert browser.get("/search", params={"q": _cut(verdict)}).headers["location"] == f"/verdicts/{verdict}"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/images/sha256:1", 400, "Give at least 6 digits"),
        ("/images/sha256:000000", 404, "No image digest begins with 000000"),
        ("/images/000000", 404, "No image digest begins with 000000"),
        ("/verdicts/sha256:1", 400, "at least its first six characters"),
        ("/verdicts/000000", 404, "begins with 000000"),
        ("/verdicts/sha256:1/report", 422, "A digest is sha256: and 64 hexadecimal digits."),
        ("/images/sha256:1/sbom", 422, "A digest is sha256: and 64 hexadecimal digits."),
    ],
)
def test_a_digest_that_names_nothing_is_answered_with_a_sentence(
    browser: Browser, path: str, status: int, words: str
) -> None:
    answer = browser.get(path)
    assert answer.status_code == status
    assert words in answer.text
    assert "[0-9a-f]" not in answer.text


def test_a_limited_reader_finds_no_image_of_others_by_its_digits(site: Site) -> None:
    token = site.issue_token("ada", days=1, repositories=["web/*"])
    with Browser(site.server, token) as browser:
        hidden_image = browser.get(f"/images/{_cut(site.rejected_image)}")
        absent_image = browser.get("/images/sha256:000000000000")
        assert (hidden_image.status_code, absent_image.status_code) == (404, 404)
        assert site.rejected_image not in hidden_image.text
        assert site.rejected_image not in browser.get("/search", params={"q": _cut(site.rejected_image)}).text
        assert browser.get(f"/images/{_cut(site.approved_image)}").headers["location"].endswith(site.approved_image)


def test_no_error_shows_the_pattern_of_a_parameter() -> None:
    patterns = {
        entry.pattern
        for route in list_public_routes()
        if hasattr(route, "dependant")
        for field in (*route.dependant.path_params, *list_parameters(route.dependant))
        for entry in field.field_info.metadata
        if getattr(entry, "pattern", None)
    }
    assert len(patterns) > 3
    for pattern in patterns:
        problem = {
            "type": "string_pattern_mismatch",
            "loc": ("path", "name"),
            "input": "x",
            "ctx": {"pattern": pattern},
        }
        message, advice = describe_problem(problem)
        assert message == "name is 'x', which is malformed"
        assert advice not in ("Correct it.", pattern)
        assert pattern not in advice
