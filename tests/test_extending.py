"""docs/how-to/extending.md adds an ecosystem and a rule: here both files are taken from the page and used."""

import importlib
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.gate.samples import NOW, make_inventory, make_package
from tests.scanner.layers import DEBIAN, make_file, make_image, make_whiteouts, read_image

from dockgate.gate import rules
from dockgate.gate.model import Status, Violation
from dockgate.gate.rule import Rule, RuleInput
from dockgate.scanner import ecosystems
from dockgate.scanner.ports import Ecosystem
from dockgate.shared.errors import DefinitionError, UncomparableError, UnreadableError
from dockgate.vulnerabilities.model import Matches, UndeterminedFact

PAGE = (Path(__file__).parent.parent / "docs" / "how-to" / "extending.md").read_text("utf-8")
FOLDER = "usr/local/lib/luarocks/rocks-5.4/luasocket/3.1.0-1"
PATH = f"{FOLDER}/luasocket-3.1.0-1.rockspec"


@pytest.fixture
def luarocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ecosystem:
    monkeypatch.syspath_prepend(tmp_path)
    (ecosystem,) = ecosystems.load(_write_package(tmp_path, "scanner/ecosystems/luarocks.py"))
    return ecosystem


@pytest.fixture
def max_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rule:
    monkeypatch.syspath_prepend(tmp_path)
    (rule,) = rules.load(_write_package(tmp_path, "gate/rules/max_packages.py"))
    return rule


def _write_package(folder: Path, module: str) -> str:
    """Write a package with one module of the page. Return its name."""
    name = Path(module).stem
    (code,) = re.findall(rf"```python\n# src/dockgate/{re.escape(module)}\n(.*?)```", PAGE, re.DOTALL)
    package = folder / f"extended_by_{name}"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / f"{name}.py").write_text(code, "utf-8")
    importlib.invalidate_caches()
    return package.name


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


def test_the_rule_of_the_page_judges(max_packages: Rule) -> None:
    with pytest.raises(DefinitionError, match=r"^count: "):
        max_packages.parse_settings({})
    settings = max_packages.parse_settings({"count": 1})
    small_input = _make_input("a")
    assert list(max_packages.judge(small_input, settings)) == []
    (violation,) = max_packages.judge(_make_input("a", "b"), settings)
    assert isinstance(violation, Violation)
    assert violation.message == "The image has 2 packages, at most 1 allowed"
    (entry,) = max_packages.judge(replace(small_input, source="Trivy"), settings)
    assert isinstance(entry, UndeterminedFact)


def test_the_sums_of_the_rule_lead_to_its_answer(max_packages: Rule) -> None:
    settings = max_packages.parse_settings({"count": 1})
    for names in ("", "a", "ab"):
        total = sum(max_packages.count(_make_input(name), settings)[0] for name in names)
        is_rejected = any(isinstance(answer, Violation) for answer in max_packages.judge(_make_input(*names), settings))
        assert (max_packages.judge_counts((total,), _make_input(), settings) is Status.REJECTED) == is_rejected


def _make_input(*names: str) -> RuleInput:
    return RuleInput(make_inventory(*map(make_package, names)), Matches((), ()), (), NOW)
