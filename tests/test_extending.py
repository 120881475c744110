"""docs/extending.md adds an ecosystem by one file: here that file is taken from the page and used."""

import importlib
import io
import re
from pathlib import Path

import pytest
from tests.core.layers import DEBIAN, file, image, whiteout

from dockgate import ecosystems
from dockgate.core.errors import UncomparableError
from dockgate.core.inventory import read_image
from dockgate.core.ports import Ecosystem

PAGE = (Path(__file__).parent.parent / "docs" / "extending.md").read_text("utf-8")
DESCRIPTION = "Package: jsonlite\nVersion: 1.8-9\nTitle: JSON\n  for R\nBuilt: R 4.4.1; ; 2024-09-01; unix\n"
PATH = "usr/lib/R/library/jsonlite/DESCRIPTION"


@pytest.fixture
def cran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ecosystem:
    (code,) = re.findall(r"```python\n# src/dockgate/ecosystems/cran.py\n(.*?)```", PAGE, re.DOTALL)
    package = tmp_path / "extended"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cran.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    (found,) = ecosystems.load("extended")
    return found


def test_the_page_s_ecosystem_is_found_and_reads_a_package(cran: Ecosystem) -> None:
    found = read_image(image([file("etc/os-release", DEBIAN), file(PATH, DESCRIPTION)]), [cran])
    assert [package.purl for package in found.packages] == ["pkg:cran/jsonlite@1.8-9"]
    assert not cran.read(PATH, io.BytesIO(b"Package: a\nVersion: 1.0\n")).packages


def test_it_is_caught_when_its_evidence_is_removed(cran: Ecosystem) -> None:
    base = [file("etc/os-release", DEBIAN), file(PATH, DESCRIPTION), file("usr/lib/R/library/jsonlite/R/jsonlite")]
    found = read_image(image(base, whiteout(PATH)), [cran])
    assert f"{PATH} no longer tells of jsonlite 1.8-9" in "".join(entry.reason for entry in found.unread)


def test_the_page_s_version_order_holds(cran: Ecosystem) -> None:
    cases = re.findall(r"`(\S+) ([<=]) (\S+)`", PAGE)
    assert len(cases) >= 3
    for first, order, second in cases:
        left, right = cran.key(first), cran.key(second)
        assert (left < right) if order == "<" else (left == right)
    for version in re.findall(r"`(\S+) !`", PAGE):
        with pytest.raises(UncomparableError):
            cran.key(version)
