"""The whole story in a real browser: from the first administrator to a service that a person approved."""

import operator
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.pushed_images import BUSYBOX
from tests.scenarios import advisories
from tests.scenarios.live import OS_RELEASE, Clone, Live
from tests.scenarios.watched_browser import WatchedBrowser, check_no_faults, run_watched_chromium

pytestmark = [pytest.mark.real, pytest.mark.long]

# For what a build, a scan or a deployment ends, in milliseconds.
PATIENCE = 60_000
VULNERABILITY = "CVE-2026-1000"
START = """\
FROM scratch
COPY root/ /
CMD ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]
"""
INSTALL = (
    'RUN ["/bin/busybox", "sh", "-c", "printf \'Package: demo\\\\nStatus: install ok installed\\\\n'
    "Architecture: amd64\\\\nVersion: {}\\\\nDescription: a package\\\\n' > /var/lib/dpkg/status\"]\n"
)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """A server that does not run yet, with an advisory on `demo` before 2.0."""
    live = Live(tmp_path / "server")
    advisories.write(tmp_path / "feed", advisories.DEMO)
    live.run_dockgate("db", "build", "--from", str(tmp_path / "feed"))
    try:
        yield live
    finally:
        live.purge()


@pytest.fixture
def chromium() -> Iterator[WatchedBrowser]:
    """A browser whose pages may complain of nothing in the whole story."""
    with run_watched_chromium() as browser, check_no_faults(browser):
        yield browser


