"""The parameters that a stack is deployed with: looked at first, and filled in from what the account has."""

import json
from pathlib import Path

import pytest
from tests.aws.stack.cloud import SOON, Cloud
from tests.aws.stack.deploying import ALONE, NETWORK, deploy, list_changes, read_document, read_parameters
from tests.aws.stack.stack_state import ID, REGION

from dockgate.services import aws_stack
from dockgate.shared.errors import DockgateError, NotFoundError, UsageError


def test_names_are_turned_into_arns(cloud: Cloud) -> None:
    services = "RunningServices=blue/web,arn:aws:ecs:eu-west-1:123456789012:service/green/web"
    deploy(cloud, *ALONE, services, "ImageRepositories=shop,team/blog")
    head = f"arn:aws:codepipeline:{REGION}:{ID}"
    assert read_parameters(cloud)["ApprovalActions"] == f"{head}:shop/Assess/Gate,{head}:blog/Assess/Gate"
    assert read_parameters(cloud)["ApprovalPipelines"] == f"{head}:shop,{head}:blog"
    deploy(cloud, "RiskDays=3")
    assert read_parameters(cloud)["ApprovalPipelines"] == f"{head}:shop,{head}:blog"
    head = f"arn:aws:ecs:{REGION}:{ID}:service"
    assert read_parameters(cloud)["RunningServices"] == f"{head}/blue/web,{head}/green/web"
    head = f"arn:aws:ecr:{REGION}:{ID}:repository"
    assert read_parameters(cloud)["ImageRepositories"] == f"{head}/shop,{head}/team/blog"


WAIVER = "- {{id: a, owner: o, reason: r, vulnerability: CVE-2026-1, repository: {}/shop, until: '2030-01-01'}}"


def test_repositories_may_be_named_with_their_registry(cloud: Cloud, tmp_path: Path) -> None:
    registry, waivers = f"{ID}.dkr.ecr.{REGION}.amazonaws.com", tmp_path / "waivers.yaml"
    waivers.write_text(WAIVER.format(registry))
    repositories = f"ImageRepositories={registry}/a/b, c"
    deploy(cloud, *NETWORK, f"ImageRepositoryName={registry}/shop", repositories, waivers=waivers)
    head = f"arn:aws:ecr:{REGION}:{ID}:repository"
    assert read_parameters(cloud)["ImageRepositoryName"] == "shop"
    assert read_parameters(cloud)["ImageRepositories"] == f"{head}/a/b,{head}/c"
    (waiver,) = json.loads(read_document(cloud, read_parameters(cloud)["WaiversKey"]))["waivers"]
    assert waiver["repository"] == "shop"


def test_a_waiver_for_every_repository_is_stored_without_one(cloud: Cloud, tmp_path: Path) -> None:
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text("- {id: a, owner: o, reason: r, vulnerability: CVE-2026-1, until: '2030-01-01'}")
    deploy(cloud, *NETWORK, waivers=waivers)
    (waiver,) = json.loads(read_document(cloud, read_parameters(cloud)["WaiversKey"]))["waivers"]
    assert waiver["repository"] is None


@pytest.mark.parametrize("registry", ["999999999999.dkr.ecr.eu-west-1", f"{ID}.dkr.ecr.us-east-1"])
def test_a_repository_of_another_registry_is_refused(cloud: Cloud, registry: str, tmp_path: Path) -> None:
    name, waivers = f"{registry}.amazonaws.com/shop", tmp_path / "waivers.yaml"
    waivers.write_text(WAIVER.format(f"{registry}.amazonaws.com"))
    for value in (f"ImageRepositoryName={name}", f"ImageRepositories=c,{name}"):
        with pytest.raises(UsageError, match="is in the registry of the account"):
            deploy(cloud, *NETWORK, value)
    with pytest.raises(UsageError, match="the waiver a: the repository"):
        deploy(cloud, *NETWORK, waivers=waivers)
    assert list_changes(cloud) == []


