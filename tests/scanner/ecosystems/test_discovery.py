"""Ecosystems are found by walking their package; a broken one stops everything."""

import importlib
from pathlib import Path

import pytest

from dockgate.scanner import ecosystems
from dockgate.scanner.ecosystems import load
from dockgate.shared.errors import DockgateError

FOLDER = Path(ecosystems.__file__).parent


def test_every_module_is_an_ecosystem() -> None:
    modules = sorted(path.stem for path in FOLDER.glob("[a-z]*") if path.is_dir() or path.suffix == ".py")
    assert [kind.name for kind in load()] == modules
    assert {"apk", "dpkg", "go", "java", "npm", "python", "rpm"} <= set(modules)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("raise RuntimeError('broken')", "does not import: RuntimeError('broken')"),
        ("def", "does not import: SyntaxError"),
        ("import nothing_of_that_name", "does not import: ModuleNotFoundError"),
        ("", "declares no object ECOSYSTEM"),
    ],
)
def test_a_broken_module_stops_start_up(
    content: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = f"kinds_{abs(hash(content))}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / package / "_shared.py").write_text("raise RuntimeError")
    (tmp_path / package / "rpm.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(DockgateError) as error_info:
        load(package)
    assert f"{package}.rpm" in str(error_info.value)
    assert reason in str(error_info.value)
    assert error_info.value.advice
