"""A log in the console: colours, search, wrapping, the way to earlier lines, and links to one line."""

import re
import threading
from collections.abc import Iterator

import pytest
from tests.parts import wait_until
from tests.scenarios.browser import Browser
from tests.scenarios.console_site import HOSTILE, Site

from dockgate.delivery.model import ActionKey, ExecutionId
from dockgate.identity.model import Role
from dockgate.shared.errors import BuildError
from dockgate.web.console.pages.executions import LAST_LINES, MAX_LOG_BYTES

LINES = 2500


@pytest.fixture(scope="module", autouse=True)
def _long_log(site: Site) -> None:
    key, logs = ActionKey(ExecutionId(site.execution), "Build", "Build", 1), site.server.store.logs
    for number in range(len(logs.read(key, 0)[0].splitlines()) + 1, LINES + 1):
        text = {1000: f"\x1b[31merror\x1b[0m {HOSTILE}", 1001: "\x1b[1mfai\x1b[0mled"}.get(number, f"step {number}")
        logs.append(key, text)


@pytest.fixture
def browser(site: Site) -> Iterator[Browser]:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        yield browser


def _list_line_numbers(html: str) -> list[int]:
    return [int(number) for number in re.findall(r'id="l(\d+)"', html)]


def test_the_newest_lines_come_first_and_earlier_ones_by_links(site: Site, browser: Browser) -> None:
    path = f"/executions/{site.execution}/Build/Build/1"
    seen_numbers: list[int] = []
    query = ""
    while True:
        html = browser.get(path + query).text
        numbers = _list_line_numbers(html)
        assert len(numbers) <= 1000
        seen_numbers = numbers + seen_numbers
        if earlier := re.search(r'href="[^"?]*(\?before=\d+)"', html):
            query = earlier[1]
        else:
            break
    assert seen_numbers == list(range(1, LINES + 1))
    assert _list_line_numbers(browser.get(f"{path}?before=1").text) == seen_numbers[-1000:]


def test_a_link_to_a_line_shows_it_wherever_it_is(site: Site, browser: Browser) -> None:
    path = f"/executions/{site.execution}/Build/Build/1"
    html = browser.get(f"{path}?line=7").text
    assert 7 in _list_line_numbers(html)
    assert re.search(r'class="line chosen" id="l7"', html)
    assert f'href="{path}?line=7#l7"' in html
    assert "data-follow" not in html
    assert browser.get(f"{path}?line=999999999").status_code == 200


def test_colours_are_shown_and_nothing_acts(site: Site, browser: Browser) -> None:
    html = browser.get(f"/executions/{site.execution}/Build/Build/1?line=1000").text
    assert '<span class="sgr-red">error</span> &lt;script&gt;' in html
    assert "<script>alert" not in html
    assert "\x1b" not in html


def test_a_search_finds_text_across_colours_and_long_lines_need_not_wrap(site: Site, browser: Browser) -> None:
    path = f"/executions/{site.execution}/Build/Build/1"
    html = browser.get(f"{path}?q=FAILED&wrap=no").text
    assert _list_line_numbers(html) == [1001]
    assert 'class="log unwrapped"' in html
    assert 'name="wrap" value="no"' in html
    assert "No line contains these words" in browser.get(f"{path}?q=nothing-like-this").text


def test_a_log_is_downloaded_byte_by_byte_however_long_it_is(site: Site, browser: Browser) -> None:
    key = ActionKey(ExecutionId(site.execution), "Build", "Build", 1)
    path = f"/executions/{key.execution}/Build/Build/1"
    assert "download it" not in browser.get(path).text
    log = b"progress 1\rprogress 2\x0b\n" + MAX_LOG_BYTES * b"x" + b"\nthe end\n"
    file = next(site.server.folder.rglob(f"{key.execution}/Build+Build+1.log"))
    original = file.read_bytes()
    file.write_bytes(log)
    try:
        assert browser.get(f"{path}/raw").content == log
        assert "download it" in browser.get(path).text
    finally:
        file.write_bytes(original)


def test_the_logs_of_an_execution_lead_to_each_other(browser: Browser) -> None:
    build, deploy = "/executions/web-1/Build/Build/1", "/executions/web-1/Deploy/Deploy/1"
    assert f'<a href="{deploy}" rel="next">Deploy</a>' in browser.get(build).text
    page = browser.get(deploy).text
    assert f'<a href="{build}" rel="prev">Build</a>' in page
    assert 'rel="next"' not in page


def test_the_log_of_a_rejected_approval_has_the_state_of_the_other_pages(site: Site, browser: Browser) -> None:
    path = f"/executions/{site.execution}"
    for page in (path, f"{path}/ContainerVulnerabilityAssessment/Approval/1"):
        head = browser.get(page).text.partition("<h1>")[2].partition("Find in the log")[0]
        assert "Rejected" in head, page
        assert "Failed" not in head, page


def _read_part(html: str, part: str) -> str:
    """The opening tag and the content of a page's part, up to the next one."""
    return html.partition(f'<div id="{part}"')[2].partition("<form")[0]


def test_a_log_page_learns_how_its_action_ended_and_the_execution_says_why_first(site: Site, browser: Browser) -> None:
    may_end, server = threading.Event(), site.server

    def fail(moment: str) -> None:
        may_end.wait(60)
        raise BuildError("Dockerfile: RUN make failed with exit status 3: FATAL the reason", "Correct it.")

    server.builder.fault = fail
    execution = server.post("/pipelines/web/executions")["id"]
    path = f"/executions/{execution}/Build/Build/1"
    wait_until(lambda: server.get(f"/executions/{execution}")["stages"][1]["actions"][0]["state"] == "InProgress")
    server.store.logs.append(ActionKey(execution, "Build", "Build", 1), *map(str, range(40)), "\x1b[31mFATAL\x1b[0m")
    running = _read_part(browser.get(path).text, "run")
    assert f'hx-get="{path}"' in running
    assert 'hx-select-oob="#live:outerMorph"' in running
    assert "In progress" in running
    searching = _read_part(browser.get(f"{path}?q=3").text, "run")
    assert f'hx-get="{path}"' in searching, "the state is live during a search, too, but not what was found"
    assert "hx-select-oob" not in searching
    may_end.set()
    wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] == "Failed")
    server.builder.fault = lambda moment: None
    run_part = _read_part(browser.get(path).text, "run")
    assert "hx-get" not in run_part
    assert "Failed" in run_part
    assert "FATAL the reason" in run_part
    html = browser.get(f"/executions/{execution}").text
    answer, _, later_html = html.partition('<div class="answer')[2].partition("<details>")
    assert "FATAL the reason. Correct it." in answer
    last_lines = later_html.partition("</details>")[0]
    assert last_lines.count('<span class="line">') == LAST_LINES
    assert '<span class="sgr-red">FATAL</span>' in last_lines


def test_shortcuts_can_be_turned_off(site: Site) -> None:
    with Browser(site.server, site.tokens[Role.VIEWER]) as browser:
        assert 'data-keys="off"' not in browser.get("/").text
        browser.send_form("/theme", theme="", keys="off")
        assert 'data-keys="off"' in browser.get("/").text
        assert "(key /)" not in browser.get("/").text
        browser.send_form("/theme", theme="", keys="")
        assert 'data-keys="off"' not in browser.get("/").text
