"""`dockgate aws`: what people type and read. What the commands do in an account is for tests/aws/stack."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from tests.aws.stack.cloud import Cloud, replace_clients, run_cloud
from tests.aws.stack.stack_state import ID, REGION
from tests.cli.conftest import Dockgate

from dockgate.cli.main import root
from dockgate.gate import rules
from dockgate.gate.definitions.policy import read_builtin_policy
from dockgate.gate.policy import decode_policy

ALONE = ("--parameter", "CreatePipeline=false", "--parameter", "ApprovalActions=shop/Assess/Gate")


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hides the machine's AWS settings, and never asks for credentials over a network."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture(name="cloud")
def _cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An account that commands reach by the environment alone."""
    with run_cloud() as cloud, replace_clients(cloud.formation):
        cloud.formation.slow = False
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_REGION", REGION)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        yield cloud
        assert cloud.formation.faults == []


def test_the_template_is_written(dockgate: Dockgate, tmp_path: Path) -> None:
    result = dockgate("aws", "template")
    assert result.code == 0
    assert result.out.startswith("AWSTemplateFormatVersion")
    assert dockgate("aws", "template", "--output", str(tmp_path / "stack.yaml")).out == ""
    assert (tmp_path / "stack.yaml").read_text() == result.out


def test_the_archive_is_reproducible(dockgate: Dockgate, tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        result = dockgate("aws", "package", "--output", str(tmp_path / name))
        assert result.code == 0
        assert result.out.endswith(" bytes\n")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_policy_is_printed_in_the_form_of_s3_and_ssm(dockgate: Dockgate, tmp_path: Path) -> None:
    result = dockgate("aws", "policy", "default")
    assert result.code == 0
    assert decode_policy(result.out.encode()) == read_builtin_policy("default", rules.load())
    dockgate("aws", "policy", "default", "--output", str(tmp_path / "policy.json"))
    assert (tmp_path / "policy.json").read_bytes() == result.out.encode()


@pytest.mark.parametrize("command", [("policy",), ("package", "--output", "functions.zip", "--policy")])
def test_a_rule_that_cannot_run_in_lambda_is_refused_by_name(
    dockgate: Dockgate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ours.yaml").write_text("expression: [{when: 'findings.size() > 3', message: too many}]")
    result = dockgate("aws", *command, "ours.yaml")
    assert result.code == 2
    assert "expression (needs cel-expr-python" in result.err
    assert not Path("functions.zip").exists()


def test_without_a_region_the_error_says_how_to_set_one(dockgate: Dockgate) -> None:
    result = dockgate("aws", "status", "--stack", "gate")
    assert (result.code, result.err) == (2, "error: no AWS region is set\n       Pass --region, or set AWS_REGION.\n")


def test_without_credentials_the_error_says_how_to_get_them(dockgate: Dockgate) -> None:
    result = dockgate("aws", "status", "--stack", "gate", "--region", REGION)
    assert result.code == 2
    assert "no usable AWS credentials" in result.err
    assert "aws sso login" in result.err


def test_a_missing_profile_is_an_error(dockgate: Dockgate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "missing")
    result = dockgate("aws", "status", "--stack", "gate", "--region", REGION)
    assert result.code == 2
    assert "missing" in result.err
    assert "AWS_PROFILE" in result.err


def test_without_boto3_the_error_says_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules.update(boto3=None, botocore=None)\n"
        "from dockgate.cli.main import run\n"
        "sys.exit(run(['aws', 'status', '--stack', 'gate', '--region', 'eu-west-1']))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == f"error: boto3 is not installed\n       Install it: {sys.executable} -m pip install boto3\n"


def test_a_stack_is_deployed_shown_and_destroyed(dockgate: Dockgate, cloud: Cloud) -> None:
    deployment = dockgate("aws", "deploy", "--stack", "gate", *ALONE)
    assert (deployment.code, deployment.out) == (0, "gate: deployed\n  dockgate aws status --stack gate\n")
    assert "creating the stack gate" in deployment.err
    assert dockgate("aws", "deploy", "--stack", "gate").out.startswith("gate: unchanged")
    status = dockgate("aws", "status", "--stack", "gate")
    for text in ("CREATE_COMPLETE", "BASIC", "approvals waiting", "ApprovalTopicArn"):
        assert text in status.out
    facts = json.loads(dockgate("aws", "status", "--stack", "gate", "-o", "json").out)
    assert (facts["state"], facts["waiting"], facts["stages"]) == ("CREATE_COMPLETE", 0, {})
    destruction = dockgate("aws", "destroy", "--stack", "gate", "--yes")
    assert destruction.code == 0
    assert destruction.out.startswith("stack gate\nbucket ")
    assert destruction.out.endswith("gate: deleted\n")
    second_destruction = dockgate("aws", "destroy", "--stack", "gate", "--yes")
    assert (second_destruction.code, second_destruction.out) == (0, f"gate: not found in {REGION}\n")


def test_redrive_lists_messages_that_failed_and_exits_2(dockgate: Dockgate, cloud: Cloud) -> None:
    dockgate("aws", "deploy", "--stack", "gate", *ALONE)
    empty_redrive = dockgate("aws", "redrive", "--stack", "gate")
    assert (empty_redrive.code, empty_redrive.out) == (0, "gate: 0 resent, 0 failed\n")
    sqs = cloud.get_client("sqs")
    for name, body in (("approvalfailures", '{"token": "secret"}'), ("failures", "none of ours")):
        sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"], MessageBody=body)
    result = dockgate("aws", "redrive", "--stack", "gate")
    assert (result.code, result.out) == (2, "gate: 1 resent, 1 failed\n")
    assert "no event of this stack" in result.err
    assert "run `dockgate aws redrive` again" in result.err
    assert "secret" not in result.out + result.err
    assert "failed approvals" in dockgate("aws", "status", "--stack", "gate").out


def test_destroy_asks_for_confirmation_first(dockgate: Dockgate, cloud: Cloud) -> None:
    dockgate("aws", "deploy", "--stack", "gate", *ALONE)
    result = CliRunner().invoke(root, ["aws", "destroy", "--stack", "gate"], input="n\n")
    assert result.exit_code == 1
    assert "Delete all of this?" in result.output
    assert f"bucket gate-dockgate-{ID}-{REGION}" in result.output
    assert "gate" in cloud.formation.stacks
    result = CliRunner().invoke(root, ["aws", "destroy", "--stack", "gate"], input="y\n")
    assert result.exit_code == 0
    assert cloud.formation.stacks == {}


def test_deploy_asks_before_it_removes_resources(dockgate: Dockgate, cloud: Cloud) -> None:
    dockgate("aws", "deploy", "--stack", "gate", *ALONE, "--parameter", "NotificationEmail=team@example.com")
    remove = ["aws", "deploy", "--stack", "gate", "--parameter", "NotificationEmail="]
    result = CliRunner().invoke(root, remove, input="n\n")
    assert result.exit_code == 1
    assert "gate: this update removes or replaces:\n  " in result.output
    assert "NotificationSubscription (AWS::SNS::Subscription gate-NotificationSubscription): removed" in result.output
    assert "Deploy it? [y/N]" in result.output
    assert CliRunner().invoke(root, remove, input="").exit_code == 1
    assert "NotificationSubscription" in cloud.formation.stacks["gate"].physical
    result = CliRunner().invoke(root, [*remove, "--yes"])
    assert result.exit_code == 0
    assert "Deploy it?" not in result.output
    assert "removed" in result.output
    assert "NotificationSubscription" not in cloud.formation.stacks["gate"].physical


def test_a_refusal_names_the_permission_and_the_page(dockgate: Dockgate, cloud: Cloud) -> None:
    cloud.formation.denied = {"CreateStack"}
    result = dockgate("aws", "deploy", "--stack", "gate", *ALONE)
    assert result.code == 2
    assert "It needs the permission cloudformation:CreateStack; docs/how-to/aws.md lists" in result.err


def test_the_deployed_template_is_the_printed_one(dockgate: Dockgate, cloud: Cloud) -> None:
    dockgate("aws", "deploy", "--stack", "gate", *ALONE)
    template = dockgate("aws", "template").out
    (url,) = (parameters["TemplateURL"] for _, name, parameters in cloud.formation.called if name == "CreateStack")
    assert url.endswith(f"/templates/{hashlib.sha256(template.encode()).hexdigest()}.yaml")
    assert yaml.compose(template, yaml.CSafeLoader) is not None
