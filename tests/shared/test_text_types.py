"""Types of text are text to whatever does not know them: JSON, canonical documents, pickles."""

import json
import pickle
from copy import deepcopy
from dataclasses import asdict, dataclass

import pytest
from pydantic import TypeAdapter

from dockgate.delivery.model import ActionKey, ApprovalId, ExecutionId
from dockgate.gate.model import VexSigner
from dockgate.gate.policy_reference import PolicyReference
from dockgate.shared import canonical
from dockgate.shared.text_types import TextType
from dockgate.store.verdict_causes import VerdictCause

TEXTS = (
    ExecutionId("web-1"),
    ApprovalId("web-1/Gate/Approve/1"),
    PolicyReference("default"),
    VerdictCause("deploy/x"),
    VexSigner("principal:ana"),
)


@dataclass(frozen=True)
class Holder:
    policy: PolicyReference
    execution: ExecutionId | None = None


@dataclass(frozen=True)
class PlainHolder:
    policy: str
    execution: str | None = None


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: type(text).__name__)
def test_a_typed_text_is_written_as_plain_text_is(text: TextType) -> None:
    plain = str(text)
    assert (type(plain), hash(text), repr(text), f"{text}") == (str, hash(plain), repr(plain), plain)
    assert json.dumps([text, {text: text}]) == json.dumps([plain, {plain: plain}])
    assert canonical.encode([text, {text: text}]) == canonical.encode([plain, {plain: plain}])
    for copy in (pickle.loads(pickle.dumps(text)), deepcopy(text)):  # noqa: S301 - our own bytes
        assert (type(copy), copy) == (type(text), plain)


def test_a_canonical_document_is_the_same_and_is_read_with_its_types() -> None:
    holder = Holder(PolicyReference("default+sha256:1"), ExecutionId("web-1"))
    document = canonical.encode(holder)
    assert document == canonical.encode(PlainHolder(**asdict(holder)))
    copy = canonical.decode(Holder, document)
    assert copy == holder
    assert (copy.policy.server_policy, type(copy.execution)) == ("default", ExecutionId)
    assert canonical.decode(Holder, b'{"policy":"default"}').execution is None


def test_the_api_reads_and_documents_a_typed_text_as_text() -> None:
    adapter, plain_adapter = TypeAdapter(Holder), TypeAdapter(PlainHolder)
    body = b'{"policy": "default", "execution": "web-1"}'
    holder = adapter.validate_json(body)
    assert (type(holder.policy), type(holder.execution)) == (PolicyReference, ExecutionId)
    assert adapter.dump_json(holder) == plain_adapter.dump_json(plain_adapter.validate_json(body))
    assert adapter.json_schema()["properties"] == plain_adapter.json_schema()["properties"]
    with pytest.raises(ValueError, match="valid string"):
        adapter.validate_json(b'{"policy": 1}')


def test_the_key_of_an_action_has_the_types_that_its_approval_is_read_with() -> None:
    key = ActionKey.parse("web-12/Gate/Approve/1")
    assert (key.execution.pipeline, key.execution.number) == ("web", "12")
    assert ApprovalId.from_action(key).action == key
    assert ApprovalId.make_external("shop", "7").action is None


@pytest.mark.parametrize("text", ["", "web", "web-", "-12"])
def test_a_text_without_pipeline_or_number_is_no_id_of_an_execution(text: str) -> None:
    assert ExecutionId.parse(text) is None
    execution = ExecutionId.parse("web-api-12")
    assert execution is not None
    assert (execution.pipeline, execution.number) == ("web-api", "12")
