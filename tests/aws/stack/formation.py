"""A CloudFormation for tests, strict by botocore's model.

moto's CloudFormation lacks a third of the template's types. This one reads the template from where it was uploaded,
resolves it, makes the resources that `status` and `destroy` read in moto, and can be set to fail.
"""

import io
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.aws.stack.cloudformation import Stack, parse
from tests.aws.stack.stack_state import (
    ID,
    REGION,
    TIME,
    Made,
    Refusal,
    convert_to_snake_case,
    is_retained,
    list_parameter_values,
    list_resource_changes,
    make_event,
    make_physical_name,
)

KEYS = {"region_name": REGION, "aws_access_key_id": "test", "aws_secret_access_key": "test"}


@dataclass
class Formation:
    """`slow` stacks are seen under way before they are at rest. `fails` is (logical name, reason): the next create,
    update or delete fails there. `before` are called once each, right before an operation of their name. `denied` are
    operations, of any service, that the caller may not do. `called` is every call of any service, in order; `sources`
    are CodeCommit's repositories, by id; `settings` are those of buckets whose conditions moto does not know."""

    client: Any
    slow: bool = True
    stacks: dict[str, Made] = field(default_factory=dict)
    fails: tuple[str, str] | None = None
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    called: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    concurrency: int = 1000
    invoked: list[tuple[str, str, str]] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    settings: dict[tuple[str, str], Any] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def answer(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        return dict(getattr(self, convert_to_snake_case(name))(request))

    def describe_stacks(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["StackName"]
        stack = self._find_stack(name)
        if stack.moves:
            stack.state, stack.moves = (stack.moves[0], stack.moves[1:]) if self.slow else (stack.moves[-1], [])
            if stack.state == "DELETE_COMPLETE":
                del self.stacks[name]
                stack = self._find_stack(name)
        values = [{"ParameterKey": key, "ParameterValue": value} for key, value in stack.parameters.items()]
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in stack.outputs.items()]
        item = {"StackName": name, "CreationTime": TIME, "StackStatus": stack.state, "Parameters": values}
        return {"Stacks": [{**item, "Outputs": outputs}]}

    def create_stack(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["StackName"]
        if name in self.stacks:
            raise Refusal("AlreadyExistsException", f"Stack [{name}] already exists")
        text, values = (
            self._fetch_template(request),
            {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in request["Parameters"]},
        )
        stack = self._check_template(text, values)
        new_stack = self.stacks[name] = Made("CREATE_IN_PROGRESS", list_parameter_values(stack), text)
        if name_and_reason := self.fails:
            item = stack.resources[name_and_reason[0]]
            new_stack.failed[name_and_reason[0]] = item["Type"], item["Properties"].get("RepositoryName", "failed")
        if self._has_failed(new_stack, request["ClientRequestToken"], "CREATE"):
            new_stack.moves = ["CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"]
            return {"StackId": name}
        self._make(new_stack, stack)
        new_stack.moves = ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"]
        return {"StackId": name}

    def create_change_set(self, request: dict[str, Any]) -> dict[str, Any]:
        current_stack = self._find_stack(request["StackName"])
        if not current_stack.state.endswith("_COMPLETE") or current_stack.state == "ROLLBACK_COMPLETE":
            raise Refusal("ValidationError", f"Stack is in {current_stack.state} state and can not be updated.")
        values = {
            parameter["ParameterKey"]: current_stack.parameters[parameter["ParameterKey"]]
            if parameter.get("UsePreviousValue")
            else parameter["ParameterValue"]
            for parameter in request["Parameters"]
        }
        text = self._fetch_template(request)
        stack = self._check_template(text, values)
        is_same = (text, list_parameter_values(stack)) == (current_stack.template, current_stack.parameters)
        arn = f"arn:aws:cloudformation:{REGION}:{ID}:changeSet/{request['ChangeSetName']}/1"
        current_stack.change_sets[arn] = text, None if is_same else stack
        return {"Id": arn, "StackId": request["StackName"]}

    def describe_change_set(self, request: dict[str, Any]) -> dict[str, Any]:
        """One change a page."""
        current_stack = self._find_stack(request["StackName"])
        _, stack = current_stack.change_sets[request["ChangeSetName"]]
        if stack is None:
            reason = "The submitted information didn't contain changes. Submit different information."
            return {"Status": "FAILED", "StatusReason": reason, "Changes": []}
        changes = list(list_resource_changes(current_stack, stack))
        at = int(request.get("NextToken", "0"))
        next_page = {"NextToken": str(at + 1)} if at + 1 < len(changes) else {}
        return {
            "Status": "CREATE_COMPLETE",
            "ExecutionStatus": "AVAILABLE",
            "Changes": changes[at : at + 1],
            **next_page,
        }

    def delete_change_set(self, request: dict[str, Any]) -> dict[str, Any]:
        del self._find_stack(request["StackName"]).change_sets[request["ChangeSetName"]]
        return {}

    def execute_change_set(self, request: dict[str, Any]) -> dict[str, Any]:
        current_stack = self._find_stack(request["StackName"])
        text, stack = current_stack.change_sets[request["ChangeSetName"]]
        assert stack is not None
        current_stack.change_sets.clear()
        if self._has_failed(current_stack, request["ClientRequestToken"], "UPDATE"):
            current_stack.moves = ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"]
            return {}
        losses = [change["ResourceChange"] for change in list_resource_changes(current_stack, stack)]
        for item in losses:
            if item["Action"] == "Remove" or item.get("Replacement") == "True":
                kind, physical = current_stack.physical.pop(item["LogicalResourceId"])
                if not item["PolicyAction"].endswith("Retain"):
                    self._delete_resource(kind, physical)
        current_stack.template, current_stack.parameters = text, list_parameter_values(stack)
        self._make(current_stack, stack)
        current_stack.moves = ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]
        return {}

    def delete_stack(self, request: dict[str, Any]) -> dict[str, Any]:
        current_stack = self.stacks.get(request["StackName"])
        if current_stack is None:
            return {}
        token = f"delete-{next(self.numbers)}"
        stored_objects = [
            name
            for name, (kind, physical) in current_stack.physical.items()
            if not is_retained(current_stack, name, "DeletionPolicy") and not self._delete_resource(kind, physical)
        ]
        for name in stored_objects:
            current_stack.events.insert(0, make_event(current_stack, name, "DELETE_FAILED", "it is not empty", token))
        current_stack.physical = {name: current_stack.physical[name] for name in stored_objects}
        current_stack.moves = ["DELETE_IN_PROGRESS", "DELETE_FAILED" if stored_objects else "DELETE_COMPLETE"]
        return {}

    def describe_stack_events(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"StackEvents": self._find_stack(request["StackName"]).events}

    def list_stack_resources(self, request: dict[str, Any]) -> dict[str, Any]:
        current_stack = self._find_stack(request["StackName"])
        return {
            "StackResourceSummaries": [
                {
                    "LogicalResourceId": name,
                    "PhysicalResourceId": physical,
                    "ResourceType": kind,
                    "LastUpdatedTimestamp": TIME,
                    "ResourceStatus": state,
                }
                for content, state in (
                    (current_stack.physical, "CREATE_COMPLETE"),
                    (current_stack.failed, "CREATE_FAILED"),
                )
                for name, (kind, physical) in content.items()
            ]
        }

    def get_account_settings(self, request: dict[str, Any]) -> dict[str, Any]:
        """Lambda's."""
        return {
            "AccountLimit": {
                "ConcurrentExecutions": self.concurrency,
                "UnreservedConcurrentExecutions": self.concurrency,
            }
        }

    def invoke(self, request: dict[str, Any]) -> dict[str, Any]:
        """Lambda's, of a function that takes every event but those of `refusals`, by its payload."""
        name, payload = request["FunctionName"], request["Payload"]
        self.invoked.append((name, request["InvocationType"], payload))
        if payload in self.refusals:
            output = json.dumps({"errorType": "ClientError", "errorMessage": self.refusals[payload]})
            return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": io.BytesIO(output.encode())}
        return {"StatusCode": 200, "Payload": io.BytesIO(b"null")}

    def get_pipeline_state(self, request: dict[str, Any]) -> dict[str, Any]:
        """CodePipeline's, which moto does not have: the first stage has run, and the third failed."""
        current_stack = next(
            stack for stack in self.stacks.values() if stack.outputs.get("PipelineName") == request["name"]
        )
        (pipeline,) = (
            Stack(current_stack.parameters, parse(current_stack.template))
            .select_resources("AWS::CodePipeline::Pipeline")
            .values()
        )
        names = [stage["Name"] for stage in pipeline["Stages"]]
        result = {
            "latestExecution": {"pipelineExecutionId": "5e2a1c0d-0000-4000-8000-000000000001", "status": "Succeeded"}
        }
        failure = {"status": "Failed", "summary": "3 HIGH findings, 0 allowed"}
        failed_action = {
            "latestExecution": {**result["latestExecution"], "status": "Failed"},
            "actionStates": [{"actionName": "Gate", "latestExecution": failure}],
        }
        runs: dict[str, dict[str, Any]] = {"Source": result, "ContainerVulnerabilityAssessment": failed_action}
        return {"stageStates": [{"stageName": name, **runs.get(name, {})} for name in names]}

    def list_repositories(self, request: dict[str, Any]) -> dict[str, Any]:
        """CodeCommit's, which moto does not have."""
        return {"repositories": [{"repositoryId": key, "repositoryName": item} for key, item in self.sources.items()]}

    def delete_repository(self, request: dict[str, Any]) -> dict[str, Any]:
        self.sources = {key: item for key, item in self.sources.items() if item != request["repositoryName"]}
        return {}

    def _find_stack(self, name: str) -> Made:
        if name not in self.stacks:
            raise Refusal("ValidationError", f"Stack with id {name} does not exist")
        return self.stacks[name]

    def _fetch_template(self, request: dict[str, Any]) -> str:
        """As CloudFormation fetches it: out of the bucket that the URL names."""
        url = urlsplit(request["TemplateURL"])
        if (url.scheme, url.netloc) != ("https", f"s3.{REGION}.amazonaws.com"):
            raise Refusal("ValidationError", "TemplateURL must be a supported URL.")
        bucket, _, key = url.path[1:].partition("/")
        return str(self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode())

    def _check_template(self, text: str, values: dict[str, str]) -> Stack:
        content = parse(text)
        unknown = sorted(set(values) - set(content["Parameters"]))
        if unknown:
            raise Refusal("ValidationError", f"Parameters: {unknown} do not exist in the template")
        stack = Stack(values, content)
        if stack.list_broken_rules():
            raise Refusal("ValidationError", f"Template validation error: {stack.list_broken_rules()}")
        return stack

    def _has_failed(self, current_stack: Made, token: str, doing: str) -> bool:
        if self.fails is None:
            return False
        (name, reason), self.fails = self.fails, None
        current_stack.events.insert(0, make_event(current_stack, name, f"{doing}_FAILED", reason, token))
        current_stack.events.insert(
            0, make_event(current_stack, "Table", f"{doing}_FAILED", "Resource creation cancelled", token)
        )
        return True

    def _make(self, current_stack: Made, stack: Stack) -> None:
        """What the commands look at really is there afterwards."""
        for name, item in stack.resources.items():
            if name not in current_stack.physical:
                current_stack.physical[name] = (
                    item["Type"],
                    self._create_resource(name, item["Type"], item["Properties"]),
                )
            current_stack.properties[name] = item["Properties"]
        current_stack.outputs = {
            key: make_physical_name(current_stack, str(value)) for key, value in stack.outputs.items()
        }

    def _create_resource(self, name: str, kind: str, properties: dict[str, Any]) -> str:
        if kind == "AWS::S3::Bucket":
            bucket = f"gate-{name.lower()}-{next(self.numbers)}"
            where = {"LocationConstraint": REGION}
            self.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
            if "VersioningConfiguration" in properties:
                self.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
            return bucket
        if kind == "AWS::ECR::Repository":
            self.client("ecr").create_repository(repositoryName=properties["RepositoryName"])
            return str(properties["RepositoryName"])
        if kind == "AWS::CodeCommit::Repository":
            key = f"{next(self.numbers):08}-0000-4000-8000-000000000000"
            self.sources[key] = properties["RepositoryName"]
            return key
        if kind == "AWS::DynamoDB::Table":
            expected_name = {
                key: properties[key]
                for key in ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
            }
            self.client("dynamodb").create_table(TableName="approvals", **expected_name)
            return "approvals"
        if kind == "AWS::SQS::Queue":
            return str(self.client("sqs").create_queue(QueueName=name.lower())["QueueUrl"])
        if kind == "AWS::ECS::Cluster":
            self.client("ecs").create_cluster(clusterName=properties["ClusterName"])
            return str(properties["ClusterName"])
        if kind == "AWS::ECS::Service":
            image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/dockgate-app:none-yet"
            containers = [{"name": "app", "image": image, "memory": 64}]
            ecs, service = self.client("ecs"), properties["ServiceName"]
            ecs.register_task_definition(family=service, containerDefinitions=containers)
            ecs.create_service(
                cluster="gate-cluster",
                serviceName=service,
                taskDefinition=service,
                desiredCount=int(properties["DesiredCount"]),
            )
            return str(service)
        return f"gate-{name}"

    def _delete_resource(self, kind: str, physical: str) -> bool:
        """Deletes; False when it is not empty."""
        try:
            if kind == "AWS::S3::Bucket":
                self.client("s3").delete_bucket(Bucket=physical)
            elif kind == "AWS::ECR::Repository":
                self.client("ecr").delete_repository(repositoryName=physical)
            elif kind == "AWS::CodeCommit::Repository":
                self.sources.pop(physical, None)
            elif kind == "AWS::DynamoDB::Table":
                self.client("dynamodb").delete_table(TableName=physical)
        except self.client("s3").exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("BucketNotEmpty", "RepositoryNotEmptyException"):
                return False
            raise
        return True
