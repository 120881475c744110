"""One server and one browser for the tests of this folder, and pages of an administrator."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Page, StorageState, expect
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


@pytest.fixture
def open_page(chromium: WatchedBrowser, site: Site, session: StorageState) -> Iterator[OpenPage]:
    """Opens a page as that administrator, in a window of its own."""
    with ExitStack() as contexts:

        def open_page(path: str, *, scripts: bool = True, timezone: str | None = None) -> Page:
            context = contexts.enter_context(
                chromium.make_context(
                    base_url=site.server.console_url,
                    storage_state=session,
                    viewport={"width": 1440, "height": 900},
                    java_script_enabled=scripts,
                    timezone_id=timezone,
                )
            )
            page = context.new_page()
            page.goto(path)
            return page

        yield open_page
