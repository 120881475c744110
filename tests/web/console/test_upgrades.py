"""An upgrade of a verdict, with the findings that it clears."""

import re

import pytest

from dockgate.gate.model import Upgrade
from dockgate.web.console.rendering import make_environment

IDS = tuple(f"CVE-2024-{number:04}" for number in range(122))


def render(clears: tuple[str, ...]) -> str:
    upgrade = Upgrade("pkg:deb/debian/linux", "linux", "6.1.1", "6.1.2", clears)
    page = str(make_environment().get_template("_macros.html").make_module().upgrade(upgrade))  # type: ignore[attr-defined]
    return re.sub(r"</?(wbr|a|bdi)[^>]*>", "", page)


@pytest.mark.parametrize("count", [1, 10])
def test_few_names_are_all_shown(count: int) -> None:
    page = render(IDS[:count])
    assert f"clears {', '.join(IDS[:count])}</span></li>" in page
    assert "<details>" not in page


def test_many_names_are_behind_their_number() -> None:
    first_names, _, details = render(IDS).partition("<details>")
    assert f"clears 122 findings: {', '.join(IDS[:10])}</span>" in first_names
    assert f'<summary>112 more findings</summary><p class="muted">{", ".join(IDS[10:])}</p>' in details
