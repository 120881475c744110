"""`dockgate waiver`, `dockgate vex`, and both at a terminal without a server."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cli import answers, layouts
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer
from tests.cli.layouts import write_image
from tests.cli.test_scan import Run, run

from dockgate.gate.model import Waiver
from dockgate.shared.canonical import to_plain

__all__ = ["run"]

MADE = Waiver(
    "w-1", "ana", "Never called.", "CVE-2024-1", "pkg:npm/a", until=answers.get_past(-86400 * 5),
    created_at=answers.get_past(5),
    created_by="bob",
)  # fmt: skip
# One finding of it breaks the default policy.
OLD = layouts.make_debian_files(openssl="3.5.0-1")
DOCUMENT = "sha256:" + "d" * 64


def view(state: str = "Active", **changes: Any) -> Any:
    return {
        "waiver": to_plain(MADE),
        "state": state,
        "revoked_at": None,
        "revoked_by": None,
        "announced_at": None,
        **changes,
    }


def make_document(**changes: Any) -> Any:
    return {
        "document": DOCUMENT, "image": None, "format": "openvex", "author": "Vendor", "signer": "principal:ana",
        "is_signed": False, "added_at": answers.get_past(5), "removed_at": "", "removed_by": "", **changes,
    }  # fmt: skip


def test_a_waiver_is_added_with_its_end(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["POST /waivers"] = view()
    result = dockgate("waiver", "add", "--vulnerability", "CVE-2024-1", "--until", "2026-12-31", "--owner", "ana",
                   "--reason", "Never called.", "--key", "k")  # fmt: skip
    assert result.code == 0
    assert "w-1: CVE-2024-1 pkg:npm/a, until 20" in result.out
    request = server.requests[-1]
    assert request.parse_body()["until_fixed"] is False
    assert {name.lower(): value for name, value in request.headers.items()}["idempotency-key"] == "k"
    assert dockgate("waiver", "add", "--vulnerability", "CVE-2024-1", "--until", "2026-12-31").code == 2


def test_a_waiver_of_a_rule_shows_which_violation_it_accepts(dockgate: Dockgate, server: FakeServer) -> None:
    violation = "pkg:deb/debian/telnet is forbidden: telnet 0.17"
    server.answers["GET /waivers"] = [
        {**view(), "waiver": to_plain(Waiver("w-2", "ana", "r", rule="x", violation=violation))}
    ]
    assert f"x ({violation})" in dockgate("waiver", "list").out
    server.answers["GET /waivers/w-2"] = server.answers["GET /waivers"][0]
    assert f" {violation}\n" in dockgate("waiver", "show", "w-2").out


@pytest.mark.parametrize(
    ("until", "shown_end"),
    [
        ("2099-12-31T00:00:00.000Z", "until 2099-12-31  "),
        ("2099-12-31T15:05:00.000Z", "until 2099-12-31 15:05 UTC  "),
        ("2099-12-31T17:05:00+02:00", "until 2099-12-31 15:05 UTC  "),
    ],
)
def test_a_waiver_that_ends_within_a_day_is_listed_with_the_time(
    dockgate: Dockgate, server: FakeServer, until: str, shown_end: str
) -> None:
    server.answers["GET /waivers"] = [{**view(), "waiver": to_plain(replace(MADE, until=until))}]
    assert shown_end in dockgate("waiver", "list").out


def test_waivers_are_listed_shown_and_revoked(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /waivers"] = [view(), view("Revoked")]
    result = dockgate("waiver", "list", "--state", "revoked", "--owner", "zoe", "--sort", "-end")
    assert "Active" in result.out
    assert server.requests[-1].query == {"limit": "1000", "sort": "-end", "state": "Revoked", "owner": "zoe"}
    server.answers["GET /waivers/w-1"] = view()
    output = dockgate("waiver", "show", "w-1").out
    for text in ("Never called.", "by bob", "in 5 days"):
        assert text in output
    server.answers["POST /waivers/w-1/revoke"] = view("Revoked", revoked_at=answers.get_past(1), revoked_by="eve")
    assert "by eve" in dockgate("waiver", "revoke", "w-1").out


def test_vex_documents_are_added_listed_and_removed(dockgate: Dockgate, server: FakeServer, tmp_path: Path) -> None:
    file = tmp_path / "vex.json"
    file.write_text("{}")
    server.answers["POST /vex"] = make_document()
    assert "Vendor" in dockgate("vex", "add", str(file)).out
    assert (server.requests[-1].body, server.requests[-1].query["name"]) == (b"{}", str(file))
    server.answers["GET /vex"] = [make_document(), make_document(image=DOCUMENT, signer="", is_signed=True)]
    output = dockgate("vex", "list").out
    assert "its signature, on sha256:dddddddddddd…" in output
    server.answers[f"POST /vex/{DOCUMENT}/remove"] = make_document(removed_at=answers.get_past(1), removed_by="eve")
    assert "removed by eve" in dockgate("vex", "remove", DOCUMENT).out
    server.answers[f"POST /images/{DOCUMENT}/vex"] = []
    assert "No VEX documents." in dockgate("vex", "refresh", DOCUMENT, "app").out
    error = {"error": "cannot read the attached documents: no answer", "advice": "Does the registry run?"}
    server.answers[f"POST /images/{DOCUMENT}/vex"] = (502, error)
    result = dockgate("vex", "refresh", DOCUMENT, "app")
    assert result.code == 2
    assert "no answer" in result.err
    assert "Does the registry run?" in result.err


def reject(run: Run, reference: str) -> str:
    """The finding for which it is."""
    result = run("gate", reference, "-o", "json")
    assert result.code == 1
    (platform,) = json.loads(result.out)["platforms"]
    (vulnerability,) = {finding["id"] for violation in platform["violations"] for finding in violation["findings"]}
    return str(vulnerability)


def test_the_gate_applies_waivers_from_a_file(run: Run, tmp_path: Path) -> None:
    reference = write_image(tmp_path / "image", OLD)
    vulnerability = reject(run, reference)
    file = tmp_path / "waivers.yaml"
    file.write_text(f"- vulnerability: {vulnerability}\n  until: 2999-01-01\n  owner: ana\n  reason: Never called.\n")
    result = run("gate", reference, "--waivers", str(file))
    assert result.code == 0
    assert "Never called (waiver" in result.out
    file.write_text(f"- vulnerability: {vulnerability}\n  owner: ana\n")
    refused_run = run("gate", reference, "--waivers", str(file))
    assert refused_run.code == 2
    assert f"{file}:1: 0.reason: it is missing" in refused_run.err


def test_the_gate_applies_vex_of_a_trusted_author(run: Run, tmp_path: Path) -> None:
    reference = write_image(tmp_path / "image", OLD)
    vulnerability = reject(run, reference)
    document = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "author": "Vendor",
        "timestamp": "2026-11-01T00:00:00Z",
        "statements": [
            {"vulnerability": {"name": vulnerability}, "status": "not_affected", "impact_statement": "Not built in."}
        ],
    }
    vex = tmp_path / "vex.json"
    vex.write_text(json.dumps(document))
    policy = tmp_path / "trusting.yaml"
    policy.write_text("max_findings: {CRITICAL: 0, HIGH: 0}\nvex: {authors: [{name: Vendor}]}\n")
    result = run("gate", reference, "--policy", str(policy), "--vex", str(vex))
    assert result.code == 0
    assert "VEX statement of Vendor: not_affected. Not built in (document" in result.out
    assert run("gate", reference, "--vex", str(vex)).code == 1
    vex.write_text("{}")
    assert "is not a VEX document" in run("gate", reference, "--vex", str(vex)).err