@dataclass
class Person:
    """A person at a browser."""

    page: Page

    @classmethod
    def open_console(cls, chromium: WatchedBrowser, live: Live) -> "Person":
        context = chromium.make_context(base_url=live.console_url, viewport={"width": 1280, "height": 900})
        return cls(context.new_page())

    @property
    def answer(self) -> Locator:
        """What the page says first."""
        return self.page.locator(".answer").first

    def find_field(self, label: str) -> Locator:
        """The field whose label begins with these words; a hint may come after them."""
        return self.page.get_by_label(re.compile(f"^\\s*{label}"))

    def follow(self, *names: str) -> None:
        """Press one link after the other."""
        for name in names:
            url = self.page.url
            self.page.get_by_role("link", name=name, exact=True).first.click()
            self.page.wait_for_url(partial(operator.ne, url))

    def press_button(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def expect_heading(self, heading: str) -> None:
        expect(self.page.get_by_role("heading", level=1)).to_contain_text(heading)

    def create(self, kind: str, name: str, **choices: str) -> None:
        """Create a document from its template, on the page of a list."""
        self.follow(f"New {kind}")
        for label, choice in choices.items():
            self.find_field(label.capitalize()).select_option(label=choice)
        self.find_field("Name").fill(name)
        self.press_button("Fill in")
        self.press_button(f"Create {kind}")
        self.expect_heading(name)

    def change_dockerfile(self, text: str, message: str) -> None:
        """Commit a Dockerfile on its page."""
        self.follow("Repositories", "web", "Dockerfile", "Edit")
        self.find_field("Content").fill(text)
        self.find_field("Message").fill(message)
        self.press_button("Commit")
        self.expect_heading(message)

    def open_execution(self, number: int) -> None:
        """Wait on the page of the pipeline until it has this execution, without loading the page again."""
        self.follow("Pipelines", "Web")
        self.page.get_by_role("link", name=f"#{number}", exact=True).click(timeout=PATIENCE)
        self.expect_heading(f"Web-{number}")

    def wait_for_words(self, words: str) -> None:
        """Look at the page until its answer has these words, without loading it again."""
        expect(self.answer).to_contain_text(words, timeout=PATIENCE)


def test_a_commit_is_rejected_changed_approved_scaled_waived_and_approved_by_a_person(
    live: Live, chromium: WatchedBrowser, tmp_path: Path
) -> None:
    server_output = live.run_dockgate("up", "--detach")
    ada, ben = Person.open_console(chromium, live), Person.open_console(chromium, live)
    token = _become_administrator(ada, server_output)
    approver = _add_approver(ada)
    ada.follow("Repositories")
    ada.create("repository", "web")
    _push_application(Clone(live, "web", tmp_path / "web"), token)
    ada.follow("Running")
    ada.create("service", "web")
    ada.follow("Pipelines")
    ada.create("pipeline", "Web", repository="web", service="web", template="Build, check, deploy")

    ada.change_dockerfile(_make_dockerfile("1.0"), "Install demo 1.0")
    ada.open_execution(1)
    ada.wait_for_words("Rejected")
    expect(ada.answer).to_contain_text("CRITICAL")
    ada.follow("Verdict")
    ada.expect_heading("Rejected")
    row = ada.page.get_by_role("row").filter(has_text=VULNERABILITY)
    expect(row).to_contain_text("demo")
    expect(row).to_contain_text("1.0 → 2.0")
    expect(row).to_contain_text("Blocks.")

    ada.change_dockerfile(_make_dockerfile("2.0"), "Install demo 2.0")
    ada.open_execution(2)
    ada.wait_for_words("Succeeded")
    ada.follow("Running", "web")
    expect(ada.answer).to_contain_text("1 of 1 tasks run")

    ada.find_field("Tasks").fill("2")
    ada.press_button("Change")
    ada.wait_for_words("2 of 2 tasks run")

    ada.page.get_by_role("searchbox", name=re.compile("Search")).fill(VULNERABILITY)
    ada.page.keyboard.press("Enter")
    ada.expect_heading(VULNERABILITY)
    expect(ada.answer).to_contain_text("1 image contains it, and no service is known to run it.")
    expect(ada.page.locator("#images").get_by_role("row").filter(has_text="web/app")).to_contain_text("1.0 → 2.0")

    ada.follow("Waive it")
    ada.find_field("Image repository").fill("web/app")
    ada.find_field("Until").first.fill("2999-01-01")
    ada.find_field("Owner").fill("ada")
    ada.find_field("Reason").fill("It is never called.")
    ada.press_button("Save waiver")
    ada.expect_heading("w-")

    _ask_people(ada)
    ada.change_dockerfile(_make_dockerfile("1.0", "# Back to what is tested."), "Go back to demo 1.0")
    ada.open_execution(3)
    ada.wait_for_words("Waiting")
    expect(ada.page.locator("#live")).to_contain_text("A person with the role approver decides.")

    ben.page.goto("/signin")
    ben.find_field("Token").fill(approver)
    ben.press_button("Sign in")
    ben.page.locator(".queue").get_by_role("link", name="Decide").click()
    ben.expect_heading("Web-3")
    expect(ben.page.locator("#live .panel")).to_contain_text("0 of 1 approved")
    ben.find_field("Reason").fill("The waiver covers it.")
    ben.press_button("Approve")
    ben.wait_for_words("Succeeded")
    ada.wait_for_words("Succeeded")
    ada.follow("Running", "web")
    ada.wait_for_words("2 of 2 tasks run")


def _make_dockerfile(version: str, comment: str = "") -> str:
    first, copy, command = START.splitlines(keepends=True)
    return f"{first}{comment}\n{copy}{INSTALL.format(version)}{command}"


def _become_administrator(person: Person, server_output: str) -> str:
    """Open the link that the server printed when it started. Returns the token that the page shows."""
    (link,) = re.findall(r"http\S+/first-admin\?key=\S+", server_output)
    person.page.goto(link)
    person.find_field("Name").fill("ada")
    person.find_field("E-mail").fill("ada@example.org")
    person.press_button("Become the administrator")
    person.expect_heading("You are the administrator")
    token = person.page.locator(".command pre").inner_text()
    person.page.goto("/")
    person.expect_heading("Nothing needs you")
    return token


def _add_approver(person: Person) -> str:
    """Add ben. Returns his token."""
    person.follow("People")
    person.find_field("Name").fill("ben")
    person.find_field("E-mail").fill("ben@example.org")
    person.find_field("approver").check()
    person.press_button("Add")
    person.expect_heading("ben")
    person.press_button("Make a token")
    return person.page.locator(".command pre").first.inner_text()


def _push_application(clone: Clone, token: str) -> None:
    """Push what a page cannot edit: a program. No pipeline exists yet that this would start."""
    clone.create_data()
    clone.run_git("remote", "set-url", "origin", clone.live.url.replace("//", f"//ada:{token}@") + "/git/web.git")
    clone.write({"Dockerfile": START, "root/etc/os-release": OS_RELEASE, "root/www/index.html": "hello"})
    for folder in ("root/bin", "root/var/lib/dpkg"):
        (clone.folder / folder).mkdir(parents=True)
    (clone.folder / "root/var/lib/dpkg/status").touch()
    shutil.copy(BUSYBOX, clone.folder / "root/bin/busybox")
    clone.commit("A program")
    clone.push()


def _ask_people(person: Person) -> None:
    """Edit the pipeline, so that a person decides, too."""
    person.follow("Pipelines", "Web", "Edit definition")
    text = person.find_field("Stages and actions, as YAML")
    definition = text.input_value()
    changed_definition = definition.replace("timeout: 7d}", "timeout: 7d, approvers: {roles: [approver], count: 1}}")
    assert changed_definition != definition
    text.fill(changed_definition)
    expect(person.page.locator("#check")).to_contain_text("Valid Pipeline.")
    person.press_button("Save as version 2")
    expect(person.page.get_by_role("button", name="Save as version 3")).to_be_visible()
