"""A browser that notes what its pages complain of: messages in their consoles, errors of scripts, content policies."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    WebError,
    sync_playwright,
)
from tests.scenarios.accessibility import CHROMIUM

# Makes a page say which of its policies something breaks: each document, before its own scripts.
SAY_VIOLATIONS = """addEventListener("securitypolicyviolation", event => console.error(
    `content policy: ${event.effectiveDirective} forbids ${event.blockedURI} in ${event.sourceFile}`))"""


class OpenPage(Protocol):
    """Opens a page of the console as an administrator, in a window of its own.

    Unless `is_shared`, also with cookies, storage and caches of its own.
    """

    def __call__(
        self, path: str, *, is_shared: bool = True, scripts: bool = True, timezone: str | None = None
    ) -> Page: ...


class WatchedBrowser:
    """A browser whose contexts are all watched. `faults` are what pages complained of since the last look."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        # The addresses of pages, and what each complained of.
        self._faults: list[tuple[str, str]] = []
        self._expected_faults: list[str] = []

    def make_context(self, **options: Any) -> BrowserContext:
        """A context of the browser, watched."""
        context = self._browser.new_context(**options)
        context.add_init_script(SAY_VIOLATIONS)
        context.on("console", self._note_message)
        context.on("weberror", self._note_error)
        return context

    def expect(self, words: str) -> None:
        """Accept messages with these words until the next look: the browser reports each refused request."""
        self._expected_faults.append(words)

    def take_faults(self) -> list[str]:
        """What pages complained of since the last look, without what was expected."""
        faults = [f"{page}: {text}" for page, text in self._faults]
        unexpected_faults = [fault for fault in faults if not any(words in fault for words in self._expected_faults)]
        self._faults, self._expected_faults = [], []
        return unexpected_faults

    def close(self) -> None:
        self._browser.close()

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._faults.append((_describe_address(message.page), message.text))

    def _note_error(self, error: WebError) -> None:
        self._faults.append((_describe_address(error.page), str(error.error)))


@contextmanager
def run_watched_chromium() -> Iterator[WatchedBrowser]:
    """Chromium's headless shell, without graphics that no test looks at.

    It runs an event loop in this thread, in which dbos cannot begin: start a server before it.
    """
    with sync_playwright() as playwright:
        # Windows of a context have one process.
        arguments = ["--no-sandbox", "--in-process-gpu", "--disable-gpu", "--disable-software-rasterizer"]
        arguments.append("--process-per-site")
        browser = WatchedBrowser(playwright.chromium.launch(executable_path=CHROMIUM, args=arguments))
        yield browser
        browser.close()


def _describe_address(page: Page | None) -> str:
    return page.url if page else "a page that has closed"


@contextmanager
def check_no_faults(browser: WatchedBrowser) -> Iterator[None]:
    """Fail where a page complained of anything."""
    browser.take_faults()
    yield
    faults = browser.take_faults()
    assert not faults, "\n".join(faults[:20])
