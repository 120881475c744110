"""A server process with its images and artifacts in S3, which takes approvals from a queue and findings from Inspector.

Images are pushed and pulled by skopeo through the proxy and without it. For them the server has the permissions that
docs/how-to/aws-adapters.md lists; those for queues and artifacts are in `test_adapters`.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.aws.account import REGION, digest_of, make_approval_message, make_finding
from tests.aws.page import list_permissions
from tests.aws.real.cloud import ACCOUNT_ID, Cloud, run_cloud, wait_until
from tests.ports import find_free_port
from tests.scanner.images import make
from tests.scenarios.live import Live

from dockgate.delivery.registry_access import PULL, PUSH, Access

pytestmark = pytest.mark.real

MEGABYTE = 1 << 20
BUCKET, PREFIX = "images", "our/prefix"
PERMISSIONS = {name for name in list_permissions("Store the registry's images in S3") if name.startswith("s3:")}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with run_cloud(tmp_path_factory.mktemp("aws")) as cloud:
        for bucket in (BUCKET, "artifacts"):
            configuration = {"LocationConstraint": REGION}
            cloud.get_client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration=configuration)
        for queue in ("approvals", "pushes"):
            cloud.get_client("sqs").create_queue(QueueName=queue)
        yield cloud


def create_access_key(aws: Cloud) -> dict[str, str]:
    """A user's access key, as variables."""
    iam = aws.get_client("iam")
    iam.create_user(UserName="server")
    resources = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/{PREFIX}/*"]
    statements = [
        {"Effect": "Allow", "Action": sorted(PERMISSIONS), "Resource": resources},
        {"Effect": "Allow", "Action": "s3:*", "Resource": ["arn:aws:s3:::artifacts", "arn:aws:s3:::artifacts/*"]},
        {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName="server", PolicyName="server", PolicyDocument=document)
    access_key = iam.create_access_key(UserName="server")["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": access_key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": access_key["SecretAccessKey"]}


@pytest.fixture(scope="module")
def live(aws: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("server")
    environment = {
        **create_access_key(aws),
        "DOCKGATE_APPROVAL_QUEUE": f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:approvals",
        "DOCKGATE_BLOBS": "s3://artifacts/live",
        "DOCKGATE_CACHE": str(folder / "cache"),
        "DOCKGATE_ECR_QUEUE": f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:pushes",
        "DOCKGATE_INSPECTOR": f"{ACCOUNT_ID}.dkr.ecr.*",
        "DOCKGATE_REGISTRY_STORAGE": f"s3://{BUCKET}/{PREFIX}",
        "DOCKGATE_REGISTRY_LISTEN": f"127.0.0.1:{find_free_port()}",
    }
    server = Live(folder, environment={**aws.environment, **environment})
    server.start()
    assert server.is_alive(), (server.folder / "server.log").read_text()
    try:
        yield server
    finally:
        server.purge()


def run_skopeo(live: Live, *arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(live.folder)}
    result = subprocess.run(["skopeo", *arguments], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{result.stderr}\n{(live.data / 'logs' / 'registry.log').read_text()}"
    return result.stdout


def issue_token(live: Live, repository: str) -> str:
    access = Access("repository", repository, (PULL, PUSH))
    return live.make_registry_headers(access)["Authorization"].removeprefix("Bearer ")


def list_blobs(layout: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in (layout / "blobs" / "sha256").iterdir()}


# The larger size S3 copies in parts.
SIZES = (MEGABYTE, pytest.param(33 * MEGABYTE, marks=pytest.mark.slow))


@pytest.mark.parametrize("size", SIZES)
def test_images_in_s3_survive_a_restart(aws: Cloud, live: Live, tmp_path: Path, size: int) -> None:
    release = {"etc/os-release": b"ID=debian\n"}
    layers = [release, {"large": os.urandom(size)}]
    digests = [
        make.write_image_layout(tmp_path / f"image-{number}", image) for number, image in enumerate((layers, [release]))
    ]
    assert max(list_blobs(tmp_path / "image-0").values()) > size
    public = live.environment["DOCKGATE_REGISTRY_LISTEN"]
    inside = f"127.0.0.1:{live.registry_port}"
    for number, address in enumerate((public, inside)):
        target = f"docker://{address}/team/app{number}:1"
        push = (
            "copy",
            "--preserve-digests",
            "--dest-tls-verify=false",
            "--dest-registry-token",
            issue_token(live, f"team/app{number}"),
        )
        run_skopeo(live, *push, f"oci:{tmp_path / f'image-{number}'}", target)
    begin = time.monotonic()
    live.stop()
    assert time.monotonic() - begin < 15  # though it waits 20 seconds for messages of its queues
    live.start()
    for number, address in enumerate((inside, public)):
        source, pulled_layout = f"docker://{address}/team/app{number}@{digests[number]}", tmp_path / f"pulled-{number}"
        pull = ("copy", "--src-tls-verify=false", "--src-registry-token", issue_token(live, f"team/app{number}"))
        run_skopeo(live, *pull, source, f"oci:{pulled_layout}")
        assert list_blobs(pulled_layout) == list_blobs(tmp_path / f"image-{number}")
    stored_keys = [item["Key"] for item in aws.get_client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert stored_keys
    assert all(key.startswith(f"{PREFIX}/docker/registry/v2/") for key in stored_keys), stored_keys
    assert not (live.data / "registry").exists()
    secret = live.environment["AWS_SECRET_ACCESS_KEY"].encode()
    assert not [path for path in live.data.rglob("*") if path.is_file() and secret in path.read_bytes()]


def test_an_approval_of_a_queue_is_answered_from_inspectors_findings(aws: Cloud, live: Live) -> None:
    image, sqs = digest_of(77), aws.get_client("sqs")
    token = aws.fakes.ask(image)
    aws.fakes.complete_scan(image, make_finding(image, "CRITICAL"))
    url = sqs.get_queue_url(QueueName="approvals")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=make_approval_message(token, image, "2126-07-07T20:22Z"))
    wait_until(lambda: aws.fakes.approvals.answered.get(token) == "Rejected", "the action is answered")
    assert "1 CRITICAL finding" in aws.fakes.approvals.summaries[token]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    wait_until(
        lambda: {*sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()} == {"0"},
        "the message is deleted",
    )
    log = (live.folder / "server.log").read_text()
    assert token not in log
    assert "Traceback" not in log
