"""The bucket of a stack, outside of it.

It has the functions' archive, policy, waivers and earlier registry settings.
"""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from dockgate.aws.stack.account import Account, explain_errors
from dockgate.aws.stack.data_resources import Resource
from dockgate.gate.model import ExemptionSet, Policy
from dockgate.gate.policy import encode_policy
from dockgate.shared import canonical
from dockgate.shared.digest import get_hex
from dockgate.shared.errors import NotFoundError

# The registry's scanning configuration before we changed it, and as we left it.
_SCANNING_KEY = "scanning.json"
# Resources with data of the stack, also those that the account retained outside of it.
_DATA_KEY = "data.json"
# Characters in a bucket's name.
_NAME_LIMIT = 63


class StackBucket:
    """One bucket per stack. Uploads are idempotent: keys are made from the content.

    Its name is predictable, so every call requires the account that must own it.
    """

    def __init__(self, account: Account, stack: str) -> None:
        self._account = account
        self.bucket = _make_bucket_name(stack, f"dockgate-{account.id}-{account.region}")

    def create(self) -> None:
        """Create the bucket: private, only over TLS. S3 encrypts it by default. Does nothing if it exists."""
        s3, region = self._account.get_client("s3"), self._account.region
        with explain_errors(f"making the bucket {self.bucket}"):
            constraint = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
                s3.create_bucket(Bucket=self.bucket, **constraint)
            blocks = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
            s3.put_public_access_block(
                Bucket=self.bucket,
                PublicAccessBlockConfiguration=dict.fromkeys(blocks, True),
                ExpectedBucketOwner=self._account.id,
            )
            s3.put_bucket_policy(
                Bucket=self.bucket, Policy=json.dumps(self._make_policy()), ExpectedBucketOwner=self._account.id
            )

    def log_access(self, log_bucket: str) -> None:
        """Have S3 log access to the bucket into the bucket `log_bucket`."""
        target = {"LoggingEnabled": {"TargetBucket": log_bucket, "TargetPrefix": "documents/"}}
        with explain_errors(f"logging the access to {self.bucket}"):
            self._account.get_client("s3").put_bucket_logging(
                Bucket=self.bucket, BucketLoggingStatus=target, ExpectedBucketOwner=self._account.id
            )

    def is_created(self) -> bool:
        """Return whether the bucket exists in this account."""
        try:
            with explain_errors(f"looking for the bucket {self.bucket}"):
                self._account.get_client("s3").head_bucket(Bucket=self.bucket, ExpectedBucketOwner=self._account.id)
        except NotFoundError:
            return False
        return True

    def put_archive(self, archive: bytes) -> str:
        """Store the zip archive of the functions; returns its key."""
        return self._put(f"functions/{hashlib.sha256(archive).hexdigest()}.zip", archive)

    def put_first_commit(self, archive: bytes) -> str:
        """Store the zip archive of the first commit; returns its key."""
        return self._put(f"sources/{hashlib.sha256(archive).hexdigest()}.zip", archive)

    def put_template(self, template: bytes) -> str:
        """Upload the template.

        Returns its URL for CloudFormation, with the bucket in the path as in AWS's CLI.
        """
        key = self._put(f"templates/{hashlib.sha256(template).hexdigest()}.yaml", template)
        return f"{self._account.get_client('s3').meta.endpoint_url.rstrip('/')}/{self.bucket}/{key}"

    def put_policy(self, policy: Policy) -> str:
        """Store the policy in canonical form; returns its key."""
        return self._put(f"policies/{get_hex(policy.digest)}.json", encode_policy(policy))

    def put_waivers(self, waivers: ExemptionSet) -> str:
        """Store the waivers in canonical form; returns its key."""
        body = canonical.encode(waivers)
        return self._put(f"waivers/{hashlib.sha256(body).hexdigest()}.json", body)

    def remember_scanning(self, before: dict[str, Any], our_settings: dict[str, Any]) -> None:
        """Store the configuration before our first change, and the last one that we set.

        Changes by others in between are part of the former.
        """
        configuration = self.read_recorded_scanning()
        body = {
            "before": configuration[0] if configuration and before in configuration else before,
            "ours": our_settings,
        }
        self._put(_SCANNING_KEY, json.dumps(body, sort_keys=True).encode())

    def read_recorded_scanning(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The configuration before our change, and the one that we set; None if we changed nothing."""
        try:
            configuration = json.loads(self.read(_SCANNING_KEY))
        except NotFoundError:
            return None
        return configuration["before"], configuration["ours"]

    def remember_resources(self, resources: Iterable[Resource]) -> None:
        """Store which resources have data, so that `destroy_stack` finds them after they left the stack."""
        listed_resources = self.list_data_resources()
        if added_resources := [resource for resource in resources if resource not in listed_resources]:
            self._put(
                _DATA_KEY,
                json.dumps(
                    [asdict(resource) for resource in (*listed_resources, *added_resources)], sort_keys=True
                ).encode(),
            )

    def list_data_resources(self) -> list[Resource]:
        """Resources that have or had data of the stack."""
        try:
            return [Resource(**row) for row in json.loads(self.read(_DATA_KEY))]
        except NotFoundError:
            return []

    def read(self, key: str) -> bytes:
        """The content of a key. Raises NotFoundError for a missing key or bucket."""
        with explain_errors(f"reading {key} of {self.bucket}"):
            answer = self._account.get_client("s3").get_object(
                Bucket=self.bucket, Key=key, ExpectedBucketOwner=self._account.id
            )
            body: bytes = answer["Body"].read()
            return body

    def _make_policy(self) -> dict[str, Any]:
        arn = f"arn:{self._account.partition}:s3:::{self.bucket}"
        only_over_tls = {
            "Sid": "OnlyOverTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        return {"Version": "2012-10-17", "Statement": [only_over_tls]}

    def _put(self, key: str, body: bytes) -> str:
        with explain_errors(f"uploading {key}"):
            self._account.get_client("s3").put_object(
                Bucket=self.bucket, Key=key, Body=body, ExpectedBucketOwner=self._account.id
            )
        return key


def _make_bucket_name(stack: str, tail: str) -> str:
    """The bucket's name. A long name, or one with capitals, is shortened and gets a part of its digest."""
    plain = f"{stack}-{tail}"
    if plain == plain.lower() and len(plain) <= _NAME_LIMIT:
        return plain
    tail = f"{hashlib.sha256(stack.encode()).hexdigest()[:8]}-{tail}"
    return f"{stack.lower()[: _NAME_LIMIT - len(tail) - 1].rstrip('-')}-{tail}"
