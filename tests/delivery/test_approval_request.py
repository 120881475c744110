"""What a question from outside becomes, and the deliveries of its answer."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from dockgate.delivery.approval_request import ApprovalRequest, make_image_scope
from dockgate.delivery.model import Approval, ApprovalId, ApprovalState, ExecutionId
from dockgate.delivery.webhook_delivery import (
    Callback,
    make_delivery,
    make_headers,
    make_secret,
)
from dockgate.events.webhook_signature import parse_key
from dockgate.gate.policy_reference import PolicyReference
from dockgate.shared.errors import UsageError
from dockgate.shared.references import RepositoryReference, name_own_repository

TEXTS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=200)


@given(TEXTS, TEXTS, TEXTS)
def test_an_id_is_a_path_of_five_plain_parts(pipeline: str, stage: str, execution: ExecutionId) -> None:
    if not (pipeline + stage + execution).isprintable():
        return
    parts = ApprovalRequest(pipeline, stage, execution, "app:1").make_id("app", "sha256:a").split("/")
    assert len(parts) == 5
    assert parts[0] == "external"
    assert not {"", ".", ".."}.intersection(parts)
    assert "".join(parts).isascii()


def test_an_approval_from_outside_belongs_to_no_pipeline() -> None:
    own_scope = make_image_scope("app", ApprovalId("web-12/Gate/Approve/1"), None)
    outside_scope = make_image_scope("app", ApprovalId.make_external("shop", "7"), "web")
    assert own_scope == {"repository": "app", "pipeline": "web"}
    assert outside_scope == {"repository": "app", "pipeline": None}


def test_different_questions_have_different_ids() -> None:
    question = ApprovalRequest("a", "b", "c", "app:1")
    ids = {
        question.make_id("app", "sha256:a"),
        question.make_id("app", "sha256:b"),
        question.make_id("other", "sha256:a"),
        ApprovalRequest("a", "b", "c", "app:1", policy=PolicyReference("strict")).make_id("app", "sha256:a"),
        ApprovalRequest("a", "b", "c", "app:1", service="web").make_id("app", "sha256:a"),
        ApprovalRequest("a", "b", "c", "app:1", key="k").make_id("app", "sha256:a"),
        ApprovalRequest("a", "b", "c", "app:1", callback_url="https://a/").make_id("app", "sha256:a"),
        ApprovalRequest("a-", "b", "c", "app:1").make_id("app", "sha256:a"),
        ApprovalRequest("a", "b", "c", "app:1", requester="ana").make_id("app", "sha256:a"),
        ApprovalRequest("a", "b", "c", "app:1", requester="ana", key="k").make_id("app", "sha256:a"),
    }
    assert len(ids) == 10


@pytest.mark.parametrize(
    ("repository", "foreign"),
    [
        ("team/app", False),
        ("app", False),
        ("quay.io/team/app", True),
        ("localhost/app", True),
        ("registry:5000/app", True),
        ("app.v2", False),
        ("my.team/app", True),
    ],
)
def test_a_registry_before_a_repository_is_known_as_in_references(repository: str, foreign: bool) -> None:
    assert RepositoryReference.parse(repository).is_own is not foreign
    assert name_own_repository(repository, "127.0.0.1:7421") == (
        f"127.0.0.1:7421/{repository}" if foreign else repository
    )


def test_a_signature_is_verified_by_standard_webhooks_own_library() -> None:
    approval = Approval(
        ApprovalId("a"),
        "t",
        "sha256:a",
        "app",
        PolicyReference("default"),
        "",
        "",
        "",
        ApprovalState.REJECTED,
        "2 über",
    )
    secret = make_secret("known", ApprovalId("a"))
    delivery = make_delivery(approval, Callback("https://a/", secret))
    now = datetime.now(UTC)
    assert Webhook(secret).verify(delivery.body.encode(), make_headers(delivery, now))["data"]["summary"] == "2 über"


def test_a_delivery_has_the_same_id_each_time() -> None:
    callback = Callback("https://a/", "")
    first, second = (
        Approval(ApprovalId(name), "t", "sha256:a", "app", PolicyReference("default"), "", "", "")
        for name in ("a", "b")
    )
    assert make_delivery(first, callback) == make_delivery(first, callback)
    assert make_delivery(first, callback).id != make_delivery(second, callback).id


@pytest.mark.parametrize(
    "secret", ["hunter2", "whsec_", "whsec_short", "whsec_" + base64.b64encode(bytes(23)).decode()]
)
def test_an_invalid_callback_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(UsageError) as error_info:
        parse_key(secret)
    assert secret.removeprefix("whsec_") == "" or secret.removeprefix("whsec_") not in error_info.value.full_message
