"""What cfn-lint misses of the template, in every way in which it may be deployed; and that cfn-lint is content."""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cfnlint
import pytest
import yaml
from tests.aws.stack.cloudformation import MODES, Stack, ours, walk

from dockgate.aws.functions.settings import from_environment
from dockgate.aws.stack import parameters

ROOT = Path(__file__).parents[3]
TEMPLATE = ROOT / "src" / "dockgate" / "aws" / "stack" / "template.yaml"

WILDCARDS = {
    "ecr:GetAuthorizationToken": "it is for the whole registry",
    "ecs:DescribeTaskDefinition": "AWS knows no resource type for it",
    "ecs:ListTasks": "it knows container instances alone; held to the cluster by a condition",
    "inspector2:BatchGetFindingDetails": "AWS knows no resource type for it",
    "inspector2:ListCoverage": "AWS knows no resource type for it",
    "inspector2:ListFindings": "AWS knows no resource type for it",
}
"""the actions that are allowed on every resource, each with the reason; docs/aws.md has the same table"""

# Category, owner, provider and the keys that its configuration has to have, and may have (CodePipeline's user guide,
# "Action structure reference").
ACTIONS = {
    ("Source", "AWS", "CodeCommit"): (
        {"RepositoryName", "BranchName"},
        {"PollForSourceChanges", "OutputArtifactFormat"},
    ),
    ("Source", "AWS", "CodeStarSourceConnection"): (
        {"ConnectionArn", "FullRepositoryId", "BranchName"},
        {"DetectChanges", "OutputArtifactFormat"},
    ),
    ("Build", "AWS", "CodeBuild"): ({"ProjectName"}, {"PrimarySource", "EnvironmentVariables", "BatchEnabled"}),
    ("Approval", "AWS", "Manual"): (set(), {"NotificationArn", "CustomData", "ExternalEntityLink"}),
    ("Deploy", "AWS", "ECS"): ({"ClusterName", "ServiceName"}, {"FileName", "DeploymentTimeout"}),
}
STAGES = ["Source", "Build", "ContainerVulnerabilityAssessment", "Deploy"]


@pytest.fixture(params=MODES)
def stack(request: pytest.FixtureRequest) -> Stack:
    """Resolving it alone shows that nothing refers to what is not there in this mode."""
    return Stack(MODES[request.param])


def statements(stack: Stack) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement that allows something to a role of the stack."""
    for kind in ("AWS::IAM::ManagedPolicy", "AWS::IAM::Role"):
        for name, properties in stack.of(kind).items():
            documents = [one["PolicyDocument"] for one in properties.get("Policies", [])]
            documents += [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
            for document in documents:
                yield from ((name, statement) for statement in document["Statement"])


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_cfn_lint_is_content() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "from cfnlint.runner import main; main()", "--format", "json", str(TEMPLATE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(ran.stdout or "[]") == [], ran.stdout
    assert ran.returncode == 0


def test_a_resource_of_another_mode_that_is_referred_to_is_found() -> None:
    """The control of all tests here that resolve the template."""
    broken = {**ours(), "Outputs": {"Url": {"Value": {"Fn::GetAtt": ["ImageRepository", "RepositoryUri"]}}}}
    Stack(MODES["whole"], broken)
    with pytest.raises(LookupError, match="ImageRepository"):
        Stack(MODES["gate alone"], broken)


def test_the_rules_let_every_mode_pass(stack: Stack) -> None:
    assert stack.broken_rules() == []


def test_rules_use_the_functions_alone_that_rules_may_use() -> None:
    """CloudFormation's user guide, "Rules": no Join among them, and no conditions."""
    allowed = {"Ref", "Fn::And", "Fn::Contains", "Fn::EachMemberEquals", "Fn::EachMemberIn", "Fn::Equals", "Fn::Not"}
    allowed |= {"Fn::Or", "Fn::RefAll", "Fn::ValueOf", "Fn::ValueOfAll"}
    functions = re.compile("Ref|Condition|Fn::.+")
    used = {key for _, one in walk(ours()["Rules"]) if isinstance(one, dict) for key in one if functions.fullmatch(key)}
    assert used <= allowed


