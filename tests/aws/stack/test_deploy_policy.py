"""The policy that a stack is deployed with: a built-in one, a file, or a document that is in the account already."""

from pathlib import Path

import pytest
from tests.aws.stack.cloud import Cloud
from tests.aws.stack.deploying import NETWORK, deploy, list_changes, read_document, read_parameters
from tests.aws.stack.stack_state import REGION

from dockgate.gate import rules
from dockgate.gate.definitions.policy import read_builtin_policy
from dockgate.gate.policy import decode_policy, encode_policy
from dockgate.shared.errors import DefinitionError, NotFoundError, UsageError

BAD = """\
rules:
  max_findings: {critical: many}
"""


def test_the_policy_changes_when_another_is_given(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    assert deploy(cloud, policy="reference-2022")
    assert decode_policy(read_document(cloud, read_parameters(cloud)["PolicyKey"])).name == "reference-2022"


def test_a_wrong_policy_file_is_refused_before_anything_is_changed(cloud: Cloud, tmp_path: Path) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text(BAD)
    with pytest.raises(DefinitionError, match="ours"):
        deploy(cloud, *NETWORK, policy=str(file))
    assert list_changes(cloud) == []


def encode_default_policy() -> bytes:
    return encode_policy(read_builtin_policy("default", rules.load()))


WRONG = {
    "no JSON": b"rules:\n  max_findings: {}\n",
    "no policy": b"[1]",
    "another rule": b'{"name":"ours","rules":{"max_finding":[{"action":"reject"}]}}',
    "a setting that the rule refuses": b'{"name":"ours","rules":{"image_age":[{"action":"reject","days":"many"}]}}',
    "settings that are not in full": b'{"name":"ours","rules":{"max_findings":[{"action":"reject","critical":0}]}}',
    "an end of line": encode_default_policy() + b"\n",
}


@pytest.mark.parametrize("service", ["ssm", "s3"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_document_is_refused_before_anything_is_changed(cloud: Cloud, service: str, name: str) -> None:
    where = put(cloud, service, WRONG[name])
    with pytest.raises(UsageError, match="dockgate/policy") as error:
        deploy(cloud, *NETWORK, policy=where)
    assert error.value.advice
    assert list_changes(cloud) == []


def put(cloud: Cloud, service: str, body: bytes) -> str:
    if service == "ssm":
        cloud.get_client("ssm").put_parameter(Name="/dockgate/policy", Value=body.decode(), Type="SecureString")
        return "ssm:/dockgate/policy"
    s3 = cloud.get_client("s3")
    s3.create_bucket(Bucket="ours", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="ours", Key="dockgate/policy", Body=body)
    return "s3://ours/dockgate/policy"


def test_a_policy_in_ssm_stays_there_and_one_in_s3_is_copied(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK, policy=put(cloud, "ssm", encode_default_policy()))
    assert (read_parameters(cloud)["PolicyParameter"], read_parameters(cloud)["PolicyKey"]) == ("/dockgate/policy", "")
    assert not deploy(cloud)
    deploy(cloud, policy=put(cloud, "s3", encode_default_policy()))
    content = read_parameters(cloud)
    assert content["PolicyParameter"] == ""
    assert read_document(cloud, content["PolicyKey"]) == encode_default_policy()


@pytest.mark.parametrize("where", ["ssm:/missing", "s3://missing/key", "ssm:policy", "s3://bucket"])
def test_a_location_without_a_policy_is_refused_before_anything_is_changed(cloud: Cloud, where: str) -> None:
    with pytest.raises((NotFoundError, UsageError)):
        deploy(cloud, *NETWORK, policy=where)
    assert list_changes(cloud) == []
