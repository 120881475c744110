"""Every page of the console in a real browser: in windows of all widths, light and dark, and each of its controls."""

from pathlib import Path

import pytest
from tests.scenarios.console_site import Site
from tests.scenarios.console_walk import list_console_faults
from tests.scenarios.server import ServerSystem
from tests.scenarios.watched_browser import check_no_faults, run_watched_chromium

from dockgate.identity.model import Role

pytestmark = pytest.mark.real


def test_every_page_is_accessible_and_fits_its_screen(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        site = Site(server)
        with run_watched_chromium() as chromium, check_no_faults(chromium):
            page = chromium.make_context(base_url=server.console_url).new_page()
            page.goto("/signin")
            page.get_by_label("Token").fill(site.tokens[Role.ADMIN])
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(f"{server.console_url}/")
            faults = list_console_faults(page, is_thorough=True)
            page.context.close()
    assert not faults, "\n".join(faults[:20])
