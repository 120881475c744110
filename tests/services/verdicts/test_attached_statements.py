"""Provenance statements with real keys: beside images in a layout and in a real registry, and every attack on them."""

import json
import os
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from tests.cli import layouts
from tests.cli.conftest import dockgate
from tests.cli.test_scan import Run, run
from tests.docker_registry import Running, run_registry
from tests.fuzz.mutate import make_blind_mutation, mutate_json
from tests.gate.samples import RULES, judge, limit_findings, make_inventory, make_package
from tests.gate.test_provenance import RECORD
from tests.scanner.images import make

from dockgate.attestations import dsse, statements
from dockgate.gate.definitions import policy as definitions
from dockgate.gate.model import Policy
from dockgate.gate.policy import compute_fingerprint, list_provenance_keys
from dockgate.gate.provenance import BUILDER, PREDICATE_TYPE, ProvenanceFacts, collect, write_statement
from dockgate.gate.rule import RuleInput
from dockgate.scanner.images.attached_documents import read_beside
from dockgate.scanner.images.cosign_attestations import ENVELOPE, RegistryRepository, add_attestation
from dockgate.services.verdicts.attached_statements import (
    find_vex_signer,
    look_up,
    read_attached_vex,
    select_envelopes,
    verify,
)
from dockgate.shared import canonical
from dockgate.shared.errors import DeniedError, UnreadableError, UsageError
from dockgate.vulnerabilities.model import Matches

__all__ = ["dockgate", "run"]

