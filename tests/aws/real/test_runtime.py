"""The archive as it is built, under AWS's own runtime interface client and emulator: events are posted, faults and
time-outs seen. DynamoDB and S3 are ministack's."""

import json
import os
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from tests.aws.account import ENVIRONMENT, TABLE, digest_of, make_approval_event, make_finding, scan_event
from tests.aws.real.cloud import ACCOUNT_ID, MISSING, PARTS, Cloud, run_cloud, wait_until
from tests.ports import find_free_port

from dockgate.services.aws_stack import build_archive

pytestmark = pytest.mark.real
EXPIRES = f"{datetime.now(UTC) + timedelta(days=7):%Y-%m-%dT%H:%MZ}"
CLOCK = {"source": "aws.events"}


class Runtime:
    def __init__(self, aws: Cloud, folder: Path) -> None:
        self.aws = aws
        self._code = folder / "code"
        zipfile.ZipFile(BytesIO(build_archive("default"))).extractall(self._code)
        aws.get_client("dynamodb").create_table(**TABLE)
        configuration = {"LocationConstraint": aws.environment["AWS_REGION"]}
        aws.get_client("s3").create_bucket(Bucket="verdicts", CreateBucketConfiguration=configuration)

    @contextmanager
    def run_function(self, name: str, timeout: int = 300, **environment: str) -> Iterator["Function"]:
        """The emulator with the handler behind it, on loopback."""
        emulator, port = PARTS / "aws-lambda-rie", find_free_port()
        assert emulator.exists(), MISSING
        variables = {**ENVIRONMENT, "DOCKGATE_POLICY": "", "DOCKGATE_ACCOUNT": ACCOUNT_ID, **self.aws.environment}
        variables |= {"LAMBDA_TASK_ROOT": str(self._code), "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout), **environment}
        process = subprocess.Popen(
            [
                *(emulator, "--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
                *("--runtime-api-address", f"127.0.0.1:{find_free_port()}"),
                *(sys.executable, "-m", "awslambdaric", f"dockgate.aws.functions.handlers.{name}"),
            ],
            cwd=self._code,
            env={"PATH": os.environ["PATH"], **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield Function(port, process)
        finally:
            os.killpg(process.pid, 9)
            process.wait()


class Function:
    def __init__(self, port: int, process: "subprocess.Popen[bytes]") -> None:
        self._url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        self._process = process

    def __call__(self, event: dict[str, Any]) -> Any:
        request = urllib.request.Request(self._url, json.dumps(event).encode())
        with wait_until(lambda: self._post_request(request), "the emulator answers") as answer:
            text = answer.read().decode()
        try:
            return json.loads(text)
        except ValueError:
            return text

    def _post_request(self, request: urllib.request.Request) -> Any:
        assert self._process.poll() is None, "the emulator ended"
        try:
            return urllib.request.urlopen(request, timeout=60)
        except urllib.error.URLError as error:
            if isinstance(error.reason, ConnectionRefusedError):
                return None
            raise


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("runtime")
    with run_cloud(folder) as cloud:
        yield Runtime(cloud, folder)
        assert cloud.fakes.list_faults() == []


@pytest.fixture(scope="module")
def sweep(runtime: Runtime) -> Iterator[Function]:
    with runtime.run_function("sweep") as function:
        yield function


def test_the_archive_answers_events(runtime: Runtime, sweep: Function) -> None:
    image, fakes = digest_of(1), runtime.aws.fakes
    token = fakes.ask(image)
    with runtime.run_function("record") as record, runtime.run_function("judge") as judge:
        assert record(make_approval_event(token, image=image, expires=EXPIRES)) == {"batchItemFailures": []}
        assert sweep(CLOCK) == {"waiting": 1}
        fakes.complete_scan(image, make_finding(image, "CRITICAL"))
        event = scan_event(image, CRITICAL=1, TOTAL=1)
        assert judge(event) == {"batchItemFailures": []}
        assert judge(event) == {"batchItemFailures": []}
        assert sweep(CLOCK) == {"waiting": 0}
    assert fakes.list_answers(token) == ["Rejected"]
    assert fakes.approvals.refused == 0


def test_an_error_of_a_function_is_raised_as_lambda_expects(runtime: Runtime, sweep: Function) -> None:
    """The error envelope: Lambda tries such an event again, and then sets it aside."""
    image, fakes = digest_of(2), runtime.aws.fakes
    fakes.complete_scan(image)
    token = fakes.ask(image)
    with runtime.run_function("record", DOCKGATE_POLICY="s3://verdicts/none.json") as record:
        output = record(make_approval_event(token, image=image, expires=EXPIRES))
    assert set(output) >= {"errorMessage", "errorType", "stackTrace"}
    assert output["errorType"] == "NoSuchKey"
    assert any("dockgate/aws/functions/verdicts.py" in line for line in output["stackTrace"])
    assert token not in json.dumps(output)
    assert sweep(CLOCK) == {"waiting": 0}
    assert fakes.list_answers(token) == ["Approved"]


@pytest.mark.slow
def test_an_error_of_our_own_is_raised_so_too(runtime: Runtime) -> None:
    with runtime.run_function("sweep", DOCKGATE_TABLE="") as sweep_without_table:
        output = sweep_without_table(CLOCK)
    assert (output["errorType"], output["errorMessage"]) == ("UsageError", "DOCKGATE_TABLE is not set")


def test_an_interrupted_approval_is_answered_once_by_the_next_call(runtime: Runtime, sweep: Function) -> None:
    """CodePipeline does not answer in time, and has taken the answer nevertheless."""
    image, fakes = digest_of(3), runtime.aws.fakes
    fakes.complete_scan(image)
    token = fakes.ask(image)
    operations = fakes.services["codepipeline"].operations
    give = operations["PutApprovalResult"]

    def answer_slowly(request: dict[str, Any]) -> dict[str, Any]:
        answer = give(request)
        time.sleep(6)
        return answer

    operations["PutApprovalResult"] = answer_slowly
    event = make_approval_event(token, image=image, expires=EXPIRES)
    with runtime.run_function("record", timeout=4) as record:
        assert "timed out after 4" in json.dumps(record(event))
        operations["PutApprovalResult"] = give
        assert record(event) == {"batchItemFailures": []}, "another has it in hand"
    assert fakes.list_answers(token) == ["Approved"]
    key = {"digest": {"S": image}, "half": {"S": f"approval#{token}"}}
    table = runtime.aws.get_client("dynamodb")
    assert table.get_item(TableName="approvals", Key=key)["Item"]["state"] == {"S": "ANSWERING"}
    change = {"ExpressionAttributeValues": {":past": {"N": "1"}}, "UpdateExpression": "SET lease = :past"}
    table.update_item(TableName="approvals", Key=key, **change)
    assert sweep(CLOCK) == {"waiting": 0}
    assert table.get_item(TableName="approvals", Key=key)["Item"]["status"] == {"S": "Settled"}
    assert (fakes.list_answers(token), fakes.approvals.refused) == (["Approved"], 1)
