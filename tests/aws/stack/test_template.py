"""What cfn-lint misses of the template, in every way in which it may be deployed; and that cfn-lint is content."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.aws.stack.cloudformation import MODES, Stack, parse_own_template, walk

from dockgate.aws.functions.settings import from_environment
from dockgate.aws.messages import Action
from dockgate.aws.stack import parameters
from dockgate.aws.stack.data_resources import KINDS

ROOT = Path(__file__).parents[3]
TEMPLATE = ROOT / "src" / "dockgate" / "aws" / "stack" / "template.yaml"

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


def test_cfn_lint_accepts_the_template() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from cfnlint.runner import main; main()", "--format", "json", str(TEMPLATE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(result.stdout or "[]") == [], result.stdout
    assert result.returncode == 0


def test_a_resource_of_another_mode_that_is_referred_to_is_found() -> None:
    """The control of all tests here that resolve the template."""
    broken_template = {
        **parse_own_template(),
        "Outputs": {"Url": {"Value": {"Fn::GetAtt": ["ImageRepository", "RepositoryUri"]}}},
    }
    Stack(MODES["whole"], broken_template)
    with pytest.raises(LookupError, match="ImageRepository"):
        Stack(MODES["gate alone"], broken_template)


def test_the_rules_let_every_mode_pass(stack: Stack) -> None:
    assert stack.list_broken_rules() == []


def test_rules_use_the_functions_alone_that_rules_may_use() -> None:
    """CloudFormation's user guide, "Rules": no Join among them, and no conditions."""
    allowed_functions = {
        "Ref",
        "Fn::And",
        "Fn::Contains",
        "Fn::EachMemberEquals",
        "Fn::EachMemberIn",
        "Fn::Equals",
        "Fn::Not",
    }
    allowed_functions |= {"Fn::Or", "Fn::RefAll", "Fn::ValueOf", "Fn::ValueOfAll"}
    functions = re.compile("Ref|Condition|Fn::.+")
    used = {
        key
        for _, item in walk(parse_own_template()["Rules"])
        if isinstance(item, dict)
        for key in item
        if functions.fullmatch(key)
    }
    assert used <= allowed_functions


@pytest.mark.parametrize(
    ("mode", "without", "messages"),
    [
        ("whole", "VpcId", "A new service needs VpcId."),
        ("whole", "SubnetIds", "A new service needs SubnetIds."),
        ("connection", "ConnectionArn", "A source by connection needs ConnectionArn."),
        ("connection", "FullRepositoryId", "A source by connection needs FullRepositoryId."),
        ("existing service", "ServiceName", "An existing cluster needs ServiceName."),
        ("gate alone", "ApprovalActions", "The gate alone needs ApprovalActions, the actions' ARNs."),
        (
            "gate alone",
            "ApprovalPipelines",
            "The gate alone needs ApprovalPipelines, the ARNs of the actions' pipelines.",
        ),
    ],
)
def test_a_missing_parameter_of_a_mode_is_reported(mode: str, without: str, messages: str) -> None:
    values = {name: value for name, value in MODES[mode].items() if name != without}
    assert messages in Stack(values).list_broken_rules()


def test_the_pipeline_has_the_four_stages_and_real_actions(stack: Stack) -> None:
    for pipeline in stack.select_resources("AWS::CodePipeline::Pipeline").values():
        assert [stage["Name"] for stage in pipeline["Stages"]] == STAGES
        for action in [action for stage in pipeline["Stages"] for action in stage["Actions"]]:
            kind = action["ActionTypeId"]
            required_keys, optional_keys = ACTIONS[kind["Category"], kind["Owner"], kind["Provider"]]
            configuration = set(action["Configuration"])
            assert required_keys <= configuration <= required_keys | optional_keys
            assert kind["Version"] == "1"


def test_every_input_artifact_is_an_output_of_an_earlier_action(stack: Stack) -> None:
    for pipeline in stack.select_resources("AWS::CodePipeline::Pipeline").values():
        earlier_artifacts: set[str] = set()
        for stage in pipeline["Stages"]:
            for action in stage["Actions"]:
                assert {artifact["Name"] for artifact in action.get("InputArtifacts", [])} <= earlier_artifacts
            earlier_artifacts |= {
                artifact["Name"] for action in stage["Actions"] for artifact in action.get("OutputArtifacts", [])
            }