OURS, THEIRS = dsse.Signer(dsse.create_key()), dsse.Signer(dsse.create_key())
IMAGE = make.make_image([{"etc/os-release": b"ID=debian\n"}])
SECOND_IMAGE = make.make_image([{"etc/os-release": b"ID=alpine\n"}], platform="linux/arm64")
NAME = "registry.example/shop"
GOOD = dsse.sign_payload(write_statement(RECORD, NAME, IMAGE.digest), OURS)
VERDICT = judge(make_inventory(make_package("a")), under=limit_findings(HIGH=0))
CONFIG = canonical.encode({"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}})


def make_policy(builder: str = BUILDER, signer: dsse.Signer = OURS) -> Policy:
    rule = {"builders": [{"id": builder, "keys": [signer.public.pem]}]}
    return definitions.read_named_policy(json.dumps({"provenance": rule}), "strict", RULES)


def is_passing(result: ProvenanceFacts | None, under: Policy) -> bool:
    """Whether the rule has nothing to say."""
    (rule,) = (item for item in RULES if item.name == "provenance")
    facts = RuleInput(make_inventory(), judge_nothing(), (), "2026-11-24T12:00:00Z", provenance=result)
    return list(rule.judge(facts, under.rules["provenance"][0])) == []


def judge_nothing() -> Matches:
    return Matches((), ())


def collect_facts(*documents: bytes, image: str = IMAGE.digest, under: Policy | None = None) -> ProvenanceFacts:
    return collect(image, select_envelopes(documents), list_provenance_keys(under or make_policy()), verify)


def rewrite_envelope(envelope: bytes, **fields: object) -> bytes:
    return json.dumps({**json.loads(envelope), **fields}).encode()


def make_attached_image(*documents: bytes) -> make.Image:
    """A manifest as cosign attaches them: each document is a layer."""
    manifest = canonical.encode(
        {
            "schemaVersion": 2,
            "mediaType": make.MANIFEST,
            "config": make.make_descriptor(CONFIG, make.CONFIG),
            "layers": [make.make_descriptor(document, ENVELOPE) for document in documents],
        }
    )
    blobs = {make.compute_sha256(data): data for data in (*documents, CONFIG, manifest)}
    return make.Image(make.compute_sha256(manifest), "", make.compute_sha256(CONFIG), [], [], blobs)


def write_vex_statement(image: str) -> bytes:
    predicate = {"@context": "https://openvex.dev/ns/v0.2.0", "@id": "a", "author": "b", "version": 1, "statements": []}
    subject = [{"name": NAME, "digest": {"sha256": image.removeprefix("sha256:")}}]
    return json.dumps(
        {"_type": "https://in-toto.io/Statement/v1", "predicateType": "x", "subject": subject, "predicate": predicate}
    ).encode()


# --- attacks ---------------------------------------------------------------------------------------------------------


def test_a_statement_signed_by_the_builder_counts() -> None:
    (result,) = collect_facts(GOOD).statements
    assert (result.builder, result.keys) == (BUILDER, (OURS.public.id,))
    assert compute_fingerprint(OURS.public.pem) == OURS.public.id
    assert is_passing(collect_facts(GOOD), make_policy())


@pytest.mark.parametrize(
    "envelope",
    [
        pytest.param(
            dsse.sign_payload(write_statement(RECORD, NAME, IMAGE.digest), THEIRS), id="written by a build step"
        ),
        pytest.param(
            dsse.sign_payload(write_statement(RECORD, NAME, SECOND_IMAGE.digest), OURS), id="copied from another digest"
        ),
        pytest.param(
            rewrite_envelope(
                GOOD,
                payload=json.loads(dsse.sign_payload(write_statement(RECORD, NAME, SECOND_IMAGE.digest), OURS))[
                    "payload"
                ],
            ),
            id="another payload under a good signature",
        ),
        pytest.param(rewrite_envelope(GOOD, signatures=[]), id="unsigned"),
        pytest.param(rewrite_envelope(GOOD, payloadType="\ud800"), id="a payload type that is not text"),
        pytest.param(
            rewrite_envelope(GOOD, signatures=[{"keyid": OURS.public.id, "sig": "MEUCIQ=="}]), id="claims the key's id"
        ),
        pytest.param(
            dsse.sign_payload(
                statements.build_statement(
                    replace(VERDICT, image=IMAGE.digest), "sha256:" + "5" * 64, NAME, IMAGE.digest, 30
                ),
                OURS,
            ),
            id="an approval by the same key",
        ),
        pytest.param(
            dsse.sign_payload(write_statement(RECORD, NAME, IMAGE.digest), OURS, "application/json"),
            id="another payload type",
        ),
        pytest.param(
            rewrite_envelope(
                dsse.sign_payload(write_statement(RECORD, NAME, IMAGE.digest), OURS, "text/plain"),
                payloadType=dsse.IN_TOTO,
            ),
            id="payload type changed after signing",
        ),
        pytest.param(
            dsse.sign_payload(write_statement(replace(RECORD, builder="https://ci.example"), NAME, IMAGE.digest), OURS),
            id="another builder's id",
        ),
        pytest.param(write_statement(RECORD, NAME, IMAGE.digest), id="a bare statement"),
        pytest.param(b"{}", id="nothing"),
        pytest.param(b"[" * 100_000, id="nested"),
        pytest.param(b" " * 2**20 + GOOD, id="too large"),
    ],
)
def test_a_forged_statement_neither_counts_nor_harms_a_good_one(envelope: bytes) -> None:
    assert not is_passing(collect_facts(envelope), make_policy())
    assert is_passing(collect_facts(envelope, GOOD), make_policy())
    assert is_passing(collect_facts(GOOD, envelope), make_policy())


@pytest.mark.parametrize("field", ["payloadType", "payload", "signatures", "sig", "keyid"])
def test_no_field_of_an_envelope_beside_an_image_keeps_the_others_from_being_read(field: str) -> None:
    """Everybody who may push can attach any."""
    texts = ["", "\0", "\ud800", "é", "=", "A"]
    values: list[object] = [None, True, 10**400, float("inf"), *texts, [], {}, [None], [{}], [{"sig": {}}]]
    for valid_envelope in (GOOD, dsse.sign_payload(write_vex_statement(IMAGE.digest), OURS), b"{}"):
        for value in values:
            part = (
                {field: value}
                if field[0] == "p"
                else {"signatures": value if field == "signatures" else [{field: value}]}
            )
            check_reading(rewrite_envelope(valid_envelope, **part))


def test_no_payload_of_an_envelope_beside_an_image_keeps_the_others_from_being_read() -> None:
    chance = Random(10)  # noqa: S311 - it chooses cases
    approval = statements.build_statement(
        replace(VERDICT, image=IMAGE.digest), "sha256:" + "5" * 64, NAME, IMAGE.digest, 30
    )
    payloads = [b64decode(json.loads(GOOD)["payload"]), write_vex_statement(IMAGE.digest), approval]
    for number in range(150):
        payload = mutate_json(payloads[number % 3], chance, make_blind_mutation(chance))
        check_reading(payload)
        check_reading(dsse.sign_payload(payload, OURS))
        with suppress(DeniedError, UnreadableError):
            statements.verify_statement(payload, IMAGE.digest, "strict", "2026-11-24T12:00:00Z")


def check_reading(document: bytes) -> None:
    """Read the document beside a good statement, as provenance and as VEX."""
    assert is_passing(collect_facts(document, GOOD), make_policy())
    for vex in read_attached_vex([document], IMAGE.digest):
        if vex.envelope is not None:
            find_vex_signer(vex.envelope, "sha256:" + "0" * 64, IMAGE.digest, [OURS.public.pem])


def test_a_statement_signed_by_another_builder_does_not_count() -> None:
    """Both keys are in the policy, each for its own builder."""
    rule = {"builders": [{"id": BUILDER, "keys": [OURS.public.pem]}, {"id": "x", "keys": [THEIRS.public.pem]}]}
    both = definitions.read_named_policy(json.dumps({"provenance": rule}), "strict", RULES)
    forged_envelope = dsse.sign_payload(write_statement(RECORD, NAME, IMAGE.digest), THEIRS)
    assert not is_passing(collect_facts(forged_envelope, under=both), both)
    assert is_passing(collect_facts(GOOD, under=both), both)


def test_a_statement_about_an_index_does_not_cover_a_child_nor_the_other_way_round() -> None:
    complete = make.index([IMAGE, SECOND_IMAGE])
    about_index = dsse.sign_payload(write_statement(RECORD, NAME, complete.digest), OURS)
    assert is_passing(collect_facts(about_index, image=complete.digest), make_policy())
    assert not is_passing(collect_facts(about_index, image=IMAGE.digest), make_policy())
    assert not is_passing(collect_facts(GOOD, image=complete.digest), make_policy())


def test_an_invalid_key_verifies_nothing() -> None:
    with pytest.raises(DeniedError, match="cannot be used"):
        verify(GOOD.decode(), "-----BEGIN PUBLIC KEY-----\nMCo=\n-----END PUBLIC KEY-----\n")
    with pytest.raises(UnreadableError):
        verify(dsse.sign_payload(b"{}", OURS, "text/plain").decode(), OURS.public.pem)


def test_a_sigstore_bundle_is_opened() -> None:
    bundle = json.dumps(
        {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": json.loads(GOOD)}
    )
    assert is_passing(collect_facts(bundle.encode()), make_policy())


def test_provenance_is_found_once_among_attached_documents() -> None:
    (envelope,) = select_envelopes([b"{}", GOOD, GOOD])
    assert verify(envelope, OURS.public.pem) == write_statement(RECORD, NAME, IMAGE.digest)


# --- at a terminal ---------------------------------------------------------------------------------------------------


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An image, and its statements as `cosign save` and copying tools lay them beside it."""
    folder = tmp_path / "layout"
    tag = IMAGE.digest.replace(":", "-") + ".att"
    make.write_layout(folder, {"1": IMAGE, tag: make_attached_image(b"{}", GOOD), "2": SECOND_IMAGE})
    return folder


def test_a_layout_holds_statements_beside_its_image(layout: Path) -> None:
    result = look_up(f"oci:{layout}:1", IMAGE.digest, make_policy(), read_beside)
    assert result is not None
    assert result.unavailable is None
    assert is_passing(result, make_policy())
    second = look_up(f"oci:{layout}:2", SECOND_IMAGE.digest, make_policy(), read_beside)
    assert second is not None
    assert (second.statements, second.refused) == ((), ("A statement is not accepted: it is about another image.",))


def test_statements_in_an_archive_of_a_layout_count(tmp_path: Path) -> None:
    file = tmp_path / "image.tar"
    make.write_oci_archive(file, {"1": IMAGE, "att": make_attached_image(GOOD)})
    assert is_passing(look_up(f"oci-archive:{file}:1", IMAGE.digest, make_policy(), read_beside), make_policy())


def test_a_file_may_hold_statements(tmp_path: Path) -> None:
    file = tmp_path / "statements"
    make.write_image_layout(tmp_path / "layout", [{"etc/os-release": b"ID=debian\n"}])
    file.write_bytes(b"\n".join((b"{}", GOOD)))
    for reference in (f"oci:{tmp_path / 'layout'}", "podman:shop", "-", "sbom:bill.json"):
        assert is_passing(look_up(reference, IMAGE.digest, make_policy(), read_beside, [file]), make_policy())
    for wrong in (b"", b"{}", b"\xff"):
        file.write_bytes(wrong)
        with pytest.raises(UsageError, match="contains no SLSA Provenance"):
            look_up("podman:shop", IMAGE.digest, make_policy(), read_beside, [file])
    with pytest.raises(UsageError, match="cannot be read"):
        look_up("podman:shop", IMAGE.digest, make_policy(), read_beside, [tmp_path / "missing"])


@pytest.mark.parametrize(
    "reference", ["podman:shop", "-", "sbom:bill.json", "docker-archive:image.tar", "oci-archive:missing.tar"]
)
def test_where_nothing_can_lie_beside_an_image_nothing_is_known(
    reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make.write_docker_archive(tmp_path / "image.tar", {"shop:1": IMAGE})
    result = look_up(reference, IMAGE.digest, make_policy(), read_beside)
    assert result is not None
    assert result.unavailable is not None


def test_a_policy_without_the_rule_asks_nothing() -> None:
    assert look_up("podman:shop", IMAGE.digest, limit_findings(HIGH=0), read_beside) is None


def test_the_gate_asks_for_provenance(run: Run, tmp_path: Path) -> None:
    """Approved, refused without a statement, and undetermined where it cannot be looked for."""
    image = make.make_image(
        [{name: text.encode() for name, text in layouts.make_debian_files(openssl="3.5.4-1").items()}]
    )
    good = dsse.sign_payload(write_statement(RECORD, NAME, image.digest), OURS)
    make.write_layout(tmp_path / "good", {"1": image, "att": make_attached_image(good)})
    make.write_layout(tmp_path / "bare", {"1": image})
    make.write_docker_archive(tmp_path / "image.tar", {"shop:1": image})
    (tmp_path / "strict.yaml").write_text(json.dumps({"provenance": dict(make_policy().rules["provenance"][0])}))
    (tmp_path / "statement.json").write_bytes(good)
    by = ("--policy", str(tmp_path / "strict.yaml"))
    approved_run = run("gate", f"oci:{tmp_path / 'good'}:1", *by, "-o", f"case={tmp_path / 'case.json'}")
    assert approved_run.code == 0, approved_run.out
    assert json.loads((tmp_path / "case.json").read_text())["case"]["provenance"]["statements"]
    assert run("explain", str(tmp_path / "case.json")).code == 0
    refused_run = run("gate", f"oci:{tmp_path / 'bare'}:1", *by)
    assert (refused_run.code, "No provenance statement is attached to it." in refused_run.out) == (1, True)
    assert run("gate", f"oci:{tmp_path / 'bare'}:1", *by, "--provenance", str(tmp_path / "statement.json")).code == 0
    assert run("gate", str(tmp_path / "image.tar"), *by).code == 3
    assert run("gate", f"oci:{tmp_path / 'good'}:1", "--provenance", str(tmp_path / "statement.json")).code == 2


# --- in a real registry, with the real cosign ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_registry(tmp_path_factory.mktemp("registry")) as result:
        yield result


def run_cosign(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "COSIGN_PASSWORD": ""}
    return subprocess.run(
        ["cosign", *arguments], capture_output=True, text=True, check=False, timeout=60, env=environment, cwd=folder
    )


@pytest.mark.real
def test_cosign_verifies_our_statement_as_provenance(running: Running, tmp_path: Path) -> None:
    digest = running.push("shop", "1", IMAGE)
    repository = RegistryRepository(running.address, "shop")
    kind = {"dev.cosignproject.cosign/signature": "", "predicateType": PREDICATE_TYPE}
    add_attestation(repository, digest, lambda: GOOD, kind, key=("k", "v"), replaces={"p": "q"})
    (tmp_path / "key.pub").write_text(OURS.public.pem)
    request = ("verify-attestation", "--key", "key.pub", "--insecure-ignore-tlog", "--allow-http-registry")
    name = f"{running.address}/shop@{digest}"
    result = run_cosign(*request, "--type", "slsaprovenance1", name, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["payloadType"] == dsse.IN_TOTO
    assert run_cosign(*request, "--type", "slsaprovenance", name, folder=tmp_path).returncode != 0
    assert is_passing(look_up(name, digest, make_policy(), read_beside), make_policy())


@pytest.mark.real
def test_provenance_that_cosign_attached_counts(running: Running, tmp_path: Path) -> None:
    digest = running.push("theirs", "1", SECOND_IMAGE)
    assert run_cosign("generate-key-pair", folder=tmp_path).returncode == 0
    predicate = json.loads(write_statement(RECORD, NAME, digest))["predicate"]
    (tmp_path / "predicate.json").write_text(json.dumps(predicate))
    name = f"{running.address}/theirs@{digest}"
    attestation_options = ("--key", "cosign.key", "--predicate", "predicate.json", "--type", "slsaprovenance1")
    result = run_cosign(
        "attest", *attestation_options, "--tlog-upload=false", "--allow-http-registry", "-y", name, folder=tmp_path
    )
    assert result.returncode == 0, result.stderr
    rule = {"builders": [{"id": BUILDER, "keys": [(tmp_path / "cosign.pub").read_text()]}]}
    foreign_policy = definitions.read_named_policy(json.dumps({"provenance": rule}), "strict", RULES)
    assert is_passing(look_up(name, digest, foreign_policy, read_beside), foreign_policy)
    assert not is_passing(look_up(name, digest, make_policy(), read_beside), make_policy())


@pytest.mark.real
def test_a_statement_copied_beside_another_image_does_not_count(running: Running) -> None:
    digest = running.push("copied", "1", SECOND_IMAGE)
    add_attestation(
        RegistryRepository(running.address, "copied"),
        digest,
        lambda: GOOD,
        {},
        key=("k", "v"),
        replaces={"p": "q"},
    )
    result = look_up(f"{running.address}/copied:1", digest, make_policy(), read_beside)
    assert result is not None
    assert result.refused == ("A statement is not accepted: it is about another image.",)
