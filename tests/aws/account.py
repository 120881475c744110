"""An account for the functions: moto's DynamoDB, S3, SNS and ECS, our own CodePipeline and Inspector, and a clock."""

import inspect
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws
from tests.aws.fakes.codepipeline import Approvals
from tests.aws.fakes.inspector import ENDED, Inspector
from tests.aws.fakes.registry import Registry
from tests.aws.fakes.server import Service, make_send_hook

from dockgate.aws.functions.handlers import Functions, make_functions
from dockgate.aws.functions.settings import from_environment
from dockgate.gate import rules
from dockgate.gate.definitions.policy import read_builtin_policy
from dockgate.gate.model import Policy
from dockgate.gate.policy import encode_policy

SCANNED = 1_795_000_000
"""2026-11-18T11:06:40Z"""
REGION, ACCOUNT = "eu-west-1", "123456789012"
PIPELINE, STAGE = "ContainerBuildDeployPipeline", "ContainerVulnerabilityAssessment"
REPOSITORY = "dockgate-app"
EXPIRES = "2026-11-25T12:00Z"
ENVIRONMENT = {
    "DOCKGATE_TABLE": "approvals",
    "DOCKGATE_BUCKET": "verdicts",
    "DOCKGATE_ACCOUNT": ACCOUNT,
    "AWS_REGION": REGION,
    "DOCKGATE_PARTITION": "aws",
    "DOCKGATE_APPROVALS": f"{PIPELINE}/{STAGE}/{STAGE}",
    "DOCKGATE_POLICY": "s3://verdicts/policy.json",
}
TABLE: dict[str, Any] = {
    "TableName": "approvals",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": "digest", "AttributeType": "S"},
        {"AttributeName": "half", "AttributeType": "S"},
        {"AttributeName": "state", "AttributeType": "S"},
        {"AttributeName": "waiting_since", "AttributeType": "N"},
    ],
    "KeySchema": [{"AttributeName": "digest", "KeyType": "HASH"}, {"AttributeName": "half", "KeyType": "RANGE"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "state",
            "KeySchema": [
                {"AttributeName": "state", "KeyType": "HASH"},
                {"AttributeName": "waiting_since", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
}
"""as the template makes it"""
OURS = r"https://(api\.)?(codepipeline|ecr|inspector2)\."
"""what moto does not answer"""
SESSION = boto3.session.Session()
"""keeps the service models that it has read"""
KEYS = {"region_name": REGION, "aws_access_key_id": "test", "aws_secret_access_key": "test"}


def digest_of(number: int) -> str:
    return f"sha256:{number:064x}"


def make_finding(
    image: str,
    severity: str = "HIGH",
    number: int = 1,
    fixed: str = "1.5.0",
    repository: str = REPOSITORY,
    **fields: Any,
) -> dict[str, Any]:
    """As ListFindings tells it (AWS.md); `fixed` "" where there is none."""
    return {
        "findingArn": f"arn:aws:inspector2:{REGION}:{ACCOUNT}:finding/{number:032x}",
        "awsAccountId": ACCOUNT,
        "type": "PACKAGE_VULNERABILITY",
        "description": "A flaw.",
        "title": f"CVE-2024-{number:04} - jinja2",
        "remediation": {"recommendation": {"text": "None Provided"}},
        "severity": severity,
        "status": "ACTIVE",
        "firstObservedAt": SCANNED,
        "lastObservedAt": SCANNED,
        "updatedAt": SCANNED,
        "inspectorScore": 7.5,
        "exploitAvailable": "NO",
        "fixAvailable": "YES" if fixed else "NO",
        "packageVulnerabilityDetails": {
            "vulnerabilityId": f"CVE-2024-{number:04}",
            "source": "NVD",
            "vulnerablePackages": [
                {
                    "name": "jinja2",
                    "version": "1.0.0",
                    "packageManager": "PYTHONPKG",
                    "filePath": "app/jinja2/METADATA",
                    "fixedInVersion": fixed or "NotAvailable",
                }
            ],
        },
        "resources": [
            {
                "type": "AWS_ECR_CONTAINER_IMAGE",
                "id": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{repository}/{image}",
                "region": REGION,
                "details": {
                    "awsEcrContainerImage": {
                        "repositoryName": repository,
                        "registry": ACCOUNT,
                        "imageHash": image,
                        "architecture": "amd64",
                        "platform": "DEBIAN_12",
                    }
                },
            }
        ],
        **fields,
    }


def scan_event(
    image: str, status: str = "INITIAL_SCAN_COMPLETE", repository: str = REPOSITORY, **counts: int
) -> dict[str, Any]:
    """The end of a scan, with the counts that are not zero, and TOTAL: as AWS sends them."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Inspector2 Scan",
        "source": "aws.inspector2",
        "account": ACCOUNT,
        "time": "2026-11-18T11:06:40Z",
        "region": REGION,
        "resources": [f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{repository}"],
        "detail": {
            "scan-status": status,
            "repository-name": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{repository}",
            "finding-severity-counts": {"TOTAL": sum(counts.values()), **counts},
            "image-digest": image,
            "image-tags": ["latest"],
        },
    }


def make_coverage_event(
    image: str, reason: str, status: str = "INACTIVE", repository: str = REPOSITORY
) -> dict[str, Any]:
    """As Inspector's user guide has it of an EC2 instance, with an image's ARN in its place."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Inspector2 Coverage",
        "source": "aws.inspector2",
        "account": ACCOUNT,
        "time": "2026-11-18T11:06:40Z",
        "region": REGION,
        "resources": [f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{repository}/{image}"],
        "detail": {
            "scanStatus": {"reason": reason, "statusCodeValue": status},
            "scanType": "PACKAGE",
            "provider": "AWS",
            "providerAccountId": ACCOUNT,
            "providerRegion": REGION,
            "eventTimestamp": "2026-11-18T11:06:40.665501Z",
            "version": "1.0",
        },
    }


def make_approval_event(*tokens: str, image: str, expires: str = EXPIRES, **settings: str) -> dict[str, Any]:
    """An approval action's messages, as SNS hands them to a function; `more` is for its CustomData."""
    messages = [make_approval_message(token, image, expires, **settings) for token in tokens]
    return {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": message}} for message in messages]}


def make_approval_message(token: str, image: str, expires: str = EXPIRES, **settings: str) -> str:
    approval = {
        "pipelineName": PIPELINE,
        "stageName": STAGE,
        "actionName": STAGE,
        "token": token,
        "expires": expires,
        "externalEntityLink": None,
        "approvalReviewLink": "https://example.com/review",
        "customData": make_custom_data(image, **settings),
    }
    return json.dumps({"region": REGION, "consoleLink": "https://example.com", "approval": approval})


def make_custom_data(image: str, **variables: str) -> str:
    """An approval action's comment, its variables replaced."""
    all_variables = {"Image_Digest": image, "Image_Repository": REPOSITORY, **variables}
    return " ".join(f"{key}={value}" for key, value in all_variables.items() if value)


@cache
def get_shared_client(name: str) -> Any:
    """A client for all accounts, one after another: making one takes as long as twenty calls."""
    return SESSION.client(name, **KEYS)


class OneAtATime:
    """A client whose calls wait for each other: moto's S3 closes an object's file while another call reads it."""

    def __init__(self, client: Any) -> None:
        self._client, self._turn = client, threading.RLock()

    def __getattr__(self, name: str) -> Any:
        result = getattr(self._client, name)
        if name.startswith("_") or not inspect.ismethod(result):
            return result

        def call(*args: Any, **kwargs: Any) -> Any:
            with self._turn:
                return result(*args, **kwargs)

        return call


@dataclass
class Account:
    """`approvals`, `inspector` and `registry` are what the fakes know; `services` the fakes, whose `faults` are to stay
    empty."""

    approvals: Approvals = field(default_factory=Approvals)
    inspector: Inspector = field(default_factory=Inspector)
    registry: Registry = field(default_factory=Registry)
    services: dict[str, Service] = field(default_factory=dict)
    id: str = ACCOUNT
    now: float = SCANNED + 600
    broken: set[str] = field(default_factory=set)
    """operations that fail ("s3.PutObject")"""
    clients: dict[str, Any] = field(default_factory=dict)
    hooks: ExitStack = field(default_factory=ExitStack)
    """what leaves the clients to the next account"""
    _making: threading.Lock = field(default_factory=threading.Lock)
    """taken while a client gets its hooks: with two of a kind a fake would answer each call twice"""

    def __post_init__(self) -> None:
        self.approvals.clock = lambda: self.now

    def get_client(self, name: str) -> Any:
        with self._making:
            if name not in self.clients:
                client = get_shared_client(name)
                self._register_hook(client, "before-call", self._fail)
                if name in self.services:
                    self._register_hook(client, f"before-send.{name}", make_send_hook(self.services[name]))
                self.clients[name] = OneAtATime(client) if name == "s3" else client
            return self.clients[name]

    def _register_hook(self, client: Any, event: str, handler: Any) -> None:
        client.meta.events.register_first(event, handler)
        self.hooks.callback(client.meta.events.unregister, event, handler)

    def _fail(self, model: Any, **details: Any) -> None:
        if f"{model.service_model.service_name}.{model.name}" in self.broken:
            error = {"Code": "AccessDeniedException", "Message": "this test does not allow it"}
            raise ClientError({"Error": error}, model.name)

    def list_fakes(self) -> dict[str, Service]:
        services = (self.approvals.make_service(), self.inspector.make_service(), self.registry.make_service())
        self.services = {service.name: service for service in services}
        return self.services

    def make_functions(self, **environment: str) -> Functions:
        return make_functions(from_environment({**ENVIRONMENT, **environment}), self.get_client, lambda: self.now)

    def ask(self, image: str, pipeline: str = PIPELINE, started_at: float | None = None, **variables: str) -> str:
        """A pipeline's approval action begins to wait, or began at `started_at`; returns its token."""
        token = str(uuid.uuid4())
        options = {} if started_at is None else {"started": started_at}
        self.approvals.ask(pipeline, STAGE, STAGE, token, make_custom_data(image, **variables), **options)
        return token

    def cover_image(self, image: str, reason: str, repository: str = REPOSITORY, ended_at: int | None = ENDED) -> None:
        """The entry of the image in ListCoverage; `ended_at` is when its last scan ended, None if unknown."""
        name = f"arn:aws:ecr:{REGION}:{self.id}:repository/{repository}/{image}"
        self.inspector.covered[name] = reason
        self.inspector.ended[name] = ended_at

    def complete_scan(
        self, image: str, *findings: dict[str, Any], repository: str = REPOSITORY, ended_at: int | None = ENDED
    ) -> None:
        """Inspector has scanned the image and found these."""
        self.inspector.findings.setdefault(image, []).extend(findings)
        self.cover_image(image, "SUCCESSFUL", repository, ended_at)

    def list_answers(self, *tokens: str) -> list[str | None]:
        return [self.approvals.answered.get(token) for token in tokens]

    def put_policy(self, policy: Policy) -> None:
        """What images are judged by, where the functions look for it."""
        self.get_client("s3").put_object(Bucket="verdicts", Key="policy.json", Body=encode_policy(policy))

    def list_verdict_keys(self) -> list[str]:
        """The keys of all that is in the bucket of verdicts."""
        page = self.get_client("s3").list_objects_v2(Bucket="verdicts")
        return [content["Key"] for content in page.get("Contents", []) if content["Key"].startswith("verdicts/")]

    def list_faults(self) -> list[str]:
        return [fault for service in self.services.values() for fault in service.faults]


@contextmanager
def run_account() -> Iterator[Account]:
    new_account = Account()
    with mock_aws(config={"core": {"passthrough": {"urls": [OURS]}}}), new_account.hooks:
        new_account.list_fakes()
        new_account.get_client("s3").create_bucket(
            Bucket="verdicts", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        new_account.get_client("dynamodb").create_table(**TABLE)
        new_account.put_policy(read_builtin_policy("default", rules.load()))
        yield new_account
