"""Deploying, looking at and destroying a stack: once, again, after failures, and with what there was before."""

from pathlib import Path
from typing import Any

import pytest
from tests.aws.stack.cloud import ID, REGION, SOON, Cloud

from dockgate import rules
from dockgate.aws.stack.documents import Documents
from dockgate.bootstrap import aws
from dockgate.core.errors import DefinitionError, DeniedError, DeployError, DockgateError, NotFoundError, UsageError
from dockgate.core.policy import of_bytes, policy_bytes
from dockgate.definitions.policy import builtin

NETWORK = ("VpcId=vpc-12345678", "SubnetIds=subnet-12345678")
ALONE = ("CreatePipeline=false", "ApprovalActions=shop/Assess/Gate, blog/Assess/Gate")
DOCUMENTS = f"gate-dockgate-{ID}-{REGION}"
DIGEST = "sha256:" + "1" * 64
CHANGES = ("Create", "Update", "Delete", "Put")


def deploy(
    cloud: Cloud, *given: str, policy: str = "", waivers: Path | None = None, scanning: bool = False, said: Any = None
) -> bool:
    tell = said.append if said is not None else lambda line: None
    return aws.deployed(cloud.account, "gate", policy, waivers, given, scanning, tell, SOON)


def destroy(cloud: Cloud, said: list[str] | None = None) -> None:
    aws.destroyed(cloud.account, "gate", said.append if said is not None else lambda line: None, SOON)


def parameters(cloud: Cloud) -> dict[str, str]:
    return cloud.formation.stacks["gate"].parameters


def changes(cloud: Cloud) -> list[str]:
    """Every call that changes something."""
    return [name for _, name, _ in cloud.formation.called if name.startswith(CHANGES)]


def document(cloud: Cloud, key: str) -> bytes:
    return bytes(cloud.client("s3").get_object(Bucket=DOCUMENTS, Key=key)["Body"].read())


# --- created, unchanged, updated ----------------------------------------------------------------------------------


def test_a_stack_is_created_with_all_that_it_needs(cloud: Cloud) -> None:
    assert deploy(cloud, *NETWORK)
    held = parameters(cloud)
    assert held["ArchiveBucket"] == DOCUMENTS
    assert document(cloud, held["ArchiveKey"])[:2] == b"PK"
    assert of_bytes(document(cloud, held["PolicyKey"])) == builtin("default", rules.load())
    assert held["WaiversKey"] == ""
    closed = cloud.client("s3").get_public_access_block(Bucket=DOCUMENTS)["PublicAccessBlockConfiguration"]
    assert all(closed.values())


