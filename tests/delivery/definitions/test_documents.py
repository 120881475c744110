"""The YAML that people write: how it is parsed, and the message for each mistake."""

import re

import pytest
from tests.delivery.definitions.definition_files import read_definition

from dockgate.delivery.definitions.documents import Repository
from dockgate.delivery.definitions.service import ServiceDefinition
from dockgate.delivery.model import ActionType, FixAction, FixSettings, Pipeline
from dockgate.shared.errors import DefinitionError

PIPELINE = """\
kind: Pipeline
name: Web
stages:
  - name: Source
    actions:
      - {name: Source, type: source, repository: web, output: SourceOutput, namespace: SourceVariables}
  - name: Build
    actions:
      - name: Build
        type: build
        input: SourceOutput
        output: BuildOutput
        namespace: BuildVariables
        image: web/app
        container: app
  - name: Gate
    actions:
      - name: Approval
        type: approval
        image: "#{BuildVariables.IMAGE_DIGEST}"
        timeout: 90m
  - name: Deploy
    actions:
      - {name: Deploy, type: deploy, input: BuildOutput, service: web}
"""

SERVICE = """\
kind: Service
name: web
desiredCount: 1
taskDefinition:
  container: app
  ports:
    - {containerPort: 8080}
  healthCheck:
    http: {port: 8080, path: /healthz}
    startPeriod: 2m
"""


def test_a_repository_is_its_name() -> None:
    assert read_definition("kind: Repository\nname: container-components\n", "r.yaml") == Repository(
        "container-components"
    )


def test_a_pipeline_keeps_the_order_of_stages_and_what_each_action_needs() -> None:
    pipeline = read_definition(PIPELINE, "p.yaml")
    assert isinstance(pipeline, Pipeline)
    assert [stage.name for stage in pipeline.stages] == ["Source", "Build", "Gate", "Deploy"]
    assert [stage.actions[0].type for stage in pipeline.stages] == list(ActionType)
    approval = pipeline.get_action("Gate", "Approval")
    assert approval.configuration == {"image": "#{BuildVariables.IMAGE_DIGEST}", "timeout": 5400}
    assert pipeline.get_action("Deploy", "Deploy").input == "BuildOutput"


def test_a_pipeline_says_what_happens_with_fixes_and_nothing_unless_it_does() -> None:
    plain = read_definition(PIPELINE, "p.yaml")
    limited_pipeline = read_definition(
        PIPELINE.replace("name: Web\n", "name: Web\nonFix: branch\nfixesPerDay: 3\n", 1), "p.yaml"
    )
    default = read_definition(PIPELINE.replace("name: Web\n", "name: Web\nonFix: rebuild\n", 1), "p.yaml")
    assert isinstance(plain, Pipeline)
    assert isinstance(limited_pipeline, Pipeline)
    assert isinstance(default, Pipeline)
    assert (plain.on_fix, limited_pipeline.on_fix) == (None, FixSettings(FixAction.BRANCH, 3))
    assert default.on_fix == FixSettings(FixAction.REBUILD, 1)


def test_an_approval_waits_seven_days_by_default() -> None:
    pipeline = read_definition(PIPELINE.replace("        timeout: 90m\n", ""), "p.yaml")
    assert isinstance(pipeline, Pipeline)
    assert pipeline.get_action("Gate", "Approval").configuration["timeout"] == 7 * 24 * 3600


def test_a_service_starts_without_an_image() -> None:
    definition = read_definition(SERVICE, "s.yaml")
    assert isinstance(definition, ServiceDefinition)
    assert (definition.service.name, definition.service.desired_count, definition.definition.image) == ("web", 1, None)
    assert definition.definition.health_check is not None
    assert (definition.definition.health_check.http_path, definition.definition.health_check.start_period) == (
        "/healthz",
        120,
    )


def test_a_task_has_the_limits_that_its_document_names_and_else_those_of_the_target() -> None:
    limits = "container: app\n  memory: 512\n  pidsLimit: 1"
    for text, memory, pids_limit, shown_text in (
        (SERVICE, None, None, None),
        (SERVICE.replace("container: app", limits), 512, 1, "512 MiB of memory, 1 process"),
    ):
        definition = read_definition(text, "s.yaml")
        assert isinstance(definition, ServiceDefinition)
        assert (definition.definition.memory, definition.definition.pids_limit) == (memory, pids_limit)
        assert definition.definition.describe_limits() == shown_text


