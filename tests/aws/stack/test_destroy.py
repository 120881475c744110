"""Destroying a stack: all that is in it goes, and the registry's scanning is put back."""

from typing import Any

import pytest
from tests.aws.stack.cloud import Cloud
from tests.aws.stack.deploying import ALONE, DOCUMENTS, NETWORK, deploy, destroy

from dockgate.aws.stack.destroy import list_contents
from dockgate.shared.errors import DeniedError, DeployError


def fill(cloud: Cloud) -> str:
    """A version, a deletion mark and an image; returns the bucket of verdicts."""
    (bucket,) = (name for kind, name in cloud.formation.stacks["gate"].physical.values() if "verdictbucket" in name)
    s3 = cloud.get_client("s3")
    for body in (b"1", b"2"):
        s3.put_object(Bucket=bucket, Key="verdicts/1.json", Body=body)
    s3.delete_object(Bucket=bucket, Key="verdicts/1.json")
    manifest = '{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "layers": []}'
    for tag in ("1", "2"):
        cloud.get_client("ecr").put_image(repositoryName="dockgate-app", imageManifest=manifest, imageTag=tag)
    return bucket


def test_destroy_empties_first_and_leaves_nothing(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    bucket = fill(cloud)
    content = list_contents(cloud.account, "gate")
    assert f"bucket {bucket} with all that is in it" in content
    assert "image repository dockgate-app with all its images" in content
    assert "source repository container-components with all its commits" in content
    destroy(cloud)
    assert cloud.formation.stacks == {}
    assert cloud.get_client("s3").list_buckets()["Buckets"] == []
    assert cloud.get_client("ecr").describe_repositories()["repositories"] == []


def test_data_outlives_a_stack_that_is_deleted_without_dockgate(cloud: Cloud) -> None:
    """By the template's DeletionPolicy. Also the control of the test above: the fake retains what the policy says."""
    deploy(cloud, *NETWORK)
    bucket = fill(cloud)
    cloud.formation.delete_stack({"StackName": "gate"})
    assert cloud.formation.stacks["gate"].moves[-1] == "DELETE_COMPLETE"
    assert cloud.get_client("s3").list_object_versions(Bucket=bucket)["Versions"]
    assert len(cloud.get_client("ecr").list_images(repositoryName="dockgate-app")["imageIds"]) == 2
    assert list(cloud.formation.sources.values()) == ["container-components"]


def test_destroy_can_be_repeated(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    destroy(cloud)
    assert list_contents(cloud.account, "gate") == []
    destroy(cloud)


def test_destroy_deletes_a_stack_that_could_not_be_created(cloud: Cloud) -> None:
    cloud.formation.fails = ("ImageRepository", "Repository already exists")
    with pytest.raises(DeployError):
        deploy(cloud, *NETWORK)
    destroy(cloud)
    assert list_contents(cloud.account, "gate") == []


def test_the_next_destroy_completes_an_interrupted_one(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK, scanning=True)
    cloud.formation.denied = {"DeleteStack"}
    with pytest.raises(DeniedError, match="DeleteStack"):
        destroy(cloud)
    content = list_contents(cloud.account, "gate")
    assert content[0] == "stack gate"
    assert content[-1] == f"bucket {DOCUMENTS} with archives, policies and waivers"
    cloud.formation.denied = set()
    destroy(cloud)
    assert list_contents(cloud.account, "gate") == []


def test_a_bucket_that_is_written_to_while_it_is_deleted_is_emptied_again(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    bucket = fill(cloud)
    written_keys = []
    cloud.formation.before["DeleteBucket"] = lambda: written_keys.append(
        cloud.get_client("s3").put_object(Bucket=bucket, Key="late", Body=b"")
    )
    destroy(cloud)
    assert written_keys
    assert cloud.formation.stacks == {}
    assert cloud.get_client("s3").list_buckets()["Buckets"] == []


def test_resources_that_an_update_retained_are_shown_and_deleted_with_the_stack(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    bucket = fill(cloud)
    deploy(cloud, *ALONE, confirm=lambda losses: None)
    content = list_contents(cloud.account, "gate")
    for line in ("image repository dockgate-app with all its images", "source repository container-components with"):
        assert any(item.startswith(line) for item in content), content
    destroy(cloud)
    assert bucket not in [item["Name"] for item in cloud.get_client("s3").list_buckets()["Buckets"]]
    assert cloud.get_client("s3").list_buckets()["Buckets"] == []
    assert cloud.get_client("ecr").describe_repositories()["repositories"] == []
    assert cloud.formation.sources == {}


def test_destroy_finds_resources_that_outlived_the_stack(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    bucket = fill(cloud)
    del cloud.formation.stacks["gate"]  # in the console
    content = list_contents(cloud.account, "gate")
    assert f"bucket {bucket} with all that is in it" in content
    assert "stack gate" not in content
    destroy(cloud)
    assert cloud.get_client("s3").list_buckets()["Buckets"] == []
    assert cloud.get_client("ecr").describe_repositories()["repositories"] == []
    assert cloud.formation.sources == {}


def test_another_repository_that_has_the_name_since_is_left_alone(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    deploy(cloud, *ALONE, confirm=lambda losses: None)
    ecr = cloud.get_client("ecr")
    ecr.delete_repository(repositoryName="dockgate-app", force=True)
    ecr.create_repository(repositoryName="dockgate-app")
    assert not any("dockgate-app" in line for line in list_contents(cloud.account, "gate"))
    destroy(cloud)
    assert [repository["repositoryName"] for repository in ecr.describe_repositories()["repositories"]] == [
        "dockgate-app"
    ]


def test_a_repository_that_stood_in_the_way_of_the_stack_is_left_alone(cloud: Cloud) -> None:
    """CloudFormation lists what it could not create, under the name of a foreign resource."""
    ecr = cloud.get_client("ecr")
    ecr.create_repository(repositoryName="dockgate-app")
    cloud.formation.fails = ("ImageRepository", "Repository already exists")
    with pytest.raises(DeployError):
        deploy(cloud, *NETWORK)
    assert not any("dockgate-app" in line for line in list_contents(cloud.account, "gate"))
    destroy(cloud)
    assert [repository["repositoryName"] for repository in ecr.describe_repositories()["repositories"]] == [
        "dockgate-app"
    ]


# --- the registry's scanning --------------------------------------------------------------------------------------


ALL = [{"filter": "*", "filterType": "WILDCARD"}]
BEFORE: dict[str, dict[str, Any]] = {
    "basic": {"scanType": "BASIC", "rules": []},
    "basic, at each push": {
        "scanType": "BASIC",
        "rules": [{"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": ALL}],
    },
    "enhanced, others": {
        "scanType": "ENHANCED",
        "rules": [
            {"scanFrequency": "CONTINUOUS_SCAN", "repositoryFilters": [{"filter": "shop", "filterType": "WILDCARD"}]},
            {"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": ALL},
        ],
    },
}


def get_scanning_configuration(cloud: Cloud) -> Any:
    return cloud.get_client("ecr").get_registry_scanning_configuration()["scanningConfiguration"]


@pytest.mark.parametrize("before", BEFORE)
def test_destroy_restores_the_registrys_scanning_configuration(cloud: Cloud, before: str) -> None:
    cloud.get_client("ecr").put_registry_scanning_configuration(**BEFORE[before])
    deploy(cloud, *NETWORK, scanning=True)
    deploy(cloud, "RiskDays=3", scanning=True)
    changed_configuration = get_scanning_configuration(cloud)
    assert changed_configuration["scanType"] == "ENHANCED"
    own_filter = {"filter": "dockgate-app", "filterType": "WILDCARD"}
    (continual,) = (rule for rule in changed_configuration["rules"] if rule["scanFrequency"] == "CONTINUOUS_SCAN")
    assert continual["repositoryFilters"].count(own_filter) == 1
    if before == "enhanced, others":
        assert {"filter": "shop", "filterType": "WILDCARD"} in continual["repositoryFilters"]
        assert len(changed_configuration["rules"]) == 2
    destroy(cloud)
    assert get_scanning_configuration(cloud) == BEFORE[before]


def test_the_registrys_scanning_is_left_alone_unless_asked(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    destroy(cloud)
    assert "PutRegistryScanningConfiguration" not in cloud.list_operations()


def test_a_scanning_configuration_that_others_changed_is_not_restored(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK, scanning=True)
    foreign_configuration = BEFORE["enhanced, others"]
    cloud.get_client("ecr").put_registry_scanning_configuration(**foreign_configuration)
    output: list[str] = []
    destroy(cloud, output)
    assert get_scanning_configuration(cloud) == foreign_configuration
    assert any("changed by others" in line and "BASIC" in line for line in output)


def test_changes_by_others_become_the_earlier_configuration_at_the_next_change(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK, scanning=True)
    changed_configuration = get_scanning_configuration(cloud)
    changed_configuration["rules"][0]["repositoryFilters"].append({"filter": "shop", "filterType": "WILDCARD"})
    cloud.get_client("ecr").put_registry_scanning_configuration(**changed_configuration)
    deploy(cloud, "ImageRepositoryName=other", scanning=True, confirm=lambda losses: None)
    assert len(get_scanning_configuration(cloud)["rules"][0]["repositoryFilters"]) == 3
    destroy(cloud)
    assert get_scanning_configuration(cloud) == changed_configuration


def test_the_pause_of_basic_scanning_is_reported(cloud: Cloud) -> None:
    cloud.get_client("ecr").put_registry_scanning_configuration(**BEFORE["basic, at each push"])
    output: list[str] = []
    deploy(cloud, *NETWORK, scanning=True, output=output)
    deploy(cloud, "RiskDays=3", scanning=True, output=output)
    assert [line.partition(";")[0] for line in output if "Inspector" in line] == ["Inspector scans dockgate-app"] * 2
    assert ["basic scanning is off" in line for line in output if "Inspector" in line] == [True, False]