def test_deployed_again_it_is_unchanged(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    assert not deploy(cloud)
    assert not deploy(cloud, *NETWORK)


def test_an_update_keeps_what_is_not_given(cloud: Cloud, tmp_path: Path) -> None:
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text("- vulnerability: CVE-2024-0001\n  owner: team\n  reason: not reachable\n  until: 2030-01-01\n")
    deploy(cloud, *ALONE, policy="reference-2022", waivers=waivers)
    before = dict(parameters(cloud))
    assert before["WaiversKey"] != ""
    assert deploy(cloud, "RiskDays=3")
    assert parameters(cloud) == {**before, "RiskDays": "3"}


def test_the_policy_changes_when_another_is_given(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    assert deploy(cloud, policy="reference-2022")
    assert of_bytes(document(cloud, parameters(cloud)["PolicyKey"])).name == "reference-2022"


def test_names_are_turned_into_arns(cloud: Cloud) -> None:
    services = "RunningServices=blue/web,arn:aws:ecs:eu-west-1:123456789012:service/green/web"
    deploy(cloud, *ALONE, services, "ImageRepositories=shop,team/blog")
    head = f"arn:aws:codepipeline:{REGION}:{ID}"
    assert parameters(cloud)["ApprovalActions"] == f"{head}:shop/Assess/Gate,{head}:blog/Assess/Gate"
    head = f"arn:aws:ecs:{REGION}:{ID}:service"
    assert parameters(cloud)["RunningServices"] == f"{head}/blue/web,{head}/green/web"
    head = f"arn:aws:ecr:{REGION}:{ID}:repository"
    assert parameters(cloud)["ImageRepositories"] == f"{head}/shop,{head}/team/blog"


@pytest.mark.parametrize(
    "given",
    [
        "ApprovalActions=shop",
        "ApprovalActions=arn:aws:sns:eu-west-1:1:x/y/z",
        "RunningServices=*/web",
        "ImageRepositories=*",
    ],
)
def test_what_is_no_name_of_an_action_or_a_service_is_refused_before_anything_is_changed(
    cloud: Cloud, given: str
) -> None:
    with pytest.raises(UsageError, match=given.partition("=")[0]):
        deploy(cloud, "CreatePipeline=false", given)
    assert changes(cloud) == []


def test_a_service_that_is_there_is_asked_for_its_family_and_roles(cloud: Cloud) -> None:
    ecs, role = cloud.client("ecs"), f"arn:aws:iam::{ID}:role/run"
    ecs.create_cluster(clusterName="blue")
    containers = [{"name": "app", "image": "app:1", "memory": 64}]
    ecs.register_task_definition(family="shop", executionRoleArn=role, containerDefinitions=containers)
    ecs.create_service(cluster="blue", serviceName="web", taskDefinition="shop", desiredCount=1)
    deploy(cloud, "ClusterName=blue", "ServiceName=web")
    held = parameters(cloud)
    assert (held["TaskFamily"], held["TaskRoleArns"]) == ("shop", role)


def test_a_service_that_is_not_there_is_told_before_anything_is_changed(cloud: Cloud) -> None:
    cloud.client("ecs").create_cluster(clusterName="blue")
    for cluster in ("blue", "green"):
        with pytest.raises(NotFoundError, match="web"):
            deploy(cloud, f"ClusterName={cluster}", "ServiceName=web")
    assert changes(cloud) == []


def test_an_update_leaves_running_what_the_pipeline_deployed(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    ecs, image = cloud.client("ecs"), f"{ID}.dkr.ecr.{REGION}.amazonaws.com/dockgate-app@{DIGEST}"
    containers = [{"name": "app", "image": image, "memory": 64}]
    ecs.register_task_definition(family="gate-service", containerDefinitions=containers)
    ecs.update_service(cluster="gate-cluster", service="gate-service", taskDefinition="gate-service", desiredCount=1)
    assert deploy(cloud, "ContainerPort=9000")
    held = parameters(cloud)
    assert (held["DesiredCount"], held["ServiceImage"]) == ("1", image)
    assert deploy(cloud, "DesiredCount=2")
    assert parameters(cloud)["DesiredCount"] == "2"


# --- what is given is looked at first -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("RiskDay=3", "RiskDay"),
        ("RiskDays", "RiskDays"),
        ("PolicyKey=x", "PolicyKey is filled in"),
        ("ArchiveBucket=x", "ArchiveBucket is filled in"),
    ],
)
def test_a_parameter_that_cannot_be_given_is_refused_before_anything_is_asked(
    cloud: Cloud, given: str, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        deploy(cloud, *NETWORK, given)
    assert cloud.formation.called == []


def test_a_name_that_is_nearly_right_is_suggested(cloud: Cloud) -> None:
    with pytest.raises(UsageError) as refused:
        deploy(cloud, "RiskDay=3")
    assert refused.value.advice.startswith("Was RiskDays meant?")


@pytest.mark.parametrize("name", ["", "1gate", "my_gate", "a" * 41, "-x"])
def test_a_name_that_no_stack_can_have_is_refused(cloud: Cloud, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        aws.deployed(cloud.account, name, "", None, NETWORK, False, print, SOON)
    assert cloud.formation.called == []


BAD = """\
rules:
  max_findings: {critical: many}
"""
NEEDS = """\
rules:
  expression:
    - {name: old, expression: 'finding.severity == "HIGH"'}
"""


def test_a_wrong_policy_file_is_refused_before_anything_is_changed(cloud: Cloud, tmp_path: Path) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text(BAD)
    with pytest.raises(DefinitionError, match="ours"):
        deploy(cloud, *NETWORK, policy=str(file))
    assert changes(cloud) == []


def canonical() -> bytes:
    return policy_bytes(builtin("default", rules.load()))


WRONG = {
    "no JSON": b"rules:\n  max_findings: {}\n",
    "no policy": b"[1]",
    "another rule": b'{"name":"ours","rules":{"max_finding":[{"action":"reject"}]}}',
    "a setting that the rule refuses": b'{"name":"ours","rules":{"image_age":[{"action":"reject","days":"many"}]}}',
    "settings that are not in full": b'{"name":"ours","rules":{"max_findings":[{"action":"reject","critical":0}]}}',
    "an end of line": canonical() + b"\n",
}


@pytest.mark.parametrize("place", ["ssm", "s3"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_document_is_refused_before_anything_is_changed(cloud: Cloud, place: str, name: str) -> None:
    where = put(cloud, place, WRONG[name])
    with pytest.raises(UsageError, match="dockgate/policy") as refused:
        deploy(cloud, *NETWORK, policy=where)
    assert refused.value.advice
    assert changes(cloud) == []


def put(cloud: Cloud, place: str, body: bytes) -> str:
    if place == "ssm":
        cloud.client("ssm").put_parameter(Name="/dockgate/policy", Value=body.decode(), Type="SecureString")
        return "ssm:/dockgate/policy"
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="ours", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="ours", Key="dockgate/policy", Body=body)
    return "s3://ours/dockgate/policy"


def test_a_policy_in_ssm_stays_there_and_one_in_s3_is_copied(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK, policy=put(cloud, "ssm", canonical()))
    assert (parameters(cloud)["PolicyParameter"], parameters(cloud)["PolicyKey"]) == ("/dockgate/policy", "")
    assert not deploy(cloud)
    deploy(cloud, policy=put(cloud, "s3", canonical()))
    held = parameters(cloud)
    assert held["PolicyParameter"] == ""
    assert document(cloud, held["PolicyKey"]) == canonical()


@pytest.mark.parametrize("where", ["ssm:/missing", "s3://missing/key", "ssm:policy", "s3://bucket"])
def test_a_place_without_a_policy_is_refused_before_anything_is_changed(cloud: Cloud, where: str) -> None:
    with pytest.raises((NotFoundError, UsageError)):
        deploy(cloud, *NETWORK, policy=where)
    assert changes(cloud) == []


# --- failures -----------------------------------------------------------------------------------------------------


def test_a_failed_creation_is_told_with_the_resource_and_the_reason(cloud: Cloud) -> None:
    cloud.formation.fails = ("ImageRepository", "Repository already exists")
    with pytest.raises(DeployError) as failed:
        deploy(cloud, *NETWORK)
    assert "ImageRepository (AWS::ECR::Repository): Repository already exists" in str(failed.value)
    assert "cancelled" not in str(failed.value)


def test_after_a_failed_creation_deploying_again_creates(cloud: Cloud) -> None:
    cloud.formation.fails = ("ImageRepository", "Repository already exists")
    with pytest.raises(DeployError):
        deploy(cloud, *NETWORK)
    said: list[str] = []
    assert deploy(cloud, *NETWORK, said=said)
    assert "deleting what is left of gate, which could not be created" in said
    assert cloud.formation.stacks["gate"].state == "CREATE_COMPLETE"


def test_a_failed_update_tells_its_own_reasons_alone(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    for name, reason in (("Table", "the first reason"), ("VerdictBucket", "the second reason")):
        cloud.formation.fails = (name, reason)
        with pytest.raises(DeployError, match=reason) as failed:
            deploy(cloud, "RiskDays=3")
    assert "first" not in str(failed.value)
    assert deploy(cloud, "RiskDays=3")


def test_what_an_interrupted_deploy_began_is_waited_for(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    stack = cloud.formation.stacks["gate"]
    stack.state, stack.moves = "UPDATE_IN_PROGRESS", ["UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]
    said: list[str] = []
    assert deploy(cloud, "RiskDays=3", said=said)
    assert "waiting: gate is UPDATE_IN_PROGRESS" in said


def test_patience_ends(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    cloud.formation.stacks["gate"].state = "UPDATE_IN_PROGRESS"
    with pytest.raises(DeployError, match="still UPDATE_IN_PROGRESS"):
        deploy(cloud, "RiskDays=3")


@pytest.mark.parametrize(
    ("state", "advice"), [("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"), ("DELETE_FAILED", "aws destroy")]
)
def test_a_state_that_only_people_can_mend_is_told(cloud: Cloud, state: str, advice: str) -> None:
    deploy(cloud, *NETWORK)
    cloud.formation.stacks["gate"].state = state
    with pytest.raises(DeployError) as failed:
        deploy(cloud, "RiskDays=3")
    assert advice in failed.value.advice


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
    with pytest.raises(DeniedError) as denied:
        deploy(cloud, *NETWORK, scanning=True)
    assert f"the permission {action};" in denied.value.advice
    assert "docs/aws.md" in denied.value.advice
    cloud.formation.denied = set()
    assert deploy(cloud, *NETWORK, scanning=True)


# --- status -------------------------------------------------------------------------------------------------------


def test_status_tells_what_waits_and_what_failed(cloud: Cloud) -> None:
    deploy(cloud, *ALONE)
    item = {"digest": {"S": DIGEST}, "half": {"S": "approval#1"}, "state": {"S": "WAITING"}, "asked": {"N": "1"}}
    cloud.client("dynamodb").put_item(TableName="approvals", Item=item)
    url = cloud.client("sqs").get_queue_url(QueueName="failures")["QueueUrl"]
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="{}")
    found = aws.state(cloud.account, "gate")
    assert (found.state, found.waiting, found.failures, found.scanning) == ("CREATE_COMPLETE", 1, 1, "BASIC")
    assert found.stages == {}
    assert found.outputs["TableName"] == "approvals"


def test_status_of_a_whole_stack_tells_how_its_pipeline_stands(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    stages = aws.state(cloud.account, "gate").stages
    assert list(stages) == ["Source", "Build", "ContainerVulnerabilityAssessment", "Deploy"]
    assert (stages["Source"], stages["Build"]) == ("Succeeded", "never ran")


def test_status_of_no_stack(cloud: Cloud) -> None:
    with pytest.raises(NotFoundError, match="no stack 'gate' in eu-west-1"):
        aws.state(cloud.account, "gate")


# --- destroy ------------------------------------------------------------------------------------------------------


def fill(cloud: Cloud) -> str:
    """A version, a deletion mark and an image; returns the bucket of verdicts."""
    (bucket,) = (name for kind, name in cloud.formation.stacks["gate"].physical.values() if "verdictbucket" in name)
    s3 = cloud.client("s3")
    for body in (b"1", b"2"):
        s3.put_object(Bucket=bucket, Key="verdicts/1.json", Body=body)
    s3.delete_object(Bucket=bucket, Key="verdicts/1.json")
    manifest = '{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "layers": []}'
    for tag in ("1", "2"):
        cloud.client("ecr").put_image(repositoryName="dockgate-app", imageManifest=manifest, imageTag=tag)
    return bucket


def test_destroy_empties_first_and_leaves_nothing(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    bucket = fill(cloud)
    held = aws.contents(cloud.account, "gate")
    assert f"bucket {bucket} with all that is in it" in held
    assert "image repository dockgate-app with all its images" in held
    assert "source repository gate-SourceRepository with all its commits" in held
    destroy(cloud)
    assert cloud.formation.stacks == {}
    assert cloud.client("s3").list_buckets()["Buckets"] == []
    assert cloud.client("ecr").describe_repositories()["repositories"] == []


def test_the_fake_refuses_to_delete_what_is_not_empty(cloud: Cloud) -> None:
    """The control of the test above."""
    deploy(cloud, *NETWORK)
    fill(cloud)
    cloud.formation.delete_stack({"StackName": "gate"})
    assert cloud.formation.stacks["gate"].moves[-1] == "DELETE_FAILED"
    assert len(cloud.formation.stacks["gate"].physical) == 2


def test_destroyed_twice_there_is_nothing(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    destroy(cloud)
    assert aws.contents(cloud.account, "gate") == []
    destroy(cloud)


def test_destroying_what_could_not_be_created(cloud: Cloud) -> None:
    cloud.formation.fails = ("ImageRepository", "Repository already exists")
    with pytest.raises(DeployError):
        deploy(cloud, *NETWORK)
    destroy(cloud)
    assert aws.contents(cloud.account, "gate") == []


def test_an_interrupted_destroy_is_ended_by_the_next(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK, scanning=True)
    cloud.formation.denied = {"DeleteBucket"}
    with pytest.raises(DeniedError, match="DeleteBucket"):
        destroy(cloud)
    assert aws.contents(cloud.account, "gate") == [f"bucket {DOCUMENTS} with archives, policies and waivers"]
    cloud.formation.denied = set()
    destroy(cloud)
    assert aws.contents(cloud.account, "gate") == []


def test_what_is_written_while_the_stack_goes_is_emptied_again(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    bucket = fill(cloud)
    written = []

    def tell(line: str) -> None:
        if line == "deleting the stack gate" and not written:
            written.append(cloud.client("s3").put_object(Bucket=bucket, Key="late", Body=b""))

    aws.destroyed(cloud.account, "gate", tell, SOON)
    assert written
    assert cloud.formation.stacks == {}


# --- the registry's scanning --------------------------------------------------------------------------------------

ALL = [{"filter": "*", "filterType": "WILDCARD"}]
BEFORE = {
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


def scanned(cloud: Cloud) -> Any:
    return cloud.client("ecr").get_registry_scanning_configuration()["scanningConfiguration"]


@pytest.mark.parametrize("before", BEFORE)
def test_the_registrys_scanning_is_put_back_exactly(cloud: Cloud, before: str) -> None:
    cloud.client("ecr").put_registry_scanning_configuration(**BEFORE[before])
    deploy(cloud, *NETWORK, scanning=True)
    deploy(cloud, "RiskDays=3", scanning=True)
    changed = scanned(cloud)
    assert changed["scanType"] == "ENHANCED"
    ours = {"filter": "dockgate-app", "filterType": "WILDCARD"}
    (continual,) = (rule for rule in changed["rules"] if rule["scanFrequency"] == "CONTINUOUS_SCAN")
    assert continual["repositoryFilters"].count(ours) == 1
    if before == "enhanced, others":
        assert {"filter": "shop", "filterType": "WILDCARD"} in continual["repositoryFilters"]
        assert len(changed["rules"]) == 2
    destroy(cloud)
    assert scanned(cloud) == BEFORE[before]


def test_the_registrys_scanning_is_left_alone_unless_asked(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK)
    destroy(cloud)
    assert "PutRegistryScanningConfiguration" not in cloud.operations()


def test_what_others_made_of_it_since_is_not_undone(cloud: Cloud) -> None:
    deploy(cloud, *NETWORK, scanning=True)
    theirs = BEFORE["enhanced, others"]
    cloud.client("ecr").put_registry_scanning_configuration(**theirs)
    said: list[str] = []
    destroy(cloud, said)
    assert scanned(cloud) == theirs
    assert any("changed by others" in line and "BASIC" in line for line in said)


# --- names --------------------------------------------------------------------------------------------------------


def test_stacks_whose_names_differ_in_case_do_not_share_a_bucket(cloud: Cloud) -> None:
    buckets = {Documents(cloud.account, name).bucket for name in ("Shop", "shop", "a" * 40, "a" * 39 + "b")}
    assert len(buckets) == 4
    assert all(len(name) <= 63 and name == name.lower() for name in buckets)


def test_every_error_of_a_command_has_an_advice(cloud: Cloud) -> None:
    with pytest.raises(DockgateError) as refused:
        deploy(cloud)  # neither network nor actions: CloudFormation's rules refuse it
    assert "A new service needs VpcId." in str(refused.value)
    assert refused.value.advice
