"""Waivers and VEX on a server, by the API alone: what they turn, what becomes of them, what they leave at risk."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.planned_images import UNREAD, make_advisory
from tests.scenarios.server import ServerSystem

from dockgate.attestations import dsse
from dockgate.gate import evaluate, rules
from dockgate.gate.definitions.policy import read_builtin_policy
from dockgate.gate.model import Policy
from dockgate.gate.policy import make_policy
from dockgate.scanner import ecosystems
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.timestamps import format_time as text
from dockgate.vulnerabilities.model import Severity

KEY = dsse.Signer(dsse.create_key())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server")), policy=make_trusting_policy) as system:
        yield system


def list_violating_ids(server: ServerSystem, image: str) -> list[str]:
    """Of the findings of the newest verdict that break a rule."""
    record = server.get(f"/images/{image}")["verdicts"][0]
    (platform_verdict,) = server.get(f"/verdicts/{record['digest']}")["platform_verdicts"]
    return [finding["id"] for violation in platform_verdict["violations"] for finding in violation["findings"]]


def retry(server: ServerSystem, execution: str) -> str:
    server.post(f"/executions/{execution}/retry")
    wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] in ("Failed", "Succeeded"))
    state: str = server.get(f"/executions/{execution}")["execution"]["state"]
    return state


def add_waiver(server: ServerSystem, **fields: Any) -> Any:
    later = text(server.clock() + timedelta(days=30))
    return server.post("/waivers", {"owner": "ana", "reason": "It is never called.", "until": later, **fields})


def test_an_unread_waiver_applies_until_it_is_revoked(server: ServerSystem) -> None:
    image = server.plan_image("unread", PlannedFindings(status="UNREAD"))
    execution = server.request_approval(image)
    server.end_scan(image)
    assert server.answer(execution) == "Rejected"
    assert UNREAD in server.read_summary(execution)
    add_waiver(server, unread=UNREAD, repository="other/app")
    assert retry(server, execution) == "Failed"
    result = add_waiver(server, unread=UNREAD, image=image)
    assert retry(server, execution) == "Succeeded"
    approval = server.get(f"/executions/{execution}")["stages"][2]["actions"][0]["approval"]
    assert "1 accepted unread path" in approval["summary"]
    server.post(f"/waivers/{result['waiver']['id']}/revoke")
    wait_until(lambda: UNREAD in (server.get("/services/unread")["service"]["cannot_judge"] or ""), seconds=20)
    assert not server.get("/services/unread")["service"]["at_risk"]


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"unread": UNREAD}, "image"),
        ({"unread": "opt/**", "repository": "unread/app"}, "unread"),
        ({"unread": "var/lib/dpkg/status", "repository": "unread/app"}, "image"),
        ({"unread": "/", "image": "sha256:" + "1" * 64}, "unread"),
    ],
)
def test_a_too_broad_unread_waiver_is_refused(server: ServerSystem, fields: dict[str, str], key: str) -> None:
    later = text(server.clock() + timedelta(days=30))
    answer = server.client.post("/waivers", json={"owner": "ana", "reason": "why", "until": later, **fields})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"{key}: ")


def test_a_waiver_changes_the_verdict_and_is_recorded_in_it(server: ServerSystem) -> None:
    image = server.plan_image("waived", PlannedFindings({"HIGH": 1}))
    execution = server.request_approval(image)
    server.end_scan(image)
    assert server.answer(execution) == "Rejected"
    (vulnerability,) = list_violating_ids(server, image)
    result = add_waiver(server, vulnerability=vulnerability, repository="other/*")
    assert (result["state"], result["waiver"]["created_by"]) == ("Active", "local")
    assert retry(server, execution) == "Failed"
    result = add_waiver(server, vulnerability=vulnerability, repository="waived/*")
    assert retry(server, execution) == "Succeeded"
    record = server.get(f"/images/{image}")["verdicts"][0]
    (platform_verdict,) = server.get(f"/verdicts/{record['digest']}")["platform_verdicts"]
    assert [(entry["by"], entry["finding"]["id"]) for entry in platform_verdict["waived"]] == [
        (result["waiver"]["id"], vulnerability)
    ]
    case = server.store.verdicts.get_case(record["digest"])
    replayed_verdict = evaluate.judge(case, ecosystems.load(), rules.load())
    assert compute_digest(canonical.encode(replayed_verdict)) == record["digest"]


def test_a_preview_says_what_a_waiver_would_change_and_adds_none(server: ServerSystem) -> None:
    image, _, vulnerability = reject(server, "previewed")
    verdict = server.get(f"/images/{image}")["verdicts"][0]["digest"]
    wait_until(lambda: server.get(f"/exposure?q={vulnerability}")["total"])
    before = server.get("/waivers")
    fields = {"owner": "ana", "reason": "why", "until": "2999-01-01", "vulnerability": vulnerability}

    def preview(**changes: str) -> Any:
        return server.post("/waivers/preview", {**fields, "verdict": verdict, **changes})

    preview_here = preview(repository="previewed/*")
    assert preview_here["verdict"] == {
        "digest": verdict,
        "before": "Rejected",
        "after": "Approved",
        "summary": preview_here["verdict"]["summary"],
    }
    assert (preview_here["total"], preview_here["images"]) == (
        1,
        [{"digest": image, "repositories": ["previewed/app"]}],
    )
    for scope in ({"repository": "other/*"}, {"image": "sha256:" + "0" * 64}, {"package": "pkg:deb/debian/other"}):
        answer = preview(**scope)
        assert (answer["verdict"]["after"], answer["total"]) == ("Rejected", 0), scope
    assert preview(repository="previewed/*", until="", until_fixed="true")["verdict"]["after"] == "Rejected"
    unread_preview = preview(vulnerability="", unread=UNREAD, image=image)
    assert (unread_preview["verdict"]["after"], unread_preview["total"], unread_preview["images"]) == (
        "Rejected",
        None,
        None,
    )
    response = server.client.post("/waivers/preview", json={**fields, "until": "2020-01-01"})
    assert (response.status_code, "is in the past" in response.json()["error"]) == (400, True)
    missing_response = server.client.post("/waivers/preview", json={**fields, "verdict": "sha256:" + "0" * 64})
    assert missing_response.status_code == 404
    assert server.get("/waivers") == before


def test_an_expired_waiver_puts_the_service_at_risk_and_blocks_deploys(server: ServerSystem) -> None:
    image = server.plan_image("lapsing", PlannedFindings({"CRITICAL": 1}))
    execution = server.request_approval(image)
    server.end_scan(image)
    assert server.answer(execution) == "Rejected"
    (vulnerability,) = list_violating_ids(server, image)
    result = add_waiver(
        server, vulnerability=vulnerability, repository="lapsing/*", until=text(server.clock() + timedelta(days=8))
    )
    assert retry(server, execution) == "Succeeded"
    assert not server.get("/services/lapsing")["service"]["at_risk"]
    waiver_id = result["waiver"]["id"]
    assert not [key for key in server.list_notifications("waiver.expiring") if waiver_id in key]
    server.clock.ahead += timedelta(days=2)
    wait_until(lambda: server.get(f"/waivers/{result['waiver']['id']}")["announced_at"])
    server.clock.ahead += timedelta(days=7)
    wait_until(lambda: server.get("/services/lapsing")["service"]["at_risk"])
    wait_until(lambda: [key for key in server.list_notifications("waiver.expiring") if waiver_id in key])
    assert server.get(f"/waivers/{result['waiver']['id']}")["state"] == "Expired"
    assert server.is_running(image)
    assert server.redeploy_image(image) == "Refused"
    add_waiver(server, vulnerability=vulnerability, repository="lapsing/*")
    wait_until(lambda: not server.get("/services/lapsing")["service"]["at_risk"])


def test_a_revoked_waiver_stays_on_record_without_effect(server: ServerSystem) -> None:
    image = server.plan_image("revoked", PlannedFindings({"HIGH": 1}))
    execution = server.request_approval(image)
    server.end_scan(image)
    assert server.answer(execution) == "Rejected"
    added_waiver = add_waiver(server, image=image)["waiver"]
    assert retry(server, execution) == "Succeeded"
    revoked_waiver = server.post(f"/waivers/{added_waiver['id']}/revoke")
    assert (revoked_waiver["state"], revoked_waiver["revoked_by"]) == ("Revoked", "local")
    assert server.post(f"/waivers/{added_waiver['id']}/revoke") == revoked_waiver
    wait_until(lambda: server.get("/services/revoked")["service"]["at_risk"])
    assert added_waiver["id"] in [entry["waiver"]["id"] for entry in server.get("/waivers?state=Revoked")]
    assert added_waiver["id"] not in [entry["waiver"]["id"] for entry in server.get("/waivers?state=Active")]


@pytest.mark.parametrize(
    ("change", "status", "expected"),
    [
        ({"owner": ""}, 422, "owner is too short"),
        ({"reason": " "}, 400, "reason: "),
        ({"until": ""}, 400, "until: "),
        ({"until": "2020-01-01"}, 400, "is in the past"),
        ({"vulnerability": ""}, 400, "vulnerability: "),
        ({"vulnerability": "CVE-20244-3094"}, 400, "vulnerability: "),
        ({"image": "latest"}, 400, "image: "),
        ({"rule": "malicious"}, 400, "rule: "),
    ],
)
def test_an_invalid_waiver_is_refused(server: ServerSystem, change: dict[str, str], status: int, expected: str) -> None:
    body = {"owner": "ana", "reason": "why", "vulnerability": "CVE-2024-1", "until": "2999-01-01", **change}
    answer = slow_http.post(f"{server.url}/api/v1/waivers", json=body)
    assert answer.status_code == status
    assert expected in answer.json()["error"]


def test_the_same_idempotency_key_creates_one_waiver(server: ServerSystem) -> None:
    body = {"owner": "ana", "reason": "why", "vulnerability": "CVE-2024-1", "until": "2999-01-01"}
    url, headers = f"{server.url}/api/v1/waivers", {"Idempotency-Key": "one"}
    first, second = (slow_http.post(url, json=body, headers=headers).json() for _ in range(2))
    assert first["waiver"] == second["waiver"]


def make_openvex(image: str, vulnerability: str, author: str = "Vendor", **statement: Any) -> bytes:
    products = [{"@id": f"pkg:oci/app@{image}"}]
    statement_fields = {"vulnerability": {"name": vulnerability}, "products": products, "status": "fixed", **statement}
    return json.dumps(
        {
            "@context": "https://openvex.dev/ns/v0.2.0",
            "@id": "https://example.org/vex",
            "author": author,
            "timestamp": "2026-11-01T00:00:00Z",
            "version": 1,
            "statements": [statement_fields],
        }
    ).encode()


def make_trusting_policy(name: str) -> Policy:
    """The policy `default`, which trusts a vendor and its key."""
    policy_rules = read_builtin_policy(name, rules.load()).rules
    return make_policy(name, {**policy_rules, "vex": ({"authors": [{"name": "Vendor", "keys": [KEY.public.pem]}]},)})


def attest_document(image: str, document: bytes, signer: dsse.Signer = KEY) -> bytes:
    statement = {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": "https://openvex.dev/ns/v0.2.0",
        "subject": [{"name": "app", "digest": {"sha256": image.removeprefix("sha256:")}}],
        "predicate": json.loads(document),
    }
    return dsse.sign_payload(json.dumps(statement).encode(), signer)


def reject(server: ServerSystem, name: str) -> tuple[str, str, str]:
    """An image with one finding: its digest, the execution that it failed, the finding's id."""
    image = server.plan_image(name, PlannedFindings({"HIGH": 1}))
    execution = server.request_approval(image)
    server.end_scan(image)
    assert server.answer(execution) == "Rejected"
    (vulnerability,) = list_violating_ids(server, image)
    return image, execution, vulnerability


