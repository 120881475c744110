"""One server for the tests of this folder, each of which passes whatever ran before it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenarios.console_site import Site
from tests.scenarios.server import ServerSystem

from dockgate.web.recent_calls import FailedAuthentications


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ServerSystem(Path(tmp_path_factory.mktemp("console"))) as server:
        yield Site(server)


@pytest.fixture(autouse=True)
def _no_failed_sign_ins(site: Site) -> None:
    site.server.app.state.failed_authentications = FailedAuthentications()
