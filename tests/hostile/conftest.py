from pathlib import Path

import pytest
from tests.cli import layouts
from tests.hostile.images import Check
from tests.hostile.running import Dockgate


@pytest.fixture(scope="session")
def advisories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small advisory database."""
    folder = tmp_path_factory.mktemp("advisories")
    result = Dockgate(folder, folder)("db", "build", "--from", str(layouts.write_feeds(folder / "feeds")))
    assert result.code == 0, result.err
    return folder


@pytest.fixture
def dockgate(advisories: Path, tmp_path: Path) -> Dockgate:
    return Dockgate(advisories, tmp_path / "cache")


@pytest.fixture
def check(dockgate: Dockgate, tmp_path: Path) -> Check:
    return Check(dockgate, tmp_path / "image")
