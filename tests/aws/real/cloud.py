"""ministack in a process of its own, over TLS and enforcing IAM, with our CodePipeline, Inspector and ECR beside it."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from tests.aws.account import PIPELINE, REGION, Account, scan_event
from tests.aws.fakes.codepipeline import Pipeline
from tests.aws.fakes.server import serve_service
from tests.docker_registry import make_certificates
from tests.forks import run_forked
from tests.ports import find_free_port

ROOT = Path(__file__).parents[3]
PARTS = ROOT / "build" / "aws"
MISSING = "`make test` brings what stands in for AWS into build/aws"
ACCOUNT_ID = "000000000000"
"""ministack's own"""
SOURCE = "dockgate.test"
"""of events: `aws.` is AWS's alone"""


@dataclass
class Cloud:
    """`environment` lets a process reach all of it, `fakes` are what we answer for."""

    environment: dict[str, str]
    fakes: Account
    log: Path
    clients: dict[str, Any] = field(default_factory=dict)

    def get_client(self, name: str) -> Any:
        if name not in self.clients:
            keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
            url, authority = self.environment["AWS_ENDPOINT_URL"], self.environment["AWS_CA_BUNDLE"]
            self.clients[name] = boto3.client(name, endpoint_url=url, verify=authority, **keys)
        return self.clients[name]

    def run_dockgate(self, *arguments: str) -> str:
        """The command as people run it; returns what it says."""
        result = run_forked("dockgate", ["aws", *arguments], {**os.environ, **self.environment})
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def send_scan_event(self, image: str, **counts: Any) -> None:
        """The end of a scan, over EventBridge."""
        event = scan_event(image, **counts)
        entry = {
            "Source": SOURCE,
            "DetailType": event["detail-type"],
            "Detail": json.dumps(event["detail"]),
            "Resources": event["resources"],
            "Time": datetime.now(UTC),
        }
        assert self.get_client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0


def wait_until(holds: Callable[[], Any], condition_name: str, seconds: float = 60) -> Any:
    """What it gives once it gives something."""
    end = time.monotonic() + seconds
    while not (result := holds()):
        assert time.monotonic() < end, f"not within {seconds} s: {condition_name}"
        time.sleep(0.1)
    return result


@contextmanager
def run_cloud(folder: Path) -> Iterator[Cloud]:
    """A missing part fails."""
    program = PARTS / "ministack" / "bin" / "ministack"
    assert program.exists(), MISSING
    fakes = Account(id=ACCOUNT_ID)
    fakes.approvals.pipelines[PIPELINE] = Pipeline()
    fakes.approvals.clock = time.time
    with ExitStack() as stack:
        urls = {service.name: stack.enter_context(serve_service(service)) for service in fakes.list_fakes().values()}
        port, tls = find_free_port(), make_certificates(folder / "tls")
        environment = {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CA_BUNDLE": str(tls.authority),
            "AWS_ENDPOINT_URL": f"https://127.0.0.1:{port}",
            **{f"AWS_ENDPOINT_URL_{name.upper()}": where for name, where in urls.items()},
        }
        process_environment = {
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "MINISTACK_SSL_CERT": str(tls.certificate),
            "MINISTACK_SSL_KEY": str(tls.key),
            "TMPDIR": str(folder),
            "USE_SSL": "1",
        }
        log = folder / "ministack.log"
        process = subprocess.Popen(
            [program],
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment, **process_environment},
            cwd=folder,
            stdout=stack.enter_context(log.open("w")),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until(lambda: _is_listening(port, process), "ministack listens")
            yield Cloud(environment, fakes, log)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # its workers, too; asked to end it waits for its connections
            process.wait()


def _is_listening(port: int, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "ministack ended"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