def upload(server: ServerSystem, document: bytes) -> httpx.Response:
    return slow_http.post(f"{server.url}/api/v1/vex?name=vendor.json", content=document)


def test_an_uploaded_vex_document_applies_until_it_is_removed(server: ServerSystem) -> None:
    image, execution, vulnerability = reject(server, "uploaded")
    assert upload(server, make_openvex(image, vulnerability, author="Stranger")).status_code == 201
    assert retry(server, execution) == "Failed"
    document = upload(server, make_openvex(image, vulnerability)).json()
    assert (document["author"], document["signer"], document["format"]) == ("Vendor", "principal:local", "openvex")
    assert retry(server, execution) == "Succeeded"
    record = server.get(f"/images/{image}")["verdicts"][0]
    (platform_verdict,) = server.get(f"/verdicts/{record['digest']}")["platform_verdicts"]
    assert [(entry["kind"], entry["by"], entry["owner"]) for entry in platform_verdict["waived"]] == [
        ("vex", document["document"], "Vendor")
    ]
    assert "Stranger says fixed; not trusted" in platform_verdict["notes"][0]["message"]
    assert server.get(f"/documents/{document['document']}")["author"] == "Vendor"
    removed_document = server.post(f"/vex/{document['document']}/remove")
    assert removed_document["removed_by"] == "local"
    wait_until(lambda: server.get("/services/uploaded")["service"]["at_risk"])
    assert upload(server, make_openvex(image, vulnerability)).status_code == 201
    wait_until(lambda: not server.get("/services/uploaded")["service"]["at_risk"])