@pytest.mark.parametrize(
    ("mode", "without", "told"),
    [
        ("whole", "VpcId", "A new service needs VpcId."),
        ("whole", "SubnetIds", "A new service needs SubnetIds."),
        ("connection", "ConnectionArn", "A source by connection needs ConnectionArn."),
        ("connection", "FullRepositoryId", "A source by connection needs FullRepositoryId."),
        ("existing service", "ServiceName", "An existing cluster needs ServiceName."),
        ("gate alone", "ApprovalActions", "The gate alone needs ApprovalActions, the actions' ARNs."),
    ],
)
def test_what_a_mode_needs_is_asked_for(mode: str, without: str, told: str) -> None:
    given = {name: value for name, value in MODES[mode].items() if name != without}
    assert told in Stack(given).broken_rules()


def test_the_pipeline_has_the_four_stages_and_real_actions(stack: Stack) -> None:
    for pipeline in stack.of("AWS::CodePipeline::Pipeline").values():
        assert [stage["Name"] for stage in pipeline["Stages"]] == STAGES
        for action in [action for stage in pipeline["Stages"] for action in stage["Actions"]]:
            kind = action["ActionTypeId"]
            needed, allowed = ACTIONS[kind["Category"], kind["Owner"], kind["Provider"]]
            given = set(action["Configuration"])
            assert needed <= given <= needed | allowed
            assert kind["Version"] == "1"


def test_artifacts_that_go_in_came_out_before(stack: Stack) -> None:
    for pipeline in stack.of("AWS::CodePipeline::Pipeline").values():
        made: set[str] = set()
        for stage in pipeline["Stages"]:
            for action in stage["Actions"]:
                assert {one["Name"] for one in action.get("InputArtifacts", [])} <= made
            made |= {one["Name"] for action in stage["Actions"] for one in action.get("OutputArtifacts", [])}


def test_the_approval_names_the_digest_that_the_build_exports() -> None:
    stack = Stack(MODES["whole"])
    (pipeline,) = stack.of("AWS::CodePipeline::Pipeline").values()
    build, approval = (stage["Actions"][0] for stage in pipeline["Stages"][1:3])
    buildspec = yaml.safe_load(stack.of("AWS::CodeBuild::Project")["BuildProject"]["Source"]["BuildSpec"])
    assert buildspec["env"]["exported-variables"] == ["IMAGE_DIGEST"]
    assert build["Namespace"] == "BuildVariables"
    assert "Image_Digest=#{BuildVariables.IMAGE_DIGEST}" in approval["Configuration"]["CustomData"]
    assert approval["Configuration"]["NotificationArn"] == "ref:ApprovalTopic"
    assert approval["TimeoutInMinutes"] == 7 * 24 * 60


def test_the_buildspec_writes_what_the_deploy_action_reads(tmp_path: Path) -> None:
    """Its commands run in a shell, docker and aws being what they say."""
    spec = yaml.safe_load(Stack(MODES["whole"]).of("AWS::CodeBuild::Project")["BuildProject"]["Source"]["BuildSpec"])
    digest = "sha256:" + "1" * 64
    for name, says in (("docker", ":"), ("aws", f'case "$2" in describe-images) echo {digest};; *) echo word;; esac')):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >> calls\n{says}\n')
        (tmp_path / name).chmod(0o755)
    commands = [*spec["phases"]["pre_build"]["commands"], *spec["phases"]["build"]["commands"]]
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "REGISTRY": "1.dkr.ecr.eu-west-1.amazonaws.com",
        "REPOSITORY": "dockgate-app",
        "CONTAINER": "app",
        "CODEBUILD_RESOLVED_SOURCE_VERSION": "0123456789abcdef",
        "CODEBUILD_BUILD_NUMBER": "7",
    }
    script = "set -e\n" + "\n".join(commands)
    ran = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    repository = f"{environment['REGISTRY']}/dockgate-app"
    (artifact,) = spec["artifacts"]["files"]
    assert json.loads((tmp_path / artifact).read_text()) == [{"name": "app", "imageUri": f"{repository}@{digest}"}]
    assert f"docker push {repository}:0123456789ab-7\n" in (tmp_path / "calls").read_text()