def test_the_approval_names_the_digest_that_the_build_exports() -> None:
    stack = Stack(MODES["whole"])
    (pipeline,) = stack.select_resources("AWS::CodePipeline::Pipeline").values()
    build, approval = (stage["Actions"][0] for stage in pipeline["Stages"][1:3])
    buildspec = yaml.safe_load(stack.select_resources("AWS::CodeBuild::Project")["BuildProject"]["Source"]["BuildSpec"])
    assert buildspec["env"]["exported-variables"] == ["IMAGE_DIGEST"]
    assert build["Namespace"] == "BuildVariables"
    assert "Image_Digest=#{BuildVariables.IMAGE_DIGEST}" in approval["Configuration"]["CustomData"]
    assert approval["Configuration"]["NotificationArn"] == "ref:ApprovalTopic"
    assert approval["TimeoutInMinutes"] == 7 * 24 * 60


def test_the_functions_exist_before_the_pipeline_starts() -> None:
    """CodePipeline starts a new pipeline at once, and a topic's first message may come before there is a subscriber."""
    dependencies = set(parse_own_template()["Resources"]["Pipeline"]["DependsOn"])
    callers = {"ApprovalsMayCallRecord", "CoverageMayCallJudge", "ScansMayCallJudge"}
    assert dependencies == {"ApprovalSubscription", *callers}


def test_a_repository_without_a_first_commit_is_empty() -> None:
    (repository,) = Stack(MODES["whole"]).select_resources("AWS::CodeCommit::Repository").values()
    assert "Code" not in repository
    (repository,) = Stack(MODES["whole, with everything"]).select_resources("AWS::CodeCommit::Repository").values()
    assert repository["Code"]["S3"] == {"Bucket": "documents", "Key": "sources/1.zip"}


def test_the_buildspec_writes_what_the_deploy_action_reads(tmp_path: Path) -> None:
    """Its commands run in a shell, docker and aws being what they say."""
    spec = yaml.safe_load(
        Stack(MODES["whole"]).select_resources("AWS::CodeBuild::Project")["BuildProject"]["Source"]["BuildSpec"]
    )
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
    result = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    repository = f"{environment['REGISTRY']}/dockgate-app"
    (artifact,) = spec["artifacts"]["files"]
    assert json.loads((tmp_path / artifact).read_text()) == [{"name": "app", "imageUri": f"{repository}@{digest}"}]
    assert f"docker push {repository}:0123456789ab-7\n" in (tmp_path / "calls").read_text()


def test_failures_go_to_dead_letter_queues(stack: Stack) -> None:
    """Approvals in a queue of their own: what else fails hides none."""
    for name, function in stack.select_resources("AWS::Lambda::Function").items():
        queue = "ApprovalFailures" if name == "RecordFunction" else "Failures"
        assert function["DeadLetterConfig"] == {"TargetArn": f"{queue}.Arn"}
    for rule in stack.select_resources("AWS::Events::Rule").values():
        assert all(target["DeadLetterConfig"] == {"Arn": "Failures.Arn"} for target in rule["Targets"])
    for item in stack.select_resources("AWS::SNS::Subscription").values():
        if item["Protocol"] == "lambda":
            assert item["RedrivePolicy"] == {"deadLetterTargetArn": "ApprovalFailures.Arn"}
    watched_queues = {
        item["Dimensions"][0]["Value"] for item in stack.select_resources("AWS::CloudWatch::Alarm").values()
    }
    assert {"ApprovalFailures.QueueName", "Failures.QueueName"} <= watched_queues


def test_findings_are_collected_before_they_are_judged(stack: Stack) -> None:
    """Lambda's developer guide, "Using Lambda with Amazon SQS": the visibility timeout is six times the function's."""
    target = stack.select_resources("AWS::Events::Rule")["FindingRule"]["Targets"][0]
    queue = stack.select_resources("AWS::SQS::Queue")["FindingQueue"]
    assert target["Arn"] == "FindingQueue.Arn"
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == "Failures.Arn"
    for mapping in stack.select_resources("AWS::Lambda::EventSourceMapping").values():
        function = stack.select_resources("AWS::Lambda::Function")[mapping["FunctionName"].removeprefix("ref:")]
        assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
        assert mapping["EventSourceArn"] == "FindingQueue.Arn"
        assert mapping["MaximumBatchingWindowInSeconds"] > 0
    is_enabled = stack.select_resources("AWS::Events::Rule")["FindingRule"]["State"] == "ENABLED"
    assert bool(stack.select_resources("AWS::Lambda::EventSourceMapping")) is is_enabled


