"""The commands that bring packages to fixed versions: tests/cases/upgrades, and names from hostile images."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.examples import scale_examples
from tests.shell import check_words

from dockgate.gate.model import Upgrade
from dockgate.gate.remediation.result import build_commands
from dockgate.scanner import ecosystems
from dockgate.scanner.model import Inventory, Package
from dockgate.scanner.ports import Ecosystem, PackageUpgrade

CASES = yaml.safe_load(
    (Path(__file__).parent.parent.parent / "cases" / "upgrades" / "commands.yaml").read_text("utf-8")
)
KINDS = ecosystems.load()
LINE = re.compile(
    r"(?P<ecosystem>.+?) (?P<name>\S+) (?P<version>\S+)(?: of (?P<source>\S+))? -> (?P<fixed>\S+)(?: at (?P<path>.+))?"
)
SPACED = (
    *("Rocky Linux:9", "Amazon Linux:2023", "Amazon Linux:2", "Red Hat:", "openSUSE:Leap 15.6", "Azure Linux:3"),
    *("Docker Hardened Images:Debian:13", "GitHub Actions"),
)


def parse_upgrade(text: str) -> tuple[Package, str]:
    spaced_ecosystem = next((name for name in SPACED if text.startswith(name)), "")
    ecosystem = spaced_ecosystem + text.removeprefix(spaced_ecosystem).partition(" ")[0]
    match = LINE.fullmatch("X" + text.removeprefix(ecosystem))
    assert match, text
    name, version = match["name"], match["version"]
    source = match["source"] or version
    package = Package(name, version, f"pkg:x/{name}@{version}", ecosystem, name, source, match["path"] or "some/file")
    return package, match["fixed"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["raise"][0])
def test_the_commands_of_each_manager(case: dict[str, Any]) -> None:
    chosen_upgrades = [parse_upgrade(text) for text in case["raise"]]
    upgrades = {
        package.purl: Upgrade(package.purl, package.name, package.version, version, ())
        for package, version in chosen_upgrades
    }
    inventory = Inventory(None, None, None, (), tuple(package for package, _ in chosen_upgrades), ())
    assert list(build_commands(tuple(upgrades.values()), inventory, KINDS)) == case["commands"]


def test_every_ecosystem_has_a_case() -> None:
    bases = {parse_upgrade(text)[0].ecosystem.partition(":")[0] for case in CASES for text in case["raise"]}
    assert [kind.name for kind in KINDS if kind.osv_names and not bases & set(kind.osv_names)] == []


HOSTILE = (
    "$(reboot)",
    "`reboot`",
    "a;reboot",
    "a b",
    "-rf",
    "--config=x",
    "a\nreboot",
    "é",
    "",
    "a'b",
    "../x",
    "a" * 999,
)
strange = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@given(name=strange, version=strange, path=strange)
@example(name="y", version="1.1", path="a'b")
@settings(max_examples=scale_examples(60), deadline=None)
def test_commands_are_one_line_of_words_for_any_image(kind: Ecosystem, name: str, version: str, path: str) -> None:
    ecosystem = kind.osv_names[0] if kind.osv_names else ""
    for package_name, at in product(
        (name, "y"), (f"{path}/node_modules/y/package.json", f"{path}/lib/python3/site-packages/y")
    ):
        hostile = Package(package_name, "1.0", "pkg:x/y@1", ecosystem, package_name, "1.0", at)
        for line in kind.build_upgrade_commands([PackageUpgrade(hostile, version)]):
            check_words(line)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.osv_names], ids=lambda kind: kind.name)
def test_illegal_names_are_left_out_and_counted(kind: Ecosystem) -> None:
    for name in HOSTILE:
        illegal = Package(name, "1.0", "pkg:x/y@1", kind.osv_names[0], name, "1.0", "some/file")
        lines = kind.build_upgrade_commands([PackageUpgrade(illegal, "1.1")])
        assert (name, *lines) == (name, "# 1 package left out: the image gives no legal name, version or path.")
