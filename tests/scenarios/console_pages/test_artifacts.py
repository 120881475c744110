"""What an execution's actions made, downloaded from its page: by those who may, and unable to act in a browser."""

import io
import json
import tarfile
from collections.abc import Iterator

import httpx
import pytest
from tests.scenarios.browser import Browser, Forms
from tests.scenarios.console_site import Site

from dockgate.identity.model import Role

EXECUTION = "web-1"
SOURCE = f"/executions/{EXECUTION}/Source/Source/1/artifact"
DEFINITIONS = f"/executions/{EXECUTION}/Build/Build/1/artifact?form=json"


@pytest.fixture
def browser(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        yield browser


def require_attachment(answer: httpx.Response, name: str, media_type: str) -> None:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["content-type"].partition(";")[0] == media_type
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_every_file_that_the_page_offers_can_be_downloaded(site: Site, browser: Browser) -> None:
    links = Forms(browser.get(f"/executions/{EXECUTION}").text).links
    files = {link for link in links if link.endswith("/artifact") or "form=" in link}
    assert {SOURCE, DEFINITIONS, f"/images/{site.approved_image}/sbom?form=spdx"} <= files
    assert any("/report?form=sarif" in link for link in files)
    for link in files:
        answer = browser.get(link)
        assert answer.status_code == 200, link
        assert answer.headers["content-disposition"].startswith("attachment; "), link


def test_the_source_is_an_archive_of_the_commit(browser: Browser) -> None:
    answer = browser.get(SOURCE)
    require_attachment(answer, "web-1-Source-1.tar", "application/x-tar")
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        assert tar.getnames() == ["Dockerfile"]


def test_the_image_definitions_of_a_build_are_json(site: Site, browser: Browser) -> None:
    answer = browser.get(DEFINITIONS)
    require_attachment(answer, "web-1-imagedefinitions.json", "application/json")
    assert [item["imageUri"].endswith(site.approved_image) for item in json.loads(answer.content)] == [True]


def test_what_does_not_exist_is_not_found(browser: Browser) -> None:
    for path in (
        f"{SOURCE}?form=json",
        "/executions/web-1/Build/Build/2/artifact",
        "/executions/web-1/ContainerVulnerabilityAssessment/Approval/1/artifact",
        "/executions/none-1/Build/Build/1/artifact",
    ):
        assert browser.get(path).status_code == 404, path
    assert browser.get(f"{SOURCE}?form=exe").status_code == 422


def test_the_files_of_a_repository_are_for_those_who_may_read_it(site: Site) -> None:
    """Who is limited to the pipeline sees what it made, but not the repository's files."""
    status = {}
    for name, limits in {
        "pipeline": {"pipelines": ["web"]},
        "both": {"pipelines": ["web"], "repositories": ["web"]},
        "elsewhere": {"pipelines": ["api"]},
    }.items():
        token = site.issue_token("viewer", **limits)
        call = f"{site.server.url}/api/v1/executions/{EXECUTION}/artifact"
        headers = {"Authorization": f"Bearer {token}"}
        with Browser(site.server, token) as limited_browser:
            page = limited_browser.get(f"/executions/{EXECUTION}")
            assert (SOURCE in Forms(page.text).links) == (name == "both")
            status[name] = (
                limited_browser.get(SOURCE).status_code,
                httpx.get(call, params={"stage": "Source", "action": "Source"}, headers=headers).status_code,
                limited_browser.get(DEFINITIONS).status_code,
            )
    assert status == {"pipeline": (403, 403, 200), "both": (200, 200, 200), "elsewhere": (403, 403, 403)}
