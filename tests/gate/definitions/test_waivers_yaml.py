"""Waivers in a file, and errors with their line."""

import re
from pathlib import Path

import pytest

from dockgate.gate.definitions.waivers import read_waivers
from dockgate.gate.model import Waiver
from dockgate.shared.errors import DefinitionError

FINE = """
- vulnerability: CVE-2024-1
  package: pkg:npm/lodash@4.*
  until: 2026-12-31
  owner: ana
  reason: It is never called.
- id: mine
  image: sha256:1111111111111111111111111111111111111111111111111111111111111111
  rule: image_age
  until: 2026-12-31T12:00:00Z
  owner: ana
  reason: Seen by hand.
"""


def test_a_waiver_without_id_gets_its_line_as_id() -> None:
    first, second = read_waivers(FINE, "w.yaml")
    assert first == Waiver(
        "w.yaml:2", "ana", "It is never called.", "CVE-2024-1", "pkg:npm/lodash@4.*", until="2026-12-31"
    )
    assert (second.id, second.rule) == ("mine", "image_age")
    assert read_waivers("", "w.yaml") == ()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("vulnerability: CVE-2024-1\n", "w.yaml:1: this must be a list"),
        ("- CVE-2024-1\n", "w.yaml:1: 0: a waiver must be a mapping"),
        ("- vulnerability: CVE-1\n  util: 2026-01-01\n", "w.yaml:2: 0.util: unknown key 'util'"),
        ("- vulnerability: 7\n", "w.yaml:1: 0.vulnerability: this must be a text"),
        ("- vulnerability: CVE-1\n  until_fixed: soon\n", "w.yaml:2: 0.until_fixed: this must be true or false"),
        ("- vulnerability: CVE-1\n  owner: a\n  reason: b\n", "w.yaml:1: 0.until: it is missing"),
        ("- vulnerability: CVE-1\n  owner: a\n  reason: b\n  until: soon\n", "w.yaml:4: 0.until: 'soon' is not a time"),
        (FINE.replace("- vulnerability", "- id: mine\n  vulnerability"), "w.yaml:8: 1.id: the id 'mine' is used twice"),
    ],
)
def test_an_invalid_waiver_is_refused_with_its_line(text: str, error: str) -> None:
    with pytest.raises(DefinitionError) as error_info:
        read_waivers(text, "w.yaml")
    assert str(error_info.value).startswith(error)


def test_the_example_in_the_documentation_is_valid() -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "waivers.md").read_text()
    (example,) = re.findall(r"(?ms)^```yaml waivers\n(.*?)^```$", page)
    assert len(read_waivers(example, "waivers.md")) == 2