@pytest.mark.parametrize(
    ("name", "attach", "state"),
    [
        ("signed", attest_document, "Succeeded"),
        ("unsigned", lambda image, document: document, "Failed"),
        ("of-another", lambda image, document: attest_document("sha256:" + "0" * 64, document), "Failed"),
        (
            "by-another",
            lambda image, document: attest_document(image, document, dsse.Signer(dsse.create_key())),
            "Failed",
        ),
    ],
)
def test_an_attached_vex_document_counts_if_a_trusted_key_signed_it(
    server: ServerSystem, name: str, attach: Any, state: str
) -> None:
    image, execution, vulnerability = reject(server, name)
    document = json.loads(make_openvex(image, vulnerability))
    del document["statements"][0]["products"]
    server.attachments[image] = [b"\x00 no JSON", b"{}", attach(image, json.dumps(document).encode())]
    documents = server.post(f"/images/{image}/vex", {"repository": f"{name}/app"})
    assert [entry["image"] for entry in documents] == ([image] if name != "of-another" else [])
    assert retry(server, execution) == state
    record = server.get(f"/images/{image}")["verdicts"][0]
    (platform_verdict,) = server.get(f"/verdicts/{record['digest']}")["platform_verdicts"]
    is_reported = bool(platform_verdict["waived"]) if state == "Succeeded" else bool(platform_verdict["notes"])
    assert is_reported == (name != "of-another")


