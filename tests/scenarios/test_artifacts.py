"""A pipeline whose artifacts are kept in S3, by a server that has lost its own files in between."""

import shutil
from dataclasses import replace
from pathlib import Path

import boto3
from moto import mock_aws
from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.store import Store
from dockgate.store.s3 import S3Blobs

KEYS = {"region_name": "eu-west-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}


def test_an_execution_goes_on_with_artifacts_that_only_s3_has(tmp_path: Path) -> None:
    with mock_aws():
        client = boto3.client("s3", **KEYS)
        client.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})

        def store_in_s3(store: Store) -> Store:
            return replace(store, blobs=S3Blobs(lambda: client, "artifacts", "", tmp_path / "cache"))

        with ServerSystem(tmp_path, store_in_s3) as server:
            image = server.plan_image("kept", PlannedFindings())
            execution = server.request_approval(image)
            stored_keys = {content["Key"] for content in client.list_objects_v2(Bucket="artifacts")["Contents"]}
            assert len(stored_keys) == 2  # the source, and the image's definition
            shutil.rmtree(tmp_path / "cache" / "sha256")
            (tmp_path / "cache" / "sha256").mkdir()
            server.end_scan(image)
            wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] == "Succeeded")
            assert server.is_running(image)
            assert {path.name for path in (tmp_path / "cache" / "sha256").iterdir()} < {
                name.removeprefix("sha256/") for name in stored_keys
            }
        assert not (tmp_path / "blobs" / "sha256").exists() or not list((tmp_path / "blobs" / "sha256").iterdir())
