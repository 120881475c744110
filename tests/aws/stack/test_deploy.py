"""Deploying a stack: once, again, after failures, and beside what the pipeline has deployed since."""

import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from tests.aws.stack.cloud import Cloud
from tests.aws.stack.deploying import ALONE, DIGEST, DOCUMENTS, NETWORK, deploy, read_document, read_parameters
from tests.aws.stack.stack_state import ID, REGION

from dockgate.aws.stack.stack_bucket import StackBucket
from dockgate.gate import rules
from dockgate.gate.definitions.policy import read_builtin_policy
from dockgate.gate.policy import decode_policy
from dockgate.shared.errors import DeniedError, DeployError


def test_a_stack_is_created_with_all_that_it_needs(cloud: Cloud) -> None:
    assert deploy(cloud, *NETWORK)
    content = read_parameters(cloud)
    assert content["ArchiveBucket"] == DOCUMENTS
    assert read_document(cloud, content["ArchiveKey"])[:2] == b"PK"
    assert decode_policy(read_document(cloud, content["PolicyKey"])) == read_builtin_policy("default", rules.load())
    assert content["WaiversKey"] == ""
    public_access = cloud.get_client("s3").get_public_access_block(Bucket=DOCUMENTS)["PublicAccessBlockConfiguration"]
    assert all(public_access.values())


def test_stacks_whose_names_differ_in_case_do_not_share_a_bucket(cloud: Cloud) -> None:
    buckets = {StackBucket(cloud.account, name).bucket for name in ("Shop", "shop", "a" * 40, "a" * 39 + "b")}
    assert len(buckets) == 4
    assert all(len(name) <= 63 and name == name.lower() for name in buckets)


def test_deploying_a_stack_again_changes_nothing(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    assert not deploy(cloud)
    assert not deploy(cloud, *NETWORK)


def test_an_update_keeps_what_is_not_given(cloud: Cloud, tmp_path: Path) -> None:
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text("- vulnerability: CVE-2024-0001\n  owner: team\n  reason: not reachable\n  until: 2030-01-01\n")
    deploy(cloud, *ALONE, policy="reference-2022", waivers=waivers)
    before = dict(read_parameters(cloud))
    assert before["WaiversKey"] != ""
    assert deploy(cloud, "RiskDays=3")
    assert read_parameters(cloud) == {**before, "RiskDays": "3"}


def test_the_source_repository_starts_with_a_commit_and_keeps_the_rest(cloud: Cloud) -> None:
    """CodeCommit takes the archive in the repository's creation alone, so that an update leaves the parameter alone."""
    deploy(cloud, *NETWORK)
    key = read_parameters(cloud)["SourceKey"]
    with zipfile.ZipFile(BytesIO(read_document(cloud, key))) as archive:
        assert "Dockerfile" in archive.namelist()
    code = cloud.formation.stacks["gate"].properties["SourceRepository"]["Code"]
    assert code == {"BranchName": "main", "S3": {"Bucket": DOCUMENTS, "Key": key}}
    cloud.formation.stacks["gate"].parameters["SourceKey"] = "sources/of-an-earlier-version.zip"
    assert deploy(cloud, "RiskDays=3")
    assert read_parameters(cloud)["SourceKey"] == "sources/of-an-earlier-version.zip"


def test_an_update_leaves_running_what_the_pipeline_deployed(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    ecs, image = cloud.get_client("ecs"), f"{ID}.dkr.ecr.{REGION}.amazonaws.com/dockgate-app@{DIGEST}"
    containers = [{"name": "app", "image": image, "memory": 64}]
    ecs.register_task_definition(family="gate-service", containerDefinitions=containers)
    ecs.update_service(cluster="gate-cluster", service="gate-service", taskDefinition="gate-service", desiredCount=1)
    assert deploy(cloud, "ContainerPort=9000")
    content = read_parameters(cloud)
    assert (content["DesiredCount"], content["ServiceImage"]) == ("1", image)
    assert deploy(cloud, "DesiredCount=2")
    assert read_parameters(cloud)["DesiredCount"] == "2"


# --- failures -----------------------------------------------------------------------------------------------------


def test_a_failed_creation_is_reported_with_resource_and_reason(cloud: Cloud) -> None:
    cloud.formation.fails = ("ImageRepository", "Repository already exists")
    with pytest.raises(DeployError) as error:
        deploy(cloud, *NETWORK)
    assert "ImageRepository (AWS::ECR::Repository): Repository already exists" in str(error.value)
    assert "cancelled" not in str(error.value)


def test_after_a_failed_creation_deploying_again_creates(cloud: Cloud) -> None:
    cloud.formation.fails = ("ImageRepository", "Repository already exists")
    with pytest.raises(DeployError):
        deploy(cloud, *NETWORK)
    output: list[str] = []
    assert deploy(cloud, *NETWORK, output=output)
    assert "deleting the rest of gate, whose creation failed" in output
    assert cloud.formation.stacks["gate"].state == "CREATE_COMPLETE"


def test_a_failed_update_reports_only_its_own_reasons(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    for name, reason in (("Table", "the first reason"), ("VerdictBucket", "the second reason")):
        cloud.formation.fails = (name, reason)
        with pytest.raises(DeployError, match=reason) as error:
            deploy(cloud, "RiskDays=3")
    assert "first" not in str(error.value)
    assert deploy(cloud, "RiskDays=3")


def test_deploy_waits_for_a_change_in_progress(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    stack = cloud.formation.stacks["gate"]
    stack.state, stack.moves = "UPDATE_IN_PROGRESS", ["UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]
    output: list[str] = []
    assert deploy(cloud, "RiskDays=3", output=output)
    assert "waiting: gate is UPDATE_IN_PROGRESS" in output


def test_waiting_for_a_change_ends_with_an_error(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    cloud.formation.stacks["gate"].state = "UPDATE_IN_PROGRESS"
    with pytest.raises(DeployError, match="still UPDATE_IN_PROGRESS"):
        deploy(cloud, "RiskDays=3")


@pytest.mark.parametrize(
    ("state", "advice"), [("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"), ("DELETE_FAILED", "aws destroy")]
)
def test_a_state_that_needs_manual_repair_is_reported(cloud: Cloud, state: str, advice: str) -> None:
    deploy(cloud, *NETWORK)
    cloud.formation.stacks["gate"].state = state
    with pytest.raises(DeployError) as error:
        deploy(cloud, "RiskDays=3")
    assert advice in str(error.value.advice)


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("GetCallerIdentity", "sts:GetCallerIdentity"),
        ("CreateBucket", "s3:CreateBucket"),
        ("PutObject", "s3:PutObject"),
        ("CreateStack", "cloudformation:CreateStack"),
        ("PutRegistryScanningConfiguration", "ecr:PutRegistryScanningConfiguration"),
    ],
)
def test_a_missing_permission_is_named(cloud: Cloud, operation: str, action: str) -> None:
    cloud.formation.denied = {operation}
    with pytest.raises(DeniedError) as error:
        deploy(cloud, *NETWORK, scanning=True)
    assert f"the permission {action};" in str(error.value.advice)
    assert "docs/how-to/aws.md" in str(error.value.advice)
    cloud.formation.denied = set()
    assert deploy(cloud, *NETWORK, scanning=True)
