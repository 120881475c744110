"""The bucket beside the stack: the functions' archive, the policy, the waivers, and what was there before us."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from dockgate.aws.stack.account import Account, explain_errors
from dockgate.aws.stack.data_resources import Resource
from dockgate.gate.model import Policy, Waivers
from dockgate.gate.policy import encode_policy
from dockgate.shared import canonical
from dockgate.shared.digest import hex_of
from dockgate.shared.errors import NotFoundError

# The registry's scanning configuration before we changed it, and as we left it.
_SCANNING = "scanning.json"
# Resources that hold the stack's data, those that the account retained outside of it, too.
_DATA = "data.json"
# Characters in a bucket's name.
_LONGEST = 63


class Documents:
    """One bucket a stack. What is put in twice is there once: keys are made of the content.

    Its name can be foretold, so every call names the account that it has to belong to."""

    def __init__(self, account: Account, stack: str) -> None:
        self._account = account
        self.bucket = _name(stack, f"dockgate-{account.id}-{account.region}")

    def create(self) -> None:
        """The bucket, private and over TLS alone; S3 encrypts it by itself. May be called when it is there."""
        s3, region = self._account.client("s3"), self._account.region
        with explain_errors(f"making the bucket {self.bucket}"):
            where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
                s3.create_bucket(Bucket=self.bucket, **where)
            blocks = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
            s3.put_public_access_block(
                Bucket=self.bucket,
                PublicAccessBlockConfiguration=dict.fromkeys(blocks, True),
                ExpectedBucketOwner=self._account.id,
            )
            s3.put_bucket_policy(
                Bucket=self.bucket, Policy=json.dumps(self._policy()), ExpectedBucketOwner=self._account.id
            )

    def log_access(self, logs: str) -> None:
        """Have S3 write who reads and writes in the bucket into the bucket `logs`."""
        target = {"LoggingEnabled": {"TargetBucket": logs, "TargetPrefix": "documents/"}}
        with explain_errors(f"logging the access to {self.bucket}"):
            self._account.client("s3").put_bucket_logging(
                Bucket=self.bucket, BucketLoggingStatus=target, ExpectedBucketOwner=self._account.id
            )

    def exists(self) -> bool:
        try:
            with explain_errors(f"looking for the bucket {self.bucket}"):
                self._account.client("s3").head_bucket(Bucket=self.bucket, ExpectedBucketOwner=self._account.id)
        except NotFoundError:
            return False
        return True

    def put_archive(self, archive: bytes) -> str:
        return self._put(f"functions/{hashlib.sha256(archive).hexdigest()}.zip", archive)

    def put_first_commit(self, archive: bytes) -> str:
        return self._put(f"sources/{hashlib.sha256(archive).hexdigest()}.zip", archive)

    def put_template(self, template: bytes) -> str:
        """Returns its URL for CloudFormation: the bucket in its path, as AWS's own command line has it."""
        key = self._put(f"templates/{hashlib.sha256(template).hexdigest()}.yaml", template)
        return f"{self._account.client('s3').meta.endpoint_url.rstrip('/')}/{self.bucket}/{key}"

    def put_policy(self, policy: Policy) -> str:
        return self._put(f"policies/{hex_of(policy.digest)}.json", encode_policy(policy))

    def put_waivers(self, waivers: Waivers) -> str:
        body = canonical.encode(waivers)
        return self._put(f"waivers/{hashlib.sha256(body).hexdigest()}.json", body)

    def remember_scanning(self, before: dict[str, Any], ours: dict[str, Any]) -> None:
        """Keeps the first of what was there before us, and the last of what we made of it. What others made of ours
        since was there before us, too."""
        configuration = self.scanning()
        body = {"before": configuration[0] if configuration and before in configuration else before, "ours": ours}
        self._put(_SCANNING, json.dumps(body, sort_keys=True).encode())

    def scanning(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """What was there before us, and what we made of it; None when we changed nothing."""
        try:
            configuration = json.loads(self.read(_SCANNING))
        except NotFoundError:
            return None
        return configuration["before"], configuration["ours"]

    def remember(self, resources: Iterable[Resource]) -> None:
        """Keep what holds the stack's data, so that `destroy` finds it when the stack holds it no longer."""
        listed = self.data_resources()
        if added := [resource for resource in resources if resource not in listed]:
            self._put(_DATA, json.dumps([asdict(resource) for resource in (*listed, *added)], sort_keys=True).encode())

    def data_resources(self) -> list[Resource]:
        """What holds the stack's data, or held it once."""
        try:
            return [Resource(**row) for row in json.loads(self.read(_DATA))]
        except NotFoundError:
            return []

    def read(self, key: str) -> bytes:
        """Raises NotFoundError for a key that is not there, or a bucket."""
        with explain_errors(f"reading {key} of {self.bucket}"):
            answer = self._account.client("s3").get_object(
                Bucket=self.bucket, Key=key, ExpectedBucketOwner=self._account.id
            )
            body: bytes = answer["Body"].read()
            return body

    def _policy(self) -> dict[str, Any]:
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
            self._account.client("s3").put_object(
                Bucket=self.bucket, Key=key, Body=body, ExpectedBucketOwner=self._account.id
            )
        return key


def _name(stack: str, tail: str) -> str:
    """Stacks' names may have capitals and be long, buckets' may not: then a part of the name's digest tells them
    apart."""
    plain = f"{stack}-{tail}"
    if plain == plain.lower() and len(plain) <= _LONGEST:
        return plain
    tail = f"{hashlib.sha256(stack.encode()).hexdigest()[:8]}-{tail}"
    return f"{stack.lower()[: _LONGEST - len(tail) - 1].rstrip('-')}-{tail}"
