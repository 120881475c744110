"""The bucket beside the stack: the functions' archive, the policy, the waivers, and what was there before us."""

import hashlib
import json
from contextlib import suppress
from typing import Any

from dockgate.aws.stack.account import Account, told
from dockgate.core import canonical
from dockgate.core.policy import policy_bytes
from dockgate.core.verdict import Policy, Waivers

BEFORE = "scanning-before.json"
"""the registry's scanning configuration as it was before we changed it"""


class Documents:
    """One bucket a stack. What is put in twice is there once: keys are made of the content."""

    def __init__(self, account: Account, stack: str) -> None:
        self._account = account
        self.bucket = f"{stack.lower()}-dockgate-{account.id}-{account.region}"[:63].strip("-")

    def create(self) -> None:
        """The bucket, private and encrypted. Does nothing when it is there."""
        s3, region = self._account.client("s3"), self._account.region
        with told(f"making the bucket {self.bucket}"):
            where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
                s3.create_bucket(Bucket=self.bucket, **where)
            blocks = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
            s3.put_public_access_block(Bucket=self.bucket, PublicAccessBlockConfiguration=dict.fromkeys(blocks, True))

    def put_archive(self, archive: bytes) -> str:
        return self._put(f"functions/{hashlib.sha256(archive).hexdigest()}.zip", archive)

    def put_template(self, template: bytes) -> str:
        """Returns its URL, as CloudFormation wants it."""
        key = self._put(f"templates/{hashlib.sha256(template).hexdigest()}.yaml", template)
        return f"https://{self.bucket}.s3.{self._account.region}.amazonaws.com/{key}"

    def put_policy(self, policy: Policy) -> str:
        return self._put(f"policies/{policy.digest.removeprefix('sha256:')}.json", policy_bytes(policy))

    def put_waivers(self, waivers: Waivers) -> str:
        body = canonical.encode(waivers)
        return self._put(f"waivers/{hashlib.sha256(body).hexdigest()}.json", body)

    def remember(self, scanning: dict[str, Any]) -> None:
        """Keeps the first of what was there before; later ones are our own."""
        if self.remembered() is None:
            self._put(BEFORE, json.dumps(scanning).encode())

    def remembered(self) -> dict[str, Any] | None:
        s3 = self._account.client("s3")
        with told(f"reading {BEFORE}"):
            try:
                body = s3.get_object(Bucket=self.bucket, Key=BEFORE)["Body"].read()
            except (s3.exceptions.NoSuchKey, s3.exceptions.NoSuchBucket):
                return None
        kept: dict[str, Any] = json.loads(body)
        return kept

    def _put(self, key: str, body: bytes) -> str:
        with told(f"uploading {key}"):
            self._account.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)
        return key