def test_each_target_of_a_rule_and_of_a_topic_may_be_called(stack: Stack) -> None:
    may = {
        (one["FunctionName"], one["Principal"], one["SourceArn"])
        for one in stack.of("AWS::Lambda::Permission").values()
        if one["Action"] == "lambda:InvokeFunction"
    }
    functions = {f"{name}.Arn": f"ref:{name}" for name in stack.of("AWS::Lambda::Function")}
    wanted = {
        (functions[target["Arn"]], "events.amazonaws.com", f"{name}.Arn")
        for name, rule in stack.of("AWS::Events::Rule").items()
        for target in rule["Targets"]
        if target["Arn"] in functions
    }
    wanted |= {
        (functions[one["Endpoint"]], "sns.amazonaws.com", one["TopicArn"])
        for one in stack.of("AWS::SNS::Subscription").values()
        if one["Protocol"] == "lambda"
    }
    assert may == wanted
    assert len(wanted) == 4


def test_a_target_that_is_no_function_is_reached_by_a_role(stack: Stack) -> None:
    functions = {f"{name}.Arn" for name in stack.of("AWS::Lambda::Function")}
    for rule in stack.of("AWS::Events::Rule").values():
        assert all("RoleArn" in target for target in rule["Targets"] if target["Arn"] not in functions)


def test_what_fails_is_set_aside(stack: Stack) -> None:
    for function in stack.of("AWS::Lambda::Function").values():
        assert function["DeadLetterConfig"] == {"TargetArn": "Failures.Arn"}
    for rule in stack.of("AWS::Events::Rule").values():
        assert all(target["DeadLetterConfig"] == {"Arn": "Failures.Arn"} for target in rule["Targets"])
    for one in stack.of("AWS::SNS::Subscription").values():
        if one["Protocol"] == "lambda":
            assert one["RedrivePolicy"] == {"deadLetterTargetArn": "Failures.Arn"}


