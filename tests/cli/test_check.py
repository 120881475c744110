"""`dockgate check`: look up vulnerabilities for package URLs."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli import layouts
from tests.cli.conftest import Dockgate

OPENSSL = "pkg:deb/debian/openssl@3.5.1-1?distro=debian-13"
JINJA = "pkg:pypi/jinja2@2.10"


@pytest.fixture(autouse=True)
def _database(dockgate: Dockgate, tmp_path: Path) -> None:
    assert dockgate("db", "build", "--from", str(layouts.write_feeds(tmp_path / "feeds"))).code == 0


def set_standard_input(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_findings_are_listed_with_their_fixes(dockgate: Dockgate) -> None:
    result = dockgate("check", OPENSSL, "pkg:deb/debian/zlib@1.3?distro=debian-13")
    assert (result.code, result.err) == (0, "")
    assert [line.split() for line in result.out.splitlines()] == [
        [OPENSSL],
        ["CRITICAL", "CVE-2025-0001", "fixed", "in", "3.5.4-1"],
        ["pkg:deb/debian/zlib@1.3?distro=debian-13"],
        ["LOW", "CVE-2025-0002", "unfixed"],
    ]


def test_a_package_without_findings_is_reported(dockgate: Dockgate) -> None:
    result = dockgate("check", "pkg:pypi/jinja2@3.1")
    assert (result.code, result.out) == (0, "pkg:pypi/jinja2@3.1\n  no findings\n")


@pytest.mark.parametrize(
    ("purl", "explanation"),
    [
        ("pkg:pypi/jinja3@3.1", "no advisory names jinja3 in PyPI"),
        (
            "pkg:deb/debian/libssl3@3.5.1-1?distro=debian-13",
            "no advisory names libssl3 in Debian:13; if the source package has another name, add &upstream=NAME",
        ),
        ("pkg:deb/debian/a@1?distro=debian-13&upstream=b", "no advisory names b in Debian:13"),
    ],
)
def test_a_name_without_advisories_is_reported(dockgate: Dockgate, purl: str, explanation: str) -> None:
    assert dockgate("check", purl).out == f"{purl}\n  no findings: {explanation}\n"


@pytest.mark.parametrize(
    ("purl", "reason"),
    [
        ("pkg:deb/debian/openssl@3.5.1-1?distro=debian-12", "no feed for Debian:12"),
        ("pkg:npm/lodash@4.17.20", "no feed for npm"),
        ("pkg:pypi/jinja2@what", "jinja2 what cannot be compared with PYSEC-2019-217"),
        ("pkg:luarocks/luasec@1.3.1-1", "Dockgate reads no packages of the type luarocks."),
    ],
)
def test_an_undetermined_package_exits_3_with_its_reason(dockgate: Dockgate, purl: str, reason: str) -> None:
    result = dockgate("check", purl)
    assert result.code == 3
    assert reason in result.out
    assert "no findings" not in result.out


@pytest.mark.parametrize("purl", ["pkg:deb/debian/openssl@3.5.1-1", "pkg:apk/alpine/openssl@3.1-r0", "pkg:rpm/a@1-1"])
def test_a_distribution_package_without_release_needs_one(dockgate: Dockgate, purl: str) -> None:
    result = dockgate("check", purl)
    assert result.code == 3
    assert "Say of which release it is, as in ?distro=debian-12." in result.out
    assert "Say of which release" not in dockgate("check", "pkg:npm/lodash@1.0.0").out


@pytest.mark.parametrize("purl", ["hello", "pkg:pypi/jinja2", "pkg:maven/log4j@1"])
def test_a_malformed_package_url_exits_2(dockgate: Dockgate, purl: str) -> None:
    result = dockgate("check", JINJA, purl, "pkg:npm/lodash@1.0.0")
    assert result.code == 2
    assert "CVE-2019" in result.out or "PYSEC-2019-217" in result.out
    assert any(line.startswith("  ! ") for line in result.out.splitlines())


def test_standard_input_is_answered_in_order(dockgate: Dockgate, monkeypatch: pytest.MonkeyPatch) -> None:
    purls = [JINJA, "pkg:npm/lodash@1.0.0", OPENSSL, "hello", JINJA] * 1000
    set_standard_input(monkeypatch, "\n\n".join(purls))
    result = dockgate("check", "-o", "json")
    assert result.code == 2
    answers = [json.loads(line) for line in result.out.splitlines()]
    assert [answer["purl"] for answer in answers] == purls
    assert answers[0] == answers[-1]
    assert answers[0]["source"] == {"name": "jinja2", "version": "2.10"}
    assert [answer["known"] for answer in answers[:4]] == [1, 0, 1, None]
    assert answers[2]["findings"][0] == {
        "id": "CVE-2025-0001",
        "aliases": ["DEBIAN-CVE-2025-0001"],
        "severity": "CRITICAL",
        "score": 9.8,
        "rated_by": "advisory",
        "fixed": "3.5.4-1",
        "state": "fixed",
        "known_exploited_since": None,
        "epss": None,
        "is_disputed": False,
        "is_malicious": False,
        "summary": "Something is wrong with openssl",
    }
    assert answers[1]["undetermined"]
    assert answers[3]["error"]


def test_each_line_is_answered_before_the_next_is_read(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dockgate", "check", "-o", "json"]
    environ = {**os.environ, "DOCKGATE_DATA": str(tmp_path / "data")}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for purls, incomplete_line in ((JINJA, ""), (OPENSSL, "pkg:pypi/"), ("idna@3.6", "")):
            process.stdin.write(f"{purls}\n{incomplete_line}".encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["purl"].endswith(purls)
        last, _ = process.communicate(b"pkg:npm/lodash@1.0.0")
        assert json.loads(last)["purl"] == "pkg:npm/lodash@1.0.0"
        assert process.returncode == 3


def test_empty_input_gives_empty_output(dockgate: Dockgate, monkeypatch: pytest.MonkeyPatch) -> None:
    set_standard_input(monkeypatch, "\n")
    assert dockgate("check") == dockgate("check", "-o", "json")
    assert dockgate("check").out == ""


def test_without_a_database_the_error_names_the_commands_that_create_one(dockgate: Dockgate, tmp_path: Path) -> None:
    result = dockgate("check", JINJA, "--database", str(tmp_path / "none.db"))
    assert (result.code, result.out) == (2, "")
    assert "dockgate db update" in result.err
