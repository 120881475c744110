"""What the template stores: over TLS alone, under whose key, for how long, and with access on record."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.aws.stack.cloud import Cloud
from tests.aws.stack.cloudformation import MODES, Stack, parse_own_template
from tests.aws.stack.deploying import ALONE, DOCUMENTS, deploy
from tests.aws.stack.stack_state import ID
from tests.aws.stack.test_template_permissions import as_list, iterate_statements

KEY = "arn:aws:kms:eu-west-1:123456789012:key/0123abcd-0000-4000-8000-000000000000"
ROOT = Path(__file__).parents[3]

# Where each type names a key of the customer's, below its properties.
KEYS = {
    "AWS::CodeBuild::Project": ("EncryptionKey",),
    "AWS::CodeCommit::Repository": ("KmsKeyId",),
    "AWS::CodePipeline::Pipeline": ("ArtifactStore", "EncryptionKey", "Id"),
    "AWS::DynamoDB::Table": ("SSESpecification", "KMSMasterKeyId"),
    "AWS::ECR::Repository": ("EncryptionConfiguration", "KmsKey"),
    "AWS::Logs::LogGroup": ("KmsKeyId",),
    "AWS::S3::Bucket": (
        *("BucketEncryption", "ServerSideEncryptionConfiguration", "0"),
        *("ServerSideEncryptionByDefault", "KMSMasterKeyID"),
    ),
    "AWS::SNS::Topic": ("KmsMasterKeyId",),
    "AWS::SQS::Queue": ("KmsMasterKeyId",),
}
WITHOUT_DATA = {
    *("AWS::CloudWatch::Alarm", "AWS::EC2::SecurityGroup", "AWS::ECS::Cluster", "AWS::ECS::Service"),
    *("AWS::ECS::TaskDefinition", "AWS::Events::Rule", "AWS::IAM::ManagedPolicy", "AWS::IAM::Role"),
    *("AWS::Lambda::Function", "AWS::Lambda::Permission", "AWS::S3::BucketPolicy", "AWS::SNS::Subscription"),
    *("AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy", "AWS::Lambda::EventSourceMapping"),
}
"""types that store nothing; a function's variables are names and figures"""
POLICIES = {
    "AWS::S3::Bucket": ("AWS::S3::BucketPolicy", "Bucket", "s3:*"),
    "AWS::SNS::Topic": ("AWS::SNS::TopicPolicy", "Topics", "sns:Publish"),
    "AWS::SQS::Queue": ("AWS::SQS::QueuePolicy", "Queues", "sqs:*"),
}


def make_encrypted_stack(mode: str) -> Stack:
    return Stack({**MODES[mode], "KmsKeyArn": KEY})