ON_ECS = """kind: Service
name: web
target: ecs
ecs: {region: eu-west-1, cluster: main, repository: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/web}
taskDefinition:
  container: app
  healthCheck: {startPeriod: 15m}
"""


def test_a_service_on_ecs_tells_where_it_is() -> None:
    definition = read_definition(ON_ECS, "s.yaml")
    assert isinstance(definition, ServiceDefinition)
    assert definition.service.target == "ecs:eu-west-1/main/123456789012.dkr.ecr.eu-west-1.amazonaws.com/web"
    assert definition.definition.health_check is not None
    assert definition.definition.health_check.start_period == 900


@pytest.mark.parametrize(
    ("text", "message", "advice"),
    [
        (ON_ECS.replace("target: ecs\n", ""), "file.yaml:1: ", "both, or neither"),
        ("".join(line for line in ON_ECS.splitlines(True) if "ecs: {" not in line), "file.yaml:3: ", "both, or"),
        (ON_ECS.replace("container: app", "container: app\n  command: [a]"), "file.yaml:7: ", "ECS's task definition"),
        (ON_ECS.replace("container: app", "container: app\n  memory: 64"), "file.yaml:7: ", "ECS's task definition"),
        (SERVICE.replace("container: app", "container: app\n  memory: 512m"), "file.yaml:6: taskDefinition.memory", ""),
        (SERVICE.replace("container: app", "container: app\n  memory: 5"), "file.yaml:6: taskDefinition.memory", ""),
        (SERVICE.replace("container: app", "container: app\n  pidsLimit: 0"), "file.yaml:6: taskDefinition.pids", ""),
        (ON_ECS.replace("{startPeriod: 15m}", "{http: {port: 80}}"), "file.yaml:7: ", "startPeriod alone"),
        (ON_ECS.replace("name: web", "name: web.app"), "file.yaml:2: name: ", "dots"),
        (ON_ECS.replace("cluster: main", "cluster: a/b"), "file.yaml:4: ecs.cluster: ", ""),
        (ON_ECS.replace("cluster: main", "clutser: main"), "unknown key 'clutser'", "cluster"),
        (ON_ECS.replace("{startPeriod: 15m}", "5m"), "healthCheck: write keys with values here", "startPeriod"),
        (PIPELINE.partition("stages:")[0] + "stages: all\n", "stages: write a list here", ""),
        ("kind: Target\nname: a\ntype: log\nquietHours: 22-6\n", "quietHours: write keys with values here", "timezone"),
        ("- a\n", "file.yaml:1: a document is a mapping with a `kind`", "Repository"),
        ("kind: Pipelin\n", "file.yaml:1: kind: unknown kind 'Pipelin'", "Pipeline, Repository, Service"),
        (PIPELINE.replace("container: app", "contaner: app"), "file.yaml:15: ", "container"),
        (PIPELINE.replace("timeout: 90m", "timeout: 7w"), "7d (found '7w')", ""),
        (PIPELINE.replace("type: build", "type: bild"), "'bild'", ""),
        (
            PIPELINE.replace("input: SourceOutput", "input: Nothing"),
            "nothing before this puts out 'Nothing'",
            "SourceOutput",
        ),
        (PIPELINE.replace("name: Gate", "name: Build"), "a second stage 'Build'", "unique"),
        (PIPELINE.replace("image: web/app", "image: Web App"), "file.yaml:14: ", ""),
        (PIPELINE.replace("image: web/app", "image: my.team/app"), "'my.team' before the first slash reads", ""),
        (PIPELINE.replace("image: web/app", "image: localhost/app"), "'localhost' before the first slash reads", ""),
        (
            PIPELINE.replace("type: deploy,", "type: source, repository: web, output: x,"),
            "file.yaml:24: ",
            "Allowed here",
        ),
        (SERVICE.replace("/healthz", '"/ HTTP/1.1\\r\\nHost: x"'), "path: write a text that matches ^/", ""),
        (SERVICE.replace("    http: {port: 8080, path: /healthz}\n", ""), "either http or command", "exactly one"),
        (
            SERVICE.replace("desiredCount: 1", "desiredCount: 2").replace("8080}\n  h", "8080, hostPort: 80}\n  h"),
            "two tasks cannot share one host port",
            "hostPort 0",
        ),
        (
            SERVICE.replace("desiredCount: 1", "desiredCount: 2").replace(
                "  container:", "  network: host\n  container:"
            ),
            "file.yaml:4: taskDefinition: web: 2 tasks cannot use the host's network",
            "bridge",
        ),
        (PIPELINE.replace("name: Web", "name: Web\nonFix: deploy", 1), "file.yaml:3: onFix: ", ""),
        (PIPELINE.replace("name: Web", "name: Web\nfixesPerDay: 2", 1), "file.yaml:3: fixesPerDay: ", "onFix: one of"),
        (PIPELINE.replace("name: Web", "name: Web\nonFix: notify\nfixesPerDay: 0", 1), "file.yaml:4: fixesPerD", ""),
        (
            PIPELINE.replace("name: Web", "name: Web\nonFix: notify\nfixesPerDay: 50", 1),
            "file.yaml:4: fixesPerDay: write 24 or less here (found 50)",
            "",
        ),
        (PIPELINE.replace("type: build", "type: bild"), "write one of 'source', 'build', 'approval', 'deploy' as", ""),
        (SERVICE.replace("desiredCount: 1", "desiredCount: few"), "desiredCount: write a whole number here", ""),
        (SERVICE.replace("startPeriod: 2m", "startPeriod: 2h"), "startPeriod: write 3600 or less here (found", ""),
        (SERVICE.replace("name: web", "name: ../web"), "file.yaml:2: name: ", ""),
        (SERVICE.replace("name: web", "nme: web"), "file.yaml:2: nme: unknown key 'nme'", "desiredCount"),
    ],
)
def test_a_mistake_is_reported_with_its_location_and_what_is_allowed(text: str, message: str, advice: str) -> None:
    with pytest.raises(DefinitionError) as error_info:
        read_definition(text, "file.yaml")
    assert message in str(error_info.value)
    assert advice in str(error_info.value.advice)