def test_whatever_sets_aside_may_do_so(stack: Stack) -> None:
    """Functions by their role, rules and topics by the queue's policy."""
    (policy,) = stack.of("AWS::SQS::QueuePolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    sources = set(statement["Condition"]["ArnEquals"]["aws:SourceArn"])
    assert sources == {f"{name}.Arn" for name in stack.of("AWS::Events::Rule")} | {"ref:ApprovalTopic"}
    assert statement["Resource"] == "Failures.Arn"
    for name, function in stack.of("AWS::Lambda::Function").items():
        role = stack.of("AWS::IAM::Role")[function["Role"].removesuffix(".Arn")]
        assert "ref:GatePolicy" in role["ManagedPolicyArns"], name
    assert any(
        statement["Action"] == "sqs:SendMessage" and statement["Resource"] == "Failures.Arn"
        for name, statement in statements(stack)
        if name == "GatePolicy"
    )


def test_every_log_is_kept_for_a_while_and_is_there_before_it_is_written_to(stack: Stack) -> None:
    groups = stack.of("AWS::Logs::LogGroup")
    assert all(one["RetentionInDays"] == "90" for one in groups.values())
    for function in stack.of("AWS::Lambda::Function").values():
        assert function["LoggingConfig"]["LogGroup"].removeprefix("ref:") in groups
    for project in stack.of("AWS::CodeBuild::Project").values():
        assert project["LogsConfig"]["CloudWatchLogs"]["GroupName"].removeprefix("ref:") in groups
    for definition in stack.of("AWS::ECS::TaskDefinition").values():
        for container in definition["ContainerDefinitions"]:
            assert container["LogConfiguration"]["Options"]["awslogs-group"].removeprefix("ref:") in groups


def test_no_action_is_a_wildcard(stack: Stack) -> None:
    for name, statement in statements(stack):
        assert [action for action in as_list(statement["Action"]) if "*" in action] == [], name


def test_every_statement_names_a_resource(stack: Stack) -> None:
    """An empty list, or an empty name in one, is refused by IAM."""
    for name, statement in statements(stack):
        resources = as_list(statement["Resource"])
        assert resources, name
        assert all(resources), (name, statement)


def test_all_resources_are_meant_only_where_there_is_no_type(stack: Stack) -> None:
    broad = {
        action
        for _, statement in statements(stack)
        if "*" in as_list(statement["Resource"])
        for action in as_list(statement["Action"])
    }
    assert broad <= set(WILDCARDS)


def test_the_actions_on_all_resources_know_no_type_that_could_be_named() -> None:
    """By the copy of AWS's service authorization reference that cfn-lint has."""
    file = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"
    known = json.loads(file.read_text())
    types = {}
    for action in WILDCARDS:
        service, _, name = action.partition(":")
        types[action] = {key.lower(): one for key, one in known[service]["Actions"].items()}[name.lower()]
    assert {action for action, one in types.items() if one.get("Resources")} == {"ecs:ListTasks"}
    (statement,) = (one for _, one in statements(Stack(MODES["whole"])) if one["Action"] == "ecs:ListTasks")
    assert "ecs:cluster" in statement["Condition"]["ArnEquals"]


def test_the_page_lists_them_with_their_reasons() -> None:
    page = (ROOT / "docs" / "aws.md").read_text()
    rows = dict(re.findall(r"(?m)^\| `([a-z0-9]+:[A-Za-z]+)` \| (.+) \|$", page))
    assert rows == WILDCARDS


def test_a_resource_with_a_star_is_held_to_a_name(stack: Stack) -> None:
    """A star may follow a name of ours, or the bucket's; it never stands for a name."""
    for name, statement in statements(stack):
        for resource in as_list(statement["Resource"]):
            if resource != "*" and "*" in resource:
                assert resource.endswith(("/*", ":*")), (name, resource)
                assert resource.count("*") == 1, (name, resource)


def test_approvals_are_answered_of_the_named_actions_alone() -> None:
    def answers(mode: str) -> list[str]:
        (one,) = (one for _, one in statements(Stack(MODES[mode])) if one["Action"] == "codepipeline:PutApprovalResult")
        return as_list(one["Resource"])

    stage = "ContainerVulnerabilityAssessment"
    assert answers("whole") == [f"arn:aws:codepipeline:eu-west-1:123456789012:gate/{stage}/{stage}"]
    assert answers("gate alone") == ["arn:aws:codepipeline:eu-west-1:123456789012:shop/Assess/Gate"]


def test_roles_are_passed_only_where_there_are_any() -> None:
    def passed(mode: str) -> list[list[str]]:
        found = [one for _, one in statements(Stack(MODES[mode])) if one["Action"] == "iam:PassRole"]
        return [as_list(one["Resource"]) for one in found]

    assert passed("whole") == [["ExecutionRole.Arn"]]
    assert passed("existing service") == [["arn:aws:iam::123456789012:role/run"]]
    assert passed("existing service without roles") == []
    assert passed("gate alone") == []


def test_every_handler_is_there(stack: Stack) -> None:
    """tests/aws/stack/test_archive.py imports them out of the archive."""
    for function in stack.of("AWS::Lambda::Function").values():
        module, _, name = function["Handler"].rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))


def test_the_environment_is_what_the_functions_read(stack: Stack) -> None:
    source = (ROOT / "src" / "dockgate" / "aws" / "functions" / "settings.py").read_text()
    read = set(re.findall(r'"(DOCKGATE_[A-Z_]+|[A-Z][a-z]+_Finding_Threshold)"', source))
    given = {name: function["Environment"]["Variables"] for name, function in stack.of("AWS::Lambda::Function").items()}
    assert {key for variables in given.values() for key in variables} == read
    for variables in given.values():
        settings = from_environment({**variables, "AWS_REGION": "eu-west-1"})
        assert settings.account == "123456789012"


