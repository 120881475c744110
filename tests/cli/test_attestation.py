"""`dockgate attestation`, and what `dockgate image report` hands in."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer
from tests.docker_registry import run_registry
from tests.gate.samples import judge, limit_findings, make_inventory, make_package
from tests.reports import samples
from tests.scanner.images.make import make_image

from dockgate.attestations.keys import Keys
from dockgate.attestations.statements import build_statement
from dockgate.delivery.registries.attestor import RegistryAttestor
from dockgate.gate.policy_reference import PolicyReference

KEYS = {
    "keys": [{"id": "k2", "pem": "PEM 2\n", "is_current": True}, {"id": "k1", "pem": "PEM 1\n", "is_current": False}]
}
VERDICT = "sha256:" + "5" * 64


def test_the_present_key_is_printed_alone_or_with_former_keys(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /attestation-keys"] = KEYS
    assert dockgate("attestation", "key").out == "PEM 2\n"
    assert dockgate("attestation", "key", "--all").out == "PEM 2\nPEM 1\n"


def test_a_new_key_is_printed(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["POST /attestation-keys"] = KEYS
    assert dockgate("attestation", "rotate").out == "PEM 2\n"


def test_attestations_of_an_image_are_listed(dockgate: Dockgate, server: FakeServer) -> None:
    record = {"verdict": VERDICT, "image": samples.MANIFEST, "repository": "components", "key": "k2", "attempts": 1}
    attested_record = {**record, "attested_at": "2026-11-24T10:00:00Z", "error": "", "next_at": ""}
    failed_record = {**record, "attested_at": "", "error": "no registry", "next_at": ""}
    server.answers[f"GET /images/{samples.MANIFEST}/attestations"] = [attested_record, failed_record]
    output = dockgate("attestation", "show", samples.MANIFEST).out
    assert VERDICT in output
    assert "failed: no registry" in output


def test_reports_are_uploaded_file_by_file(dockgate: Dockgate, server: FakeServer, tmp_path: Path) -> None:
    call = f"/images/{samples.MANIFEST}/findings"
    record = {"source": "trivy", "platform": "linux/amd64", "made_at": "2026-11-24T10:00:00Z", "digest": VERDICT}
    server.answers[f"POST {call}"] = [record]
    for name in ("one.json", "two.json"):
        (tmp_path / name).write_text(name)
    files = (str(tmp_path / "one.json"), str(tmp_path / "two.json"))
    output = dockgate("image", "report", samples.MANIFEST, *files, "--found-at", "2026-11-24T10:00:00Z").out
    assert "trivy" in output
    assert [request.body for request in server.requests] == [b"one.json", b"two.json"]
    assert server.requests[0].query == {"name": files[0], "found_at": "2026-11-24T10:00:00Z"}


@pytest.mark.real
def test_verify_accepts_signed_approvals_and_refuses_others(dockgate: Dockgate, tmp_path: Path) -> None:
    verdict = judge(make_inventory(make_package("a")), under=limit_findings(HIGH=0))
    public, other_key = tmp_path / "public.pem", tmp_path / "other.pem"
    other_key.write_text(Keys(tmp_path / "others").get_signer().public.pem)
    with run_registry(tmp_path / "registry") as running:
        digest = running.push("team/app", "1", make_image([{"etc/os-release": b"ID=debian\n"}]))
        attestor = RegistryAttestor(Keys(tmp_path / "keys"), running.address)
        public.write_text(attestor.list_keys()[0].pem)
        image_name = f"{running.address}/team/app:1"
        without_attestation = dockgate("attestation", "verify", image_name, "--key", str(public), "--policy", "strict")
        assert (
            without_attestation.code,
            without_attestation.out.startswith(digest),
            "the image has no attestation" in without_attestation.out,
        ) == (
            1,
            True,
            True,
        )
        absent = dockgate(
            "attestation", "verify", f"{running.address}/team/app:none", "--key", str(public), "--policy", "strict"
        )
        assert (absent.code, absent.out) == (2, "")
        attestor.attest(
            "team/app",
            digest,
            VERDICT,
            PolicyReference("p"),
            lambda name, digest: build_statement(replace(verdict, image=digest), VERDICT, name, digest, 36500),
        )
        borne = dockgate("attestation", "verify", image_name, "--key", str(public), "--policy", "strict")
        assert (borne.code, borne.out.startswith(digest), "approved by policy strict" in borne.out) == (0, True, True)
        weaker = dockgate("attestation", "verify", image_name, "--key", str(public), "--policy", "default")
        assert (weaker.code, "by the policy 'strict', not by 'default'" in weaker.out) == (1, True)
        assert dockgate("attestation", "verify", image_name, "--key", str(public)).code == 2
        with_wrong_key = dockgate("attestation", "verify", image_name, "--key", str(other_key), "--policy", "strict")
        assert (with_wrong_key.code, "refused: no trusted key" in with_wrong_key.out) == (1, True)