def test_a_source_belongs_into_the_first_stage_and_nothing_else_does() -> None:
    text = PIPELINE.replace(
        "type: deploy, input: BuildOutput, service: web", "type: source, repository: web, output: x"
    )
    with pytest.raises(DefinitionError, match="a source action in stage 4"):
        read_definition(text, "p.yaml")


@pytest.mark.parametrize(
    ("approvers", "where", "message"),
    [
        ("{principals: [ann], count: 2}", "approvers.count", "2 approvals of 1 principals"),
        ("{roles: [viewer]}", "approvers.roles.0", "may not decide"),
        ("{roles: [boss]}", "approvers.roles.0", "write '"),
        ("{count: 0}", "approvers.count", "write 1 or more here (found 0)"),
        ("{people: [ann]}", "approvers", "unknown key 'people'"),
        ("{principals: ['a b']}", "approvers.principals.0", "match"),
    ],
)
def test_approvers_who_cannot_be_enough_are_refused_at_their_line(approvers: str, where: str, message: str) -> None:
    text = PIPELINE.replace("timeout: 90m", f"timeout: 90m\n        approvers: {approvers}")
    line = next(number for number, text in enumerate(text.splitlines(), 1) if "approvers:" in text)
    with pytest.raises(DefinitionError, match=re.escape(message)) as error:
        read_definition(text, "p.yaml")
    assert str(error.value).startswith(f"p.yaml:{line}: stages.2.actions.0.{where}")


def test_approvers_are_kept_as_they_are_written() -> None:
    text = PIPELINE.replace("timeout: 90m", "timeout: 90m\n        approvers: {principals: [ann], roles: [security]}")
    pipeline = read_definition(text, "p.yaml")
    assert isinstance(pipeline, Pipeline)
    assert pipeline.get_action("Gate", "Approval").configuration["approvers"] == {
        "principals": ["ann"],
        "roles": ["security"],
        "count": 1,
        "exclude_committer": True,
    }