def test_findings_leave_room_for_what_answers_approvals() -> None:
    def list_reserved_counts(value: dict[str, str]) -> list[str | None]:
        functions = Stack({**MODES["whole"], **value}).select_resources("AWS::Lambda::Function")
        return [
            functions[f"{name}Function"].get("ReservedConcurrentExecutions") for name in ("Record", "Judge", "Sweep")
        ]

    assert list_reserved_counts({}) == [None, None, None]
    assert list_reserved_counts({"ReservedConcurrency": "5"}) == ["5", "5", "5"]
    (mapping,) = Stack(MODES["whole"]).select_resources("AWS::Lambda::EventSourceMapping").values()
    pattern = parse_own_template()["Parameters"]["ReservedConcurrency"]["AllowedPattern"]
    least = min(number for number in range(1, 100) if re.fullmatch(pattern, str(number)))
    assert mapping["ScalingConfig"]["MaximumConcurrency"] < least, "the clock's sweep has its turn"


def test_every_log_is_kept_for_a_while_and_is_there_before_it_is_written_to(stack: Stack) -> None:
    groups = stack.select_resources("AWS::Logs::LogGroup")
    assert all(group["RetentionInDays"] == "90" for group in groups.values())
    for function in stack.select_resources("AWS::Lambda::Function").values():
        assert function["LoggingConfig"]["LogGroup"].removeprefix("ref:") in groups
    for project in stack.select_resources("AWS::CodeBuild::Project").values():
        assert project["LogsConfig"]["CloudWatchLogs"]["GroupName"].removeprefix("ref:") in groups
    for definition in stack.select_resources("AWS::ECS::TaskDefinition").values():
        for container in definition["ContainerDefinitions"]:
            assert container["LogConfiguration"]["Options"]["awslogs-group"].removeprefix("ref:") in groups


def test_every_handler_is_there(stack: Stack) -> None:
    """tests/aws/stack/test_archive.py imports them out of the archive."""
    for function in stack.select_resources("AWS::Lambda::Function").values():
        module, _, name = function["Handler"].rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))


def test_the_environment_is_what_the_functions_read(stack: Stack) -> None:
    source = (ROOT / "src" / "dockgate" / "aws" / "functions" / "settings.py").read_text()
    read = set(re.findall(r'"(DOCKGATE_[A-Z_]+|[A-Z][a-z]+_Finding_Threshold)"', source))
    value = {
        name: function["Environment"]["Variables"]
        for name, function in stack.select_resources("AWS::Lambda::Function").items()
    }
    assert {key for variables in value.values() for key in variables} == read
    for variables in value.values():
        settings = from_environment({**variables, "AWS_REGION": "eu-west-1"})
        assert settings.account == "123456789012"


def test_the_functions_know_the_actions_that_they_may_answer() -> None:
    def list_actions(mode: str) -> set[Action]:
        functions = Stack(MODES[mode]).select_resources("AWS::Lambda::Function").values()
        read = [
            from_environment({**function["Environment"]["Variables"], "AWS_REGION": "eu-west-1"})
            for function in functions
        ]
        assert {item.actions for item in read} == {read[0].actions}
        return set(read[0].actions)

    stage = "ContainerVulnerabilityAssessment"
    assert list_actions("whole") == {Action("gate", stage, stage)}
    assert list_actions("gate alone") == {Action("shop", "Assess", "Gate")}


def test_services_are_monitored_in_every_mode_that_has_some() -> None:
    def list_watched_services(mode: str) -> list[tuple[str, str]]:
        variables = Stack(MODES[mode]).select_resources("AWS::Lambda::Function")["SweepFunction"]["Environment"][
            "Variables"
        ]
        settings = from_environment({**variables, "AWS_REGION": "eu-west-1"})
        return [(service.cluster, service.name) for service in settings.services]

    assert list_watched_services("whole") == [("ref:Cluster", "gate-service")]
    assert list_watched_services("existing service") == [("blue", "web")]
    assert list_watched_services("gate alone") == []
    assert list_watched_services("gate alone, services looked after") == [("blue", "web"), ("green", "web")]


