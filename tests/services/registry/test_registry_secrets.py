"""The secrets with which registries sign their notifications."""

from pathlib import Path

import pytest

from dockgate.services.registry.webhook_secrets import WebhookSecrets
from dockgate.shared.errors import UnavailableError


def test_a_changed_secret_stays_changed_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "hooks.json"
    first = WebhookSecrets("own", file).read_secret("harbor", "a.example")
    WebhookSecrets("own", file).change("harbor", "a.example")
    second = WebhookSecrets("own", file).read_secret("harbor", "a.example")
    WebhookSecrets("own", file).change("harbor", "a.example")
    third = WebhookSecrets("own", file).read_secret("harbor", "a.example")
    assert len({first, second, third}) == 3
    assert "own" not in file.read_text()


def test_each_registry_format_and_server_has_its_own(tmp_path: Path) -> None:
    hooks = WebhookSecrets("own", tmp_path / "hooks.json")
    hooks.change("harbor", "a.example")
    second = WebhookSecrets("another", tmp_path / "hooks.json")
    request = [("harbor", "a.example"), ("harbor", "b.example"), ("quay", "a.example")]
    assert len({first.read_secret(*hook_key) for first in (hooks, second) for hook_key in request}) == 6


@pytest.mark.parametrize("text", ["{", "[]", '{"harbor/a.example": "many"}'])
def test_a_damaged_file_lets_no_secret_hold(tmp_path: Path, text: str) -> None:
    file = tmp_path / "hooks.json"
    file.write_text(text)
    with pytest.raises(UnavailableError) as messages:
        WebhookSecrets("own", file).read_secret("harbor", "a.example")
    assert str(file) in str(messages.value)
    assert "registry-secret" in str(messages.value.advice)
