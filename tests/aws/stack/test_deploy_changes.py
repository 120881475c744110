"""What an update would remove or replace is shown before it is made, and what holds data stays in the account."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.aws.stack.cloud import Cloud
from tests.aws.stack.deploying import ALONE, DIGEST, DOCUMENTS, NETWORK, deploy, read_parameters
from tests.aws.stack.stack_state import ID, REGION

from dockgate.aws.stack.account import Account
from dockgate.aws.stack.change_set import Loss, create_change_set
from dockgate.aws.stack.cloudformation import Patience
from dockgate.shared.errors import DeniedError, DeployError, UsageError

CONNECTION = (
    "SourceType=Connection",
    "ConnectionArn=arn:aws:codeconnections:eu-west-1:123456789012:connection/1",
    "FullRepositoryId=team/app",
)


class Declined(Exception):  # noqa: N818 - an answer, not a fault
    pass


class Person:
    def __init__(self, agrees: bool) -> None:
        self.agrees = agrees
        self.confirmations: list[list[str]] = []

    def __call__(self, losses: Sequence[str]) -> None:
        self.confirmations.append(list(losses))
        if not self.agrees:
            raise Declined


def test_an_update_without_losses_asks_for_no_confirmation(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    person = Person(agrees=False)
    assert deploy(cloud, "RiskDays=3", confirm=person)
    assert person.confirmations == []
    assert cloud.formation.stacks["gate"].change_sets == {}


def test_a_source_that_is_taken_out_of_the_stack_is_shown_and_keeps_its_commits(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    ((key, name),) = cloud.formation.sources.items()
    person = Person(agrees=True)
    assert deploy(cloud, *CONNECTION, confirm=person)
    (losses,) = person.confirmations
    stored_line = (
        f"SourceRepository (AWS::CodeCommit::Repository {key}): removed; stays in the account, outside the stack"
    )
    assert stored_line in losses
    assert "CommitRole (AWS::IAM::Role gate-CommitRole): removed; deleted" in losses
    assert cloud.formation.sources == {key: name}


def test_an_image_repository_of_another_name_leaves_the_images_of_the_first(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    person = Person(agrees=True)
    assert deploy(cloud, "ImageRepositoryName=other", confirm=person)
    (losses,) = person.confirmations
    stored_line = "ImageRepository (AWS::ECR::Repository dockgate-app): replaced; the old one stays in the account"
    assert [line for line in losses if "ECR::" in line] == [stored_line]
    names = {
        repository["repositoryName"] for repository in cloud.get_client("ecr").describe_repositories()["repositories"]
    }
    assert names == {"dockgate-app", "other"}


def test_a_declined_update_changes_nothing(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    before = dict(read_parameters(cloud))
    scanning = cloud.get_client("ecr").get_registry_scanning_configuration()["scanningConfiguration"]
    for value in (ALONE, CONNECTION, ("ImageRepositoryName=other",)):
        with pytest.raises(Declined):
            deploy(cloud, *value, scanning=True, confirm=Person(agrees=False))
    assert read_parameters(cloud) == before
    assert "ExecuteChangeSet" not in cloud.list_operations()
    assert cloud.formation.stacks["gate"].change_sets == {}
    assert cloud.get_client("ecr").get_registry_scanning_configuration()["scanningConfiguration"] == scanning


def test_a_caller_that_cannot_ask_is_refused(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    with pytest.raises(UsageError, match="SourceRepository") as error:
        deploy(cloud, *CONNECTION)
    assert "--yes" in str(error.value.advice)


def test_a_new_image_replaces_the_task_definition_without_a_question(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    ecs, image = cloud.get_client("ecs"), f"{ID}.dkr.ecr.{REGION}.amazonaws.com/dockgate-app@{DIGEST}"
    containers = [{"name": "app", "image": image, "memory": 64}]
    ecs.register_task_definition(family="gate-service", containerDefinitions=containers)
    ecs.update_service(cluster="gate-cluster", service="gate-service", taskDefinition="gate-service")
    person = Person(agrees=False)
    assert deploy(cloud, confirm=person)
    assert read_parameters(cloud)["ServiceImage"] == image
    assert person.confirmations == []


def test_resources_with_data_are_recorded_outside_the_stack(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    for _ in range(2):
        deploy(cloud, *ALONE, confirm=Person(agrees=True))
    rows = json.loads(cloud.get_client("s3").get_object(Bucket=DOCUMENTS, Key="data.json")["Body"].read())
    assert (
        sorted(row["kind"] for row in rows)
        == ["AWS::CodeCommit::Repository", "AWS::ECR::Repository"] + ["AWS::S3::Bucket"] * 3
    )


def test_a_denied_change_set_changes_nothing(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    for operation in ("CreateChangeSet", "DescribeChangeSet"):
        cloud.formation.denied = {operation}
        with pytest.raises(DeniedError, match=operation):
            deploy(cloud, "RiskDays=3")
    assert read_parameters(cloud)["RiskDays"] == "14"
    cloud.formation.denied = set()
    assert deploy(cloud, "RiskDays=3")


# --- answers of CloudFormation that the fake above does not give ------------------------------------------------------


class Formation:
    """`pages` are one description, page by page."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages = pages
        self.deletion_count = 0

    def create_change_set(self, **request: Any) -> dict[str, str]:
        return {"Id": "arn:aws:cloudformation:eu-west-1:1:changeSet/x/1"}

    def get_paginator(self, name: str) -> "Formation":
        return self

    def paginate(self, **request: Any) -> tuple[dict[str, Any], ...]:
        return self.pages

    def delete_change_set(self, **request: Any) -> None:
        self.deletion_count += 1


