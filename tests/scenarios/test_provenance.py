"""Provenance in a running server: what it builds is signed and passes the rule, what comes from elsewhere does not."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.gate.test_provenance import RECORD
from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_approval_requests import answer, ask
from tests.scenarios.test_policies import get_risk, plan_gated_image, put, run

from dockgate.attestations import dsse
from dockgate.delivery.ports import BaseImage
from dockgate.gate import rules
from dockgate.gate.provenance import BUILDER, PREDICATE_TYPE, write_statement
from dockgate.gate.replay import case_file
from dockgate.scanner import ecosystems
from dockgate.services.verdicts.case_builder import DeploymentContext
from dockgate.shared.errors import DeployError
from dockgate.store.verdict_causes import Check, VerdictCause

DEBIAN = "sha256:" + "d" * 64
THEIRS = dsse.Signer(dsse.create_key())
CI = "https://ci.example/builder"
ASSIGNMENT = """
kind: PolicyAssignment
name: elsewhere
repositories: ["elsewhere.example/**"]
policy: ours
allowed:
  - policies: [theirs]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as system:
        system.builder.bases = (BaseImage("docker.io/library/debian:13", DEBIAN),)
        put_strict_policy(system, "ours")
        put_strict_policy(system, "theirs", CI, THEIRS.public.pem)
        system.apply(ASSIGNMENT)
        yield system


def put_strict_policy(
    server: ServerSystem, name: str, builder: str = BUILDER, key: str = "", **settings: object
) -> None:
    rule = {"builders": [{"id": builder, "keys": [key or server.attestor.list_keys()[0].pem]}], **settings}
    put(server, name, json.dumps({"provenance": rule})).raise_for_status()


def build_image(server: ServerSystem, name: str, policy: str) -> tuple[str, Any]:
    """An image that a pipeline builds, gated by the policy, and how its execution ended."""
    image = plan_gated_image(server, name, PlannedFindings(), policy)
    server.scan_may_end[image].set()
    return image, run(server, name)


def judge_foreign_image(server: ServerSystem, name: str, policy: str, *documents: bytes) -> tuple[str, Any]:
    """An image of another registry with these attached documents, and its decision."""
    image = server.plan_foreign_image(name, PlannedFindings())
    server.scan_may_end[image].set()
    server.attachments[image] = list(documents)
    request = ask(server, name, policy=policy)
    return image, answer(server, request, 20)


def sign_as_ci(image: str, signer: dsse.Signer = THEIRS) -> bytes:
    return dsse.sign_payload(write_statement(replace(RECORD, builder=CI), "elsewhere.example/app", image), signer)


def digest_of(server: ServerSystem, name: str) -> str:
    """The digest that an image of this name will have."""
    return server.plan_foreign_image(name, PlannedFindings())


def test_images_built_by_the_server_pass_the_provenance_rule(server: ServerSystem) -> None:
    image, execution = build_image(server, "made", "ours")
    assert execution["state"] == "Succeeded", execution
    record = next(verdict for verdict in server.get(f"/images/{image}")["verdicts"] if verdict["policy"] == "ours")
    recorded_verdict = case_file.RecordedVerdict(
        server.store.verdicts.get(record["digest"]), server.store.verdicts.get_case(record["digest"])
    )
    assert recorded_verdict.case.provenance is not None
    (statement,) = recorded_verdict.case.provenance.statements
    assert (statement.builder, statement.bases) == (BUILDER, (DEBIAN,))
    assert statement.source == f"git+{server.url}/git/made.git"
    assert len(statement.commit or "") == 40
    assert recorded_verdict.verdict.inputs.provenance
    assert case_file.replay(recorded_verdict, ecosystems.load(), rules.load()).differences == ()


def test_a_provenance_statement_is_attached_once(server: ServerSystem) -> None:
    image, _ = build_image(server, "attached", "ours")
    wait_until(lambda: server.attestor.provenance.get(f"attached/app@{image}"))
    ((key, envelope),) = server.attestor.provenance[f"attached/app@{image}"].items()
    assert key == "attached-1/Build/Build/1"
    verified_envelope = dsse.verify_envelope(envelope, [dsse.PublicKey(server.attestor.list_keys()[0].pem.encode())])
    document = json.loads(verified_envelope.payload)
    assert document["predicateType"] == PREDICATE_TYPE
    assert document["subject"] == [
        {"name": f"{server.registry.address}/attached/app", "digest": {"sha256": image.removeprefix("sha256:")}}
    ]
    details = document["predicate"]["runDetails"]
    assert details["metadata"]["invocationId"] == key
    assert details["metadata"]["startedOn"] <= details["metadata"]["finishedOn"]


def test_an_image_pushed_by_hand_is_refused(server: ServerSystem) -> None:
    _, approval = judge_foreign_image(server, "by-hand", "ours")
    assert approval["state"] == "Rejected"
    assert "No provenance statement is attached to it." in approval["summary"]