def get_property(properties: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        properties = properties[int(key)] if key.isdigit() else properties.get(key, {})
    return properties or None


def test_buckets_topics_and_queues_require_tls(stack: Stack) -> None:
    for kind, (policy_kind, field, action) in POLICIES.items():
        closed_resources = {
            name.removeprefix("ref:")
            for policy in stack.select_resources(policy_kind).values()
            for name in as_list(policy[field])
            for item in policy["PolicyDocument"]["Statement"]
            if item["Effect"] == "Deny"
            and item["Principal"] == "*"
            and item["Action"] == action
            and item["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            and any(name.removeprefix("ref:") in resource for resource in as_list(item["Resource"]))
        }
        assert closed_resources == set(stack.select_resources(kind)), kind


@pytest.mark.parametrize("mode", MODES)
def test_a_key_of_the_customers_encrypts_all_that_is_stored(mode: str) -> None:
    """S3 delivers access logs into no bucket with such a key."""
    stack = make_encrypted_stack(mode)
    for name, item in stack.resources.items():
        if item["Type"] in KEYS and name != "LogBucket":
            assert get_property(item["Properties"], KEYS[item["Type"]]) == KEY, name
    assert {resource["Type"] for resource in stack.resources.values()} <= set(KEYS) | WITHOUT_DATA


def test_without_a_key_everything_is_encrypted_by_aws(stack: Stack) -> None:
    assert KEY not in str(stack.resources)
    for name, item in stack.resources.items():
        assert item["Type"] not in KEYS or get_property(item["Properties"], KEYS[item["Type"]]) is None, name
    for name, queue in stack.select_resources("AWS::SQS::Queue").items():
        assert queue["SqsManagedSseEnabled"] is True, name


@pytest.mark.parametrize("mode", MODES)
def test_readers_and_writers_may_use_the_key(mode: str) -> None:
    """Every role of the stack that a service assumes to touch data; the others only start or pull."""
    users = {
        owner
        for owner, statement in iterate_statements(make_encrypted_stack(mode))
        if statement["Resource"] == KEY and set(statement["Action"]) >= {"kms:Decrypt", "kms:GenerateDataKey"}
    }
    assert users == {"GatePolicy", *({"BuildRole", "PipelineRole"} & set(make_encrypted_stack(mode).resources))}


def test_every_bucket_deletes_old_versions(stack: Stack) -> None:
    for name, bucket in stack.select_resources("AWS::S3::Bucket").items():
        rules = bucket["LifecycleConfiguration"]["Rules"]
        assert all(rule["Status"] == "Enabled" for rule in rules)
        assert len({rule["Id"] for rule in rules}) == len(rules)
        assert name == "VerdictBucket" or any("ExpirationInDays" in rule for rule in rules), name


def test_verdicts_are_kept_for_good_unless_an_end_is_given() -> None:
    def list_expiration_rules(**value: str) -> list[dict[str, Any]]:
        bucket = Stack({**MODES["whole"], **value}).select_resources("AWS::S3::Bucket")["VerdictBucket"]
        return [rule for rule in bucket["LifecycleConfiguration"]["Rules"] if "xpiration" in str(rule)]

    assert list_expiration_rules() == []
    (rule,) = list_expiration_rules(VerdictRetentionDays="400")
    assert (rule["ExpirationInDays"], rule["NoncurrentVersionExpiration"]) == ("400", {"NoncurrentDays": "400"})


def test_the_newest_images_stay_in_the_repository() -> None:
    (repository,) = Stack({**MODES["whole"], "ImagesKept": "7"}).select_resources("AWS::ECR::Repository").values()
    rules = json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
    untagged_rule, other_rules = (rule["selection"] for rule in rules)
    assert (untagged_rule["tagStatus"], untagged_rule["countType"]) == ("untagged", "sinceImagePushed")
    assert (other_rules["tagStatus"], other_rules["countType"], other_rules["countNumber"]) == (
        "any",
        "imageCountMoreThan",
        7,
    )
    assert [rule["rulePriority"] for rule in rules] == [1, 2]  # ECR wants the rule for any tag last
    assert int(parse_own_template()["Parameters"]["ImagesKept"]["Default"]) == 1000


def test_access_to_every_bucket_is_logged_where_s3_may_write(stack: Stack) -> None:
    buckets = stack.select_resources("AWS::S3::Bucket")
    prefixes = [item["LoggingConfiguration"]["LogFilePrefix"] for name, item in buckets.items() if name != "LogBucket"]
    assert len(set(prefixes)) == len(prefixes) == len(buckets) - 1
    for name, bucket in buckets.items():
        if name != "LogBucket":
            assert bucket["LoggingConfiguration"]["DestinationBucketName"] == "ref:LogBucket"
            assert stack.resources[name]["DependsOn"] == "LogBucketPolicy"
    (log_statement,) = [
        item
        for item in stack.select_resources("AWS::S3::BucketPolicy")["LogBucketPolicy"]["PolicyDocument"]["Statement"]
        if item["Effect"] == "Allow"
    ]
    assert log_statement["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert log_statement["Condition"] == {"StringEquals": {"aws:SourceAccount": ID}}
    encryption = buckets["LogBucket"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption == [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]


def test_resource_policies_grant_rights_to_services_only(stack: Stack) -> None:
    """Each is limited to this account or to a resource of the stack."""
    for kind, _, _ in POLICIES.values():
        for name, policy in stack.select_resources(kind).items():
            for item in policy["PolicyDocument"]["Statement"]:
                if item["Effect"] == "Allow":
                    assert set(item["Principal"]) == {"Service"}, name
                    assert set(item["Condition"]) <= {"StringEquals", "ArnEquals"}, name


def test_the_bucket_beside_the_stack_is_closed_and_logged_too(cloud: Cloud) -> None:
    deploy(cloud, *ALONE)
    settings = cloud.formation.settings
    (statement,) = json.loads(settings[DOCUMENTS, "PutBucketPolicy"]["Policy"])["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert statement["Resource"] == [f"arn:aws:s3:::{DOCUMENTS}", f"arn:aws:s3:::{DOCUMENTS}/*"]
    logging = settings[DOCUMENTS, "PutBucketLogging"]
    logs = cloud.formation.stacks["gate"].outputs["LogBucketName"]
    log_target = logging["BucketLoggingStatus"]["LoggingEnabled"]
    assert log_target == {"TargetBucket": logs, "TargetPrefix": "documents/"}
    assert logging["ExpectedBucketOwner"] == ID


def test_the_page_gives_a_key_policy_for_the_services_that_encrypt_by_themselves() -> None:
    page = (ROOT / "docs" / "how-to" / "aws.md").read_text()
    for service in ("cloudwatch", "events", "sns", "logs.REGION"):
        assert f"{service}.amazonaws.com" in page, service
