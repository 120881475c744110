"""docs/how-to/extending.md adds an ecosystem by one file: here that file is taken from the page and used."""

import importlib
import io
import re
from pathlib import Path

import pytest
from tests.scanner.layers import DEBIAN, make_file, make_image, make_whiteouts, read_image

from dockgate.scanner import ecosystems
from dockgate.scanner.ports import Ecosystem
from dockgate.shared.errors import UncomparableError, UnreadableError

PAGE = (Path(__file__).parent.parent / "docs" / "how-to" / "extending.md").read_text("utf-8")
FOLDER = "usr/local/lib/luarocks/rocks-5.4/luasocket/3.1.0-1"
PATH = f"{FOLDER}/luasocket-3.1.0-1.rockspec"


@pytest.fixture
def luarocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ecosystem:
    (code,) = re.findall(r"```python\n# src/dockgate/scanner/ecosystems/luarocks.py\n(.*?)```", PAGE, re.DOTALL)
    package = tmp_path / "extended"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "luarocks.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    (ecosystem,) = ecosystems.load("extended")
    return ecosystem


def test_the_ecosystem_of_the_page_is_found_and_reads_a_package(luarocks: Ecosystem) -> None:
    inventory = read_image(make_image([make_file("etc/os-release", DEBIAN), make_file(PATH)]), [luarocks])
    assert [package.purl for package in inventory.packages] == ["pkg:luarocks/luasocket@3.1.0-1"]
    with pytest.raises(UnreadableError):
        luarocks.read(f"{FOLDER}/lua-1-1.rockspec", io.BytesIO())


def test_removed_evidence_of_a_new_ecosystem_is_noticed(luarocks: Ecosystem) -> None:
    base = [make_file("etc/os-release", DEBIAN), make_file(PATH), make_file(f"{FOLDER}/rock_manifest")]
    inventory = read_image(make_image(base, make_whiteouts(PATH)), [luarocks])
    assert f"{PATH} no longer lists luasocket 3.1.0-1" in "".join(entry.reason for entry in inventory.unread)


def test_the_version_order_of_the_page_holds(luarocks: Ecosystem) -> None:
    cases = re.findall(r"`(\S+) ([<=]) (\S+)`", PAGE)
    assert len(cases) >= 4
    for first, order, second in cases:
        first, right = luarocks.make_version_key(first), luarocks.make_version_key(second)
        assert (first < right) if order == "<" else (first == right)
    for version in re.findall(r"`(\S+) !`", PAGE):
        with pytest.raises(UncomparableError):
            luarocks.make_version_key(version)