@pytest.mark.parametrize(("concurrency", "reserved_count"), [(1000, "5"), (115, "5"), (114, "0"), (10, "0")])
def test_concurrency_is_reserved_where_the_account_has_some_to_spare(
    cloud: Cloud, concurrency: int, reserved_count: str
) -> None:
    """Lambda keeps 100 for functions without a reservation, and new accounts have 10 in all."""
    cloud.formation.concurrency = concurrency
    output: list[str] = []
    deploy(cloud, *ALONE, output=output)
    assert read_parameters(cloud)["ReservedConcurrency"] == reserved_count
    assert any("no concurrency reserved" in line for line in output) is (reserved_count == "0")
    cloud.formation.concurrency = 10 if reserved_count == "5" else 1000
    deploy(cloud, "RiskDays=3")
    assert read_parameters(cloud)["ReservedConcurrency"] == reserved_count, "it stays as it is"
    deploy(cloud, "ReservedConcurrency=7")
    assert read_parameters(cloud)["ReservedConcurrency"] == "7"


@pytest.mark.parametrize(
    "value",
    [
        "ApprovalActions=shop",
        "ApprovalActions=arn:aws:sns:eu-west-1:1:x/y/z",
        "RunningServices=*/web",
        "ImageRepositories=*",
    ],
)
def test_an_invalid_action_or_service_name_is_refused_before_the_stack_changes(cloud: Cloud, value: str) -> None:
    with pytest.raises(UsageError, match=value.partition("=")[0]):
        deploy(cloud, "CreatePipeline=false", value)
    assert list_changes(cloud) == []


def test_family_and_roles_are_read_from_an_existing_service(cloud: Cloud) -> None:
    ecs, role = cloud.get_client("ecs"), f"arn:aws:iam::{ID}:role/run"
    ecs.create_cluster(clusterName="blue")
    containers = [{"name": "app", "image": "app:1", "memory": 64}]
    ecs.register_task_definition(family="shop", executionRoleArn=role, containerDefinitions=containers)
    ecs.create_service(cluster="blue", serviceName="web", taskDefinition="shop", desiredCount=1)
    deploy(cloud, "ClusterName=blue", "ServiceName=web")
    content = read_parameters(cloud)
    assert (content["TaskFamily"], content["TaskRoleArns"]) == ("shop", role)
    ecs.register_task_definition(family="blog", containerDefinitions=containers)
    ecs.create_service(cluster="blue", serviceName="journal", taskDefinition="blog", desiredCount=1)
    deploy(cloud, "ServiceName=journal")
    content = read_parameters(cloud)
    assert (content["TaskFamily"], content["TaskRoleArns"]) == ("blog", "")


def test_a_missing_service_is_reported_before_any_change(cloud: Cloud) -> None:
    cloud.get_client("ecs").create_cluster(clusterName="blue")
    for cluster in ("blue", "green"):
        with pytest.raises(NotFoundError, match="web"):
            deploy(cloud, f"ClusterName={cluster}", "ServiceName=web")
    assert list_changes(cloud) == []


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        ("RiskDay=3", "RiskDay"),
        ("RiskDays", "RiskDays"),
        ("PolicyKey=x", "PolicyKey is filled in"),
        ("ArchiveBucket=x", "ArchiveBucket is filled in"),
    ],
)
def test_a_parameter_that_cannot_be_given_is_refused_before_anything_is_asked(
    cloud: Cloud, value: str, messages: str
) -> None:
    with pytest.raises(UsageError, match=messages):
        deploy(cloud, *NETWORK, value)
    assert cloud.formation.called == []


def test_a_name_that_is_nearly_right_is_suggested(cloud: Cloud) -> None:
    with pytest.raises(UsageError) as error:
        deploy(cloud, "RiskDay=3")
    assert str(error.value.advice).startswith("Did you mean RiskDays?")


@pytest.mark.parametrize("name", ["", "1gate", "my_gate", "a" * 41, "-x"])
def test_a_name_that_no_stack_can_have_is_refused(cloud: Cloud, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        aws_stack.deploy_stack(cloud.account, name, "", None, NETWORK, False, print, SOON)
    assert cloud.formation.called == []


def test_every_error_of_a_command_has_an_advice(cloud: Cloud) -> None:
    with pytest.raises(DockgateError) as error:
        deploy(cloud)  # neither network nor actions: CloudFormation's rules refuse it
    assert "A new service needs VpcId." in str(error.value)
    assert error.value.advice
