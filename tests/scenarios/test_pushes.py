"""Webhooks of other registries: each push starts one scan, if the secret is right."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as system:
        yield system


def make_bodies(digest: str, tag: str) -> dict[str, tuple[str, Any]]:
    """By format: the registry, and what it sends."""
    resource = {"digest": digest, "tag": tag, "resource_url": f"harbor.example/team/app:{tag}"}
    repository = {"repo_full_name": "team/app"}
    target = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "repository": "team/app"}
    detail = {"result": "SUCCESS", "repository-name": "team/app", "image-digest": digest, "action-type": "PUSH"}
    return {
        "harbor": (
            "harbor.example",
            {"type": "PUSH_ARTIFACT", "occur_at": 1, "event_data": {"resources": [resource], "repository": repository}},
        ),
        "quay": ("quay.example", {"docker_url": "quay.example/team/app", "updated_tags": [tag]}),
        "ecr": (
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            {
                "id": f"ecr-{tag}",
                "detail-type": "ECR Image Action",
                "source": "aws.ecr",
                "account": "123456789012",
                "region": "eu-west-1",
                "detail": detail,
            },
        ),
        "distribution": ("localhost:5000", {"events": [{"id": f"d-{tag}", "action": "push", "target": target}]}),
    }


def get_hook(server: ServerSystem, form: str, registry: str) -> Any:
    return server.get(f"/registries/{registry}/hook/{form}")


@pytest.mark.parametrize("form", ["harbor", "quay", "ecr", "distribution"])
def test_a_push_to_another_registry_is_scanned_once_and_answers_approvals(server: ServerSystem, form: str) -> None:
    image = server.plan_foreign_image(f"pushed-{form}", PlannedFindings({"CRITICAL": 1}))
    server.scan_may_end[image].set()
    registry, body = make_bodies(image, f"pushed-{form}")[form]
    webhook = get_hook(server, form, registry)
    for _ in range(3):
        answer = slow_http.post(webhook["url"], json=body, headers={"Authorization": webhook["authorization"]})
        assert answer.status_code == 202, answer.text
    wait_until(lambda: server._scan_state(image) == "Done")
    image_view = server.get(f"/images/{image}")
    assert image_view["scan"]["repository"] == f"{registry}/team/app"
    assert [push["repository"] for push in image_view["pushes"]] == [f"{registry}/team/app"]
    request = {"pipeline": "p", "stage": "s", "execution": form, "digest": image, "repository": f"{registry}/team/app"}
    assert server.post("/approvals", request)["approval"]["state"] == "Rejected"


def test_the_webhook_secret_can_be_in_a_header_or_the_url(server: ServerSystem) -> None:
    image = server.plan_foreign_image("anyhow", PlannedFindings())
    registry, body = make_bodies(image, "anyhow")["harbor"]
    webhook = get_hook(server, "harbor", registry)
    secret = webhook["authorization"].removeprefix("Bearer ")
    basic = base64.b64encode(f"harbor:{secret}".encode()).decode()
    for header in (secret, f"Bearer {secret}", f"Basic {basic}"):
        assert slow_http.post(webhook["url"], json=body, headers={"Authorization": header}).status_code == 202
    assert slow_http.post(webhook["url_with_secret"], json=body).status_code == 202
    wrong = base64.b64encode(b"harbor:guess").decode()
    for header in ("", "guess", "Bearer guess", f"Basic {wrong}", "Basic ///", f"Bearer {secret}x"):
        assert slow_http.post(webhook["url"], json=body, headers={"Authorization": header}).status_code == 403


def test_a_webhook_secret_is_valid_for_its_registry_only(server: ServerSystem) -> None:
    image = server.plan_foreign_image("foreign", PlannedFindings())
    other_webhook = get_hook(server, "harbor", "other.example")
    _, body = make_bodies(image, "foreign")["harbor"]
    foreign_headers = {"Authorization": other_webhook["authorization"]}
    assert slow_http.post(other_webhook["url"], json=body, headers=foreign_headers).status_code == 403
    url = get_hook(server, "harbor", "harbor.example")["url"]
    assert slow_http.post(url, json=body, headers=foreign_headers).status_code == 403
    assert server._scan_state(image) == ""


def test_replacing_a_secret_affects_one_registry_only(server: ServerSystem) -> None:
    image = server.plan_foreign_image("rotated", PlannedFindings())
    registry, body = make_bodies(image, "rotated")["quay"]
    before, other_webhook = get_hook(server, "quay", registry), get_hook(server, "harbor", registry)
    after = server.post(f"/registries/{registry}/hook/quay")
    assert after == get_hook(server, "quay", registry)
    assert after["url"] == before["url"]
    assert get_hook(server, "harbor", registry) == other_webhook
    for webhook, status in ((before, 403), (after, 202)):
        answer = slow_http.post(webhook["url"], json=body, headers={"Authorization": webhook["authorization"]})
        assert answer.status_code == status
    assert server.post(f"/registries/{registry}/hook/quay")["authorization"] not in (
        before["authorization"],
        after["authorization"],
    )
    assert server.client.post("/registries/nohost/hook/quay").status_code == 400


@pytest.mark.parametrize("name", ["../../etc", "a b", "UPPER", "x" * 300 + "/", ""])
def test_an_invalid_registry_name_is_refused(server: ServerSystem, name: str) -> None:
    registry, body = make_bodies("sha256:" + "1" * 64, "t")["harbor"]
    body["event_data"]["repository"]["repo_full_name"] = name
    webhook = get_hook(server, "harbor", registry)
    answer = slow_http.post(webhook["url"], json=body, headers={"Authorization": webhook["authorization"]})
    assert answer.status_code == 400
    assert "harbor" in answer.json()["error"]


def test_who_reads_the_secret_of_a_registry_is_in_the_audit_log(server: ServerSystem) -> None:
    get_hook(server, "quay", "read.example")
    entry = server.get("/audit?limit=1")[0]
    assert entry["call"] == "GET /api/v1/registries/{registry}/hook/{form}"
    assert (entry["subject"], entry["status"]) == ("/api/v1/registries/read.example/hook/quay", 200)
    assert get_hook(server, "quay", "read.example")["authorization"].removeprefix("Bearer ") not in str(entry)


def test_unknown_formats_and_registries_have_no_hook(server: ServerSystem) -> None:
    assert server.client.get("/registries/a.example/hook/gitea").status_code == 404
    assert server.client.get("/registries/nohost/hook/quay").status_code == 400