def list_losses(formation: Formation) -> tuple[Loss, ...]:
    account = Account(client=lambda name: formation)
    result = create_change_set(account, "gate", "https://s3/template", [], Patience(seconds=0, times=3))
    assert result is not None
    return result.losses


def make_change(**change: str) -> dict[str, Any]:
    messages = {
        "LogicalResourceId": "Table",
        "ResourceType": "AWS::DynamoDB::Table",
        "PhysicalResourceId": "t",
        **change,
    }
    return {"Type": "Resource", "ResourceChange": messages}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"Action": "Modify", "Replacement": "Conditional"}, "perhaps replaced; the old one is deleted"),
        ({"Action": "Dynamic"}, "perhaps replaced; the old one is deleted"),
        ({"Action": "Modify"}, "perhaps replaced; the old one is deleted"),
        ({"Action": "Remove"}, "removed; deleted"),
        ({"Action": "Remove", "ResourceType": "AWS::SNS::Subscription"}, "removed; deleted"),
        ({"Action": "Modify", "Replacement": "True", "PolicyAction": "ReplaceAndSnapshot"}, "replaced; the old one is"),
        ({"Action": "Later"}, "perhaps replaced"),
    ],
)
def test_an_uncertain_change_counts_as_a_loss(change: dict[str, str], line: str) -> None:
    page = {"Status": "CREATE_COMPLETE", "Changes": [make_change(**change)]}
    (loss,) = list_losses(Formation(page))
    assert line in str(loss)


@pytest.mark.parametrize(
    "change",
    [
        {"Action": "Add"},
        {"Action": "Import"},
        {"Action": "SyncWithActual"},
        {"Action": "Modify", "Replacement": "False"},
        {"Action": "Modify", "Replacement": "Conditional", "ResourceType": "AWS::Lambda::Permission"},
    ],
)
def test_a_change_without_loss_is_not_listed(change: dict[str, str]) -> None:
    assert list_losses(Formation({"Status": "CREATE_COMPLETE", "Changes": [make_change(**change)]})) == ()


def test_every_page_of_a_change_set_is_read() -> None:
    pages = [{"Status": "CREATE_COMPLETE", "Changes": [make_change(Action="Remove")]} for _ in range(3)]
    assert len(list_losses(Formation(*pages))) == 3


def test_a_failed_change_set_is_reported_and_deleted() -> None:
    formation = Formation({"Status": "FAILED", "StatusReason": "Transform is not allowed", "Changes": []})
    with pytest.raises(DeployError, match="Transform is not allowed"):
        list_losses(formation)
    assert formation.deletion_count == 1


def test_a_change_set_that_is_never_ready_is_reported_and_deleted() -> None:
    formation = Formation({"Status": "CREATE_IN_PROGRESS"})
    with pytest.raises(DeployError, match="did not finish the change set"):
        list_losses(formation)
    assert formation.deletion_count == 1
