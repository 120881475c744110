"""`dockgate up --detach`: what it prints after the start."""

from pathlib import Path

import pytest

from dockgate.cli.up import list_next_steps
from dockgate.config import FeedUpdateSettings, Settings

HERE = "http://127.0.0.1:7420"


def list_steps(settings: Settings, url: str = HERE, *, is_root: bool = True) -> str:
    return "\n".join(list_next_steps(settings, url, is_root=is_root))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path, tmp_path)


def test_a_server_elsewhere_names_the_setting_for_the_commands(settings: Settings) -> None:
    assert "DOCKGATE_SERVER" not in list_steps(settings)
    assert "export DOCKGATE_SERVER=https://gate.test" in list_steps(settings, "https://gate.test")


def test_a_server_without_root_says_that_it_builds_nothing(settings: Settings) -> None:
    assert "Builds need root" not in list_steps(settings)
    assert "Builds need root" in list_steps(settings, is_root=False)
    assert "Builds need root" not in list_steps(settings._replace(can_build_unsafely=True), is_root=False)


def test_the_download_of_advisories_is_a_step_only_if_the_server_does_not_fetch_them(settings: Settings) -> None:
    assert "dockgate db update" not in list_steps(settings)
    assert "downloads the advisories now" in list_steps(settings)
    assert "dockgate db update" in list_steps(settings._replace(updates=FeedUpdateSettings("off")))
    settings.advisories.touch()
    assert "advisories" not in list_steps(settings)
