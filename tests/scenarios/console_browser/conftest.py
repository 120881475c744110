"""One server and one browser for the tests of this folder, and pages of an administrator."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, StorageState, expect
from tests.scenarios.console_site import Site
from tests.scenarios.provider_site import ProviderSite
from tests.scenarios.watched_browser import (
    OpenPage,
    WatchedBrowser,
    check_no_faults,
    run_watched_chromium,
)

from dockgate.identity.model import Role


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ProviderSite(Path(tmp_path_factory.mktemp("console"))).server as server:
        yield Site(server)


@pytest.fixture(scope="package")
def chromium(site: Site) -> Iterator[WatchedBrowser]:
    with run_watched_chromium() as browser:
        yield browser


@pytest.fixture(autouse=True)
def _no_faults(chromium: WatchedBrowser) -> Iterator[None]:
    """No test of this folder makes a page complain: of its content policy, or of anything else."""
    with check_no_faults(chromium):
        yield


@pytest.fixture(scope="package")
def session(chromium: WatchedBrowser, site: Site) -> StorageState:
    """The cookies of an administrator who has signed in."""
    context = chromium.make_context(base_url=site.server.console_url)
    page = context.new_page()
    page.goto("/signin")
    page.get_by_label("Token").fill(site.tokens[Role.ADMIN])
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{site.server.console_url}/")
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture(scope="package")
def shared_context(chromium: WatchedBrowser, site: Site, session: StorageState) -> Iterator[BrowserContext]:
    """The windows of that administrator: what one of them has loaded, the next one has."""
    context = _make_context(chromium, site, session)
    yield context
    context.close()


def _make_context(chromium: WatchedBrowser, site: Site, session: StorageState, **options: Any) -> BrowserContext:
    viewport = {"width": 1440, "height": 900}
    return chromium.make_context(base_url=site.server.console_url, storage_state=session, viewport=viewport, **options)


@pytest.fixture
def open_page(
    chromium: WatchedBrowser, site: Site, session: StorageState, shared_context: BrowserContext
) -> Iterator[OpenPage]:
    """Opens a page as that administrator, in a window of its own."""
    with ExitStack() as cleanup:

        def open_page(path: str, *, is_shared: bool = True, scripts: bool = True, timezone: str | None = None) -> Page:
            context = shared_context
            if not is_shared or not scripts or timezone:
                options = {"java_script_enabled": scripts, "timezone_id": timezone}
                context = cleanup.enter_context(_make_context(chromium, site, session, **options))
            page = context.new_page()
            cleanup.callback(page.close)
            page.goto(path)
            return page

        yield open_page