def test_forged_and_copied_statements_are_refused(server: ServerSystem) -> None:
    """One by a key of its own, our statement of another digest, and an approval's statement by our own key."""
    original_image, _ = build_image(server, "original", "ours")
    wait_until(lambda: server.attestor.provenance.get(f"original/app@{original_image}"))
    (copied_statement,) = server.attestor.provenance[f"original/app@{original_image}"].values()
    image = digest_of(server, "forged")
    forged_statement = dsse.sign_payload(write_statement(RECORD, "elsewhere.example/app", image), THEIRS)
    ((_, payload),) = server.attestor.attestations[f"original/app@{original_image}", "ours"]
    approval_of_other = server.attestor.sign(payload)
    renamed_payload = payload.replace(
        original_image.removeprefix("sha256:").encode(), image.removeprefix("sha256:").encode()
    )
    _, approval = judge_foreign_image(
        server,
        "forged",
        "ours",
        forged_statement,
        copied_statement,
        approval_of_other,
        server.attestor.sign(renamed_payload),
    )
    assert approval["state"] == "Rejected"
    assert "no key that the policy lists signed it" in approval["summary"]
    assert "about another image" in approval["summary"]


def test_a_statement_of_another_builder_counts_where_the_policy_names_it(server: ServerSystem) -> None:
    good = sign_as_ci(digest_of(server, "by-ci"))
    _, approval = judge_foreign_image(server, "by-ci", "theirs", b"{}", sign_as_ci("sha256:" + "0" * 64), good)
    assert approval["state"] == "Approved", approval
    _, approval = judge_foreign_image(server, "by-ci", "ours", good)
    assert approval["state"] == "Rejected"


def test_a_statement_attached_after_the_scan_counts_for_the_next_request(server: ServerSystem) -> None:
    image, approval = judge_foreign_image(server, "late", "theirs")
    assert approval["state"] == "Rejected"
    server.attachments[image] = [sign_as_ci(image)]
    request = ask(server, "late", execution="2", policy="theirs")
    assert answer(server, request, 20)["state"] == "Approved"


def test_a_copy_of_an_image_without_statements_takes_none_from_the_image(server: ServerSystem) -> None:
    """Every developer can copy an image, and ask for its approval where nothing lies beside it."""
    image = digest_of(server, "copied-bare")
    server.attachments[f"elsewhere.example/copy@{image}"] = []
    _, approval = judge_foreign_image(server, "copied-bare", "theirs", sign_as_ci(image))
    assert approval["state"] == "Approved", approval
    copy = ask(server, "copied-bare", "2", image="elsewhere.example/copy:copied-bare", policy="theirs")
    assert answer(server, copy, 20)["state"] == "Rejected"
    context = DeploymentContext("elsewhere.example/app")
    server.use_cases.verdicts.require_approval(image, VerdictCause.make_check(Check.DEPLOY, "1"), context)
    with pytest.raises(DeployError, match="no provenance"):
        server.use_cases.verdicts.require_approval(
            image, VerdictCause.make_check(Check.DEPLOY, "2"), DeploymentContext("elsewhere.example/copy")
        )


@pytest.mark.slow
def test_running_services_are_judged_by_a_new_provenance_rule(server: ServerSystem) -> None:
    """Attachments were not read before: they count now, and missing ones put the service at risk."""
    put(server, "growing", "malicious: {}\n").raise_for_status()
    for name in ("signed-elsewhere", "unsigned"):
        server.attachments[digest_of(server, name)] = (
            [sign_as_ci(digest_of(server, name))] if name != "unsigned" else []
        )
        _, execution = build_image(server, name, "growing")
        assert execution["state"] == "Succeeded", execution
    put_strict_policy(server, "growing", CI, THEIRS.public.pem)
    wait_until(lambda: get_risk(server, "unsigned"))
    assert "no provenance from an allowed builder" in get_risk(server, "unsigned")
    assert get_risk(server, "signed-elsewhere") == ""  # it was judged in the same round, before the other


@pytest.mark.slow
def test_an_unreachable_registry_makes_provenance_undetermined(server: ServerSystem) -> None:
    server.registry_down = True
    try:
        image, approval = judge_foreign_image(server, "unreachable", "theirs")
    finally:
        server.registry_down = False
    assert approval["state"] == "Rejected"
    assert server.get(f"/images/{image}")["status"] == "Undetermined"
    assert "the registry does not answer" in approval["summary"]
    server.clock.ahead += timedelta(minutes=11)
    server.use_cases.attachment_retries.run()
    wait_until(lambda: server.get(f"/images/{image}")["status"] == "Rejected")  # there is none


@pytest.mark.parametrize(
    ("name", "requirements", "expected"),
    [
        ("sources", {"sources": ["git+https://git.example/**"]}, "is not allowed"),
        ("bases", {"bases": ["sha256:" + "e" * 64]}, "images that are not allowed"),
        ("age", {"max_age_days": 1e-9}, "more than 1e-09 days ago"),
    ],
)
def test_further_provenance_requirements_are_checked(
    server: ServerSystem, name: str, requirements: dict[str, Any], expected: str
) -> None:
    put_strict_policy(server, f"by-{name}", **requirements)
    image, execution = build_image(server, f"of-{name}", f"by-{name}")
    assert execution["state"] == "Failed"
    # Beside the verdict of the gate, there may be one on the push, by the repository's own policy.
    assert any(expected in verdict["summary"] for verdict in server.get(f"/images/{image}")["verdicts"])