def test_thresholds_of_the_reference_solution_reach_the_functions() -> None:
    variables = Stack(MODES["gate alone, services looked after"]).select_resources("AWS::Lambda::Function")[
        "JudgeFunction"
    ]
    settings = from_environment({**variables["Environment"]["Variables"], "AWS_REGION": "eu-west-1"})
    assert settings.thresholds == {"CRITICAL": 1}


def test_repositories_verdicts_and_artifacts_outlive_updates_and_the_stack() -> None:
    """Except in the roll-back of their creation, after which the next one needs their names."""
    for name, item in parse_own_template()["Resources"].items():
        policies = item.get("DeletionPolicy"), item.get("UpdateReplacePolicy")
        if item["Type"] in KINDS:
            assert policies == ("RetainExceptOnCreate", "Retain"), name
        elif item["Type"] in ("AWS::DynamoDB::Table", "AWS::Logs::LogGroup", "AWS::SQS::Queue"):
            assert policies == ("Delete", "Delete"), name


def test_the_service_starts_with_nothing_running() -> None:
    (service,) = Stack(MODES["whole"]).select_resources("AWS::ECS::Service").values()
    assert service["DesiredCount"] == "0"
    (definition,) = Stack(MODES["whole, with everything"]).select_resources("AWS::ECS::TaskDefinition").values()
    assert definition["ContainerDefinitions"][0]["Image"].startswith("repository@sha256:")


def test_people_get_no_message_with_an_approval_token(stack: Stack) -> None:
    """CodePipeline's messages on the approval topic have the token, and a link to approve by hand."""
    subscriptions = stack.select_resources("AWS::SNS::Subscription").values()
    messages = [
        (subscription["Protocol"], subscription["Endpoint"])
        for subscription in subscriptions
        if subscription["TopicArn"] == "ref:ApprovalTopic"
    ]
    assert messages == [("lambda", "RecordFunction.Arn")]
    people = {subscription["TopicArn"] for subscription in subscriptions if subscription["Protocol"] != "lambda"}
    assert people <= {"ref:NotificationTopic"}


def test_no_arn_names_its_partition() -> None:
    """AWS::Partition does: China, GovCloud and others have their own."""
    texts = [value for _, value in walk(parse_own_template()["Resources"]) if isinstance(value, str)]
    assert [text for text in texts if "arn:aws" in text] == []
    variables = Stack(MODES["whole"]).select_resources("AWS::Lambda::Function")["JudgeFunction"]["Environment"][
        "Variables"
    ]
    assert variables["DOCKGATE_PARTITION"] == "aws"


def test_faults_raise_alarms(stack: Stack) -> None:
    alarms = stack.select_resources("AWS::CloudWatch::Alarm")
    assert {"FailuresAlarm", "SweepAlarm", "ClockAlarm"} <= set(alarms)
    assert all(alarm["AlarmActions"] == ["ref:NotificationTopic"] for alarm in alarms.values())


def test_every_parameter_is_used_described_and_in_a_group() -> None:
    content = parse_own_template()["Parameters"]
    groups = parse_own_template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(content)
    assert [name for name, item in content.items() if not item.get("Description")] == []
    used = {value for path, value in walk(parse_own_template()) if path and path[-1] == "Ref"}
    texts = " ".join(value for _, value in walk(parse_own_template()["Resources"]) if isinstance(value, str))
    assert [name for name in content if name not in used and f"${{{name}}}" not in texts] == []
    assert sorted(parameters.list_names()) == sorted(content)


def test_every_resource_carries_the_stacks_name_or_one_that_was_given(stack: Stack) -> None:
    """So that the deployer's rights can be limited to names that begin with the stack's."""
    fixed = ("FunctionName", "LogGroupName", "ClusterName", "ServiceName", "Family", "RepositoryName", "Name")
    values = {"container-components", "dockgate-app"}
    for name, item in stack.resources.items():
        if item["Type"] in ("AWS::Lambda::EventSourceMapping", "AWS::Lambda::Permission"):
            continue
        for key in fixed:
            value = item["Properties"].get(key)
            assert value is None or value in values or re.match(r"(/[a-z/]+/)?gate(-|$)", value), (name, key, value)