def test_services_are_looked_after_in_every_mode_that_has_some() -> None:
    def looked_after(mode: str) -> list[tuple[str, str]]:
        variables = Stack(MODES[mode]).of("AWS::Lambda::Function")["SweepFunction"]["Environment"]["Variables"]
        settings = from_environment({**variables, "AWS_REGION": "eu-west-1"})
        return [(one.cluster, one.name) for one in settings.services]

    assert looked_after("whole") == [("ref:Cluster", "gate-service")]
    assert looked_after("existing service") == [("blue", "web")]
    assert looked_after("gate alone") == []
    assert looked_after("gate alone, services looked after") == [("blue", "web"), ("green", "web")]


def test_thresholds_of_the_reference_solution_reach_the_functions() -> None:
    variables = Stack(MODES["gate alone, services looked after"]).of("AWS::Lambda::Function")["JudgeFunction"]
    settings = from_environment({**variables["Environment"]["Variables"], "AWS_REGION": "eu-west-1"})
    assert settings.thresholds == {"CRITICAL": 1}


def test_all_that_holds_something_goes_with_the_stack() -> None:
    for name, one in ours()["Resources"].items():
        if one["Type"] in ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::ECR::Repository", "AWS::Logs::LogGroup"):
            assert (one["DeletionPolicy"], one["UpdateReplacePolicy"]) == ("Delete", "Delete"), name


def test_buckets_are_private_and_encrypted_and_spoken_to_over_tls_alone(stack: Stack) -> None:
    closed = {
        policy["Bucket"].removeprefix("ref:")
        for policy in stack.of("AWS::S3::BucketPolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    buckets = stack.of("AWS::S3::Bucket")
    assert closed == set(buckets)
    for bucket in buckets.values():
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        assert "BucketEncryption" in bucket


def test_the_service_starts_with_nothing_running() -> None:
    (service,) = Stack(MODES["whole"]).of("AWS::ECS::Service").values()
    assert service["DesiredCount"] == "0"
    (definition,) = Stack(MODES["whole, with everything"]).of("AWS::ECS::TaskDefinition").values()
    assert definition["ContainerDefinitions"][0]["Image"].startswith("repository@sha256:")


def test_faults_are_told(stack: Stack) -> None:
    alarms = stack.of("AWS::CloudWatch::Alarm")
    assert {"FailuresAlarm", "SweepAlarm", "ClockAlarm"} <= set(alarms)
    assert all(one["AlarmActions"] == ["ref:NotificationTopic"] for one in alarms.values())


def test_every_parameter_is_used_described_and_in_a_group() -> None:
    held = ours()["Parameters"]
    groups = ours()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(held)
    assert [name for name, one in held.items() if not one.get("Description")] == []
    used = {value for path, value in walk(ours()) if path and path[-1] == "Ref"}
    texts = " ".join(value for _, value in walk(ours()["Resources"]) if isinstance(value, str))
    assert [name for name in held if name not in used and f"${{{name}}}" not in texts] == []
    assert sorted(parameters.names()) == sorted(held)


def test_every_resource_carries_the_stacks_name_or_one_that_was_given(stack: Stack) -> None:
    """So that the deployer's rights can be held to names that begin with the stack's."""
    fixed = ("FunctionName", "LogGroupName", "ClusterName", "ServiceName", "Family", "RepositoryName", "Name")
    given = {"container-components", "dockgate-app"}
    for name, one in stack.resources.items():
        if one["Type"] == "AWS::Lambda::Permission":
            continue
        for key in fixed:
            value = one["Properties"].get(key)
            assert value is None or value in given or re.match(r"(/[a-z/]+/)?gate(-|$)", value), (name, key, value)
