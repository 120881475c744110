"""Versions of the scanner: their order, and that every plugin counts."""

import re
from copy import copy

import pytest

from dockgate.scanner import ecosystems
from dockgate.scanner.layer_reader import compute_scanner_version, is_older_scanner


@pytest.mark.parametrize(
    ("version", "than", "expected"),
    [
        ("13.58-aaaaaaaa", "13.59-bbbbbbbb", True),
        ("13.58-aaaaaaaa", "14.2-bbbbbbbb", True),
        ("13.9-aaaaaaaa", "13.10-bbbbbbbb", True),
        ("13-aaaaaaaa", "13.1-bbbbbbbb", True),
        (None, "13.1-bbbbbbbb", True),
        ("13.58-aaaaaaaa", "13.58-bbbbbbbb", False),
        ("14.2-aaaaaaaa", "13.59-bbbbbbbb", False),
        ("later", "13.1-bbbbbbbb", False),
        ("", "13.1-bbbbbbbb", False),
        ("1" * 5000 + "-aaaaaaaa", "13.1-bbbbbbbb", False),
    ],
)
def test_versions_have_an_order(version: str | None, than: str, expected: bool) -> None:
    assert is_older_scanner(version, than) is expected


def test_a_newer_plugin_makes_a_newer_scanner() -> None:
    kinds = list(ecosystems.load())
    current_version = compute_scanner_version(kinds)
    assert re.fullmatch(r"[0-9]+\.[0-9]+-[0-9a-f]{8}", current_version)
    plugin = copy(kinds[0])
    plugin.version += 1
    newer = compute_scanner_version([plugin, *kinds[1:]])
    assert is_older_scanner(current_version, newer)
    assert not is_older_scanner(newer, current_version)
