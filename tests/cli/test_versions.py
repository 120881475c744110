"""`dockgate versions`: the order of versions, a pair a line."""

import io
import json
import sys

import pytest
from tests.cli.conftest import Dockgate, Ran

from dockgate.services.packages import list_ecosystem_names

PAIRS = "1.0~rc1 1.0\n1.0\t1.0\n1:0 2\n"


def set_standard_input(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.mark.parametrize("ecosystem", ["Debian", "debian", "dpkg", "Debian:12", "Ubuntu"])
def test_each_line_gets_one_line_of_output(dockgate: Dockgate, monkeypatch: pytest.MonkeyPatch, ecosystem: str) -> None:
    set_standard_input(monkeypatch, PAIRS)
    assert dockgate("versions", ecosystem) == Ran(0, "<\n=\n>\n", "")


@pytest.mark.parametrize(
    ("ecosystem", "answer"),
    [
        ("Docker Hardened Images:Debian:13", "<"),
        ("docker hardened images:debian", "<"),
        ("Docker Hardened Images:Alpine:3.24", "?"),
        ("TuxCare:Ubuntu:16.04", "<"),
        ("TuxCare:CentOS-Stream", "<"),
    ],
)
def test_rebuilt_packages_use_the_order_of_the_original_distribution(
    dockgate: Dockgate, monkeypatch: pytest.MonkeyPatch, ecosystem: str, answer: str
) -> None:
    set_standard_input(monkeypatch, "9.7-3 9.7-3+dhi1\n")
    assert dockgate("versions", ecosystem) == Ran(0, f"{answer}\n", "")


def test_vendors_of_several_distributions_have_no_own_order(dockgate: Dockgate) -> None:
    result = dockgate("versions", "TuxCare")
    assert (result.code, result.out) == (2, "")
    assert "TuxCare:AlmaLinux, TuxCare:CentOS" in result.err


def test_an_invalid_version_gives_a_question_mark_and_a_reason(
    dockgate: Dockgate, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_standard_input(monkeypatch, "1.0.0 1.0\n\t1.0.0\n1.0.0 1.0.0\n")
    result = dockgate("versions", "npm", "-o", "json")
    assert result.code == 0
    answers = [json.loads(line) for line in result.out.splitlines()]
    assert [answer["order"] for answer in answers] == ["?", "?", "="]
    assert "1.0" in answers[0]["reason"]
    assert answers[2] == {"first": "1.0.0", "second": "1.0.0", "order": "=", "reason": None}


@pytest.mark.parametrize("line", ["1.0", "", "1 2 3", "1\t2\t3"])
def test_a_line_without_two_versions_is_an_error(
    dockgate: Dockgate, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    set_standard_input(monkeypatch, f"1.0 1.1\n{line}\n1.0 1.1\n")
    result = dockgate("versions", "PyPI")
    assert (result.code, result.out) == (2, "<\n")
    assert "line 2 has" in result.err


def test_an_unknown_ecosystem_is_an_error_that_lists_the_known_ones(dockgate: Dockgate) -> None:
    result = dockgate("versions", "COBOL")
    assert (result.code, result.out) == (2, "")
    assert "crates.io" in result.err


def test_every_ecosystem_name_belongs_to_one_order() -> None:
    lowercase_names = [name.lower() for name in list_ecosystem_names()]
    assert lowercase_names == sorted(set(lowercase_names))
    assert {"Bitnami", "Debian", "Go", "dpkg", "rust"} <= set(list_ecosystem_names())
