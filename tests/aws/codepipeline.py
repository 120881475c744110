"""CodePipeline for adapters of a server: a fake that holds each call against AWS's model, and what clients reach it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from moto import mock_aws
from tests.aws.fakes.codepipeline import Approvals
from tests.aws.fakes.server import Service, serve_service

from dockgate.shared.aws import RegionalClients

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
PIPELINE, STAGE, ACTION = "Shop", "Assess", "Gate"
TOKEN = "11111111-2222-3333-4444-5555555555{:02}"


@dataclass
class CodePipeline:
    """`regions` are those that clients were made for, in order."""

    approvals: Approvals
    service: Service
    url: str
    regions: list[str | None] = field(default_factory=list)

    @property
    def clients(self) -> RegionalClients:
        return RegionalClients(self.make_client)

    def make_client(self, name: str, region: str | None) -> Any:
        assert name == "codepipeline"
        self.regions.append(region)
        return boto3.client(name, region_name=region, endpoint_url=self.url, **KEYS)

    def ask(self, number: int, custom_data: str = "", **options: Any) -> str:
        """The action waits, with this comment; returns its token."""
        token = TOKEN.format(number)
        self.approvals.ask(PIPELINE, STAGE, ACTION, token, custom_data, **options)
        return token


@contextmanager
def run_codepipeline() -> Iterator[CodePipeline]:
    """Every call that was made of it is one that AWS would take."""
    approvals = Approvals(time.time)
    service = approvals.make_service()
    with mock_aws(config={"core": {"passthrough": {"urls": [r"http://127\.0\.0\.1"]}}}), serve_service(service) as url:
        yield CodePipeline(approvals, service, url)
    assert service.faults == []


def make_message(token: str, custom_data: str, expires: str = "2126-07-07T20:22Z", region: str = "eu-west-1") -> str:
    """As CodePipeline has it published: its user guide, "JSON data format for manual approval notifications"."""
    approval = {
        "pipelineName": PIPELINE,
        "stageName": STAGE,
        "actionName": ACTION,
        "token": token,
        "expires": expires,
        "externalEntityLink": None,
        "approvalReviewLink": "https://example.com/review",
        "customData": custom_data,
    }
    return json.dumps({"region": region, "consoleLink": "https://example.com", "approval": approval})