def test_attached_vex_documents_are_read_with_the_scan(server: ServerSystem) -> None:
    image = server.plan_image("early", PlannedFindings({"HIGH": 1}))
    vulnerability = make_advisory("high-fixed-0", Severity.HIGH, "2").id
    server.attachments[image] = [attest_document(image, make_openvex(image, vulnerability))]
    execution = server.request_approval(image)
    server.end_scan(image)
    assert server.answer(execution) == "Approved"


def test_attached_vex_documents_that_are_too_large_together_are_refused(server: ServerSystem) -> None:
    image, _, vulnerability = reject(server, "attached-large")
    statement = json.loads(make_openvex(image, vulnerability))["statements"][0]
    products = [{"@id": f"pkg:npm/{number}".ljust(900, "x")} for number in range(8000)]
    for number in range(3):
        document = json.loads(make_openvex(image, vulnerability)) | {"@id": f"large-{number}"}
        document["statements"] = [statement | {"products": products}]
        server.attachments.setdefault(image, []).append(json.dumps(document).encode())
    answer = server.client.post(f"/images/{image}/vex", json={"repository": "attached-large/app"})
    assert answer.status_code == 409
    assert "more than 16 MiB" in answer.json()["error"]
    assert len([entry for entry in server.get("/vex") if entry["image"] == image]) == 2


def test_an_uploaded_vex_document_must_name_its_product(server: ServerSystem) -> None:
    document = json.loads(make_openvex("sha256:" + "0" * 64, "CVE-2024-1"))
    del document["statements"][0]["products"]
    answer = upload(server, json.dumps(document).encode())
    assert answer.status_code == 400
    assert "names no product" in answer.json()["error"]
    wrong = upload(server, make_openvex("sha256:" + "0" * 64, "CVE-2024-1", status="harmless"))
    assert wrong.json()["error"].startswith("vendor.json: statements[0].status")
    assert upload(server, b"{}").status_code == 400


def test_vex_attached_later_is_read_on_the_registrys_notification(server: ServerSystem) -> None:
    image, execution, vulnerability = reject(server, "attached-later")
    server.attachments[image] = [attest_document(image, make_openvex(image, vulnerability))]
    tag = f"{image.replace(':', '-')}.att"
    server.use_cases.registry_pushes.record("attestation", "attached-later/app", "sha256:" + "8" * 64, tag)
    wait_until(lambda: [entry for entry in server.get("/vex") if entry["image"] == image])
    assert retry(server, execution) == "Succeeded"
    assert server.client.get("/images/sha256:" + "8" * 64).status_code == 404


def test_an_image_that_passes_by_a_waiver_names_it_where_its_status_is_shown(server: ServerSystem) -> None:
    image, execution, vulnerability = reject(server, "named")
    waiver = add_waiver(server, vulnerability=vulnerability, repository="named/*")["waiver"]
    assert retry(server, execution) == "Succeeded"

    def get_summary() -> Any:
        return server.get("/images?repository=named/app")["images"][0]

    wait_until(lambda: get_summary()["status"] == "Approved")
    (entry,) = get_summary()["waivers"]
    assert (entry["kind"], entry["by"], entry["owner"], entry["count"]) == ("waiver", waiver["id"], "ana", 1)
    assert entry["subjects"][0].startswith(f"{vulnerability} in ")
    for page in ("/images?repository=named/app", f"/images/{image}"):
        html = slow_http.get(f"{server.url}{page}", headers={"Accept": "text/html"}).text
        assert f'by <a href="/waivers/{waiver["id"]}"><bdi class="foreign">ana</bdi></a> until' in html
        assert f"{vulnerability} in " in html
    assert "It is never called" in html
    next_waiver = add_waiver(server, vulnerability=vulnerability, repository="named/app")["waiver"]
    server.post(f"/waivers/{waiver['id']}/revoke")
    assert get_summary()["waived"]
    assert waiver["id"] not in [entry["by"] for entry in get_summary()["waivers"]]
    for page in ("/images?repository=named/app", f"/images/{image}"):
        html = slow_http.get(f"{server.url}{page}", headers={"Accept": "text/html"}).text
        assert waiver["id"] not in html
        # Until the verdict of the next waiver is recorded.
        assert "Who waived this is not listed: " in html or next_waiver["id"] in html
