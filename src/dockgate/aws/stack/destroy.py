"""Taking the stack away, with what would keep it from going: objects in buckets, images in the repository."""

from collections.abc import Iterator
from typing import Any

from dockgate.aws.stack import scanning
from dockgate.aws.stack.account import Account, told
from dockgate.aws.stack.documents import Documents
from dockgate.aws.stack.formation import Patience, Tell, at_rest, describe, reasons, resources
from dockgate.core.errors import DeployError, NotFoundError

_BATCH = 100
_ATTEMPTS = 3
"""times that a stack is emptied and deleted: what still runs may write while its bucket is emptied"""

_LOST = {
    "AWS::S3::Bucket": "bucket {} with all that is in it",
    "AWS::ECR::Repository": "image repository {} with all its images",
    "AWS::CodeCommit::Repository": "source repository {} with all its commits",
    "AWS::DynamoDB::Table": "table {} with who waits for which image",
    "AWS::ECS::Service": "service {} with what runs in it",
}
"""what cannot be made again, by its type"""


def contents(account: Account, stack: str) -> list[str]:
    """What would be lost, a line each: to be shown before anyone says yes. Empty when there is nothing."""
    lines = []
    if describe(account, stack) is not None:
        lines.append(f"stack {stack}")
        lines += [text.format(name) for kind, text in _LOST.items() for name in resources(account, stack, kind)]
    documents = Documents(account, stack)
    if documents.exists():
        lines.append(f"bucket {documents.bucket} with archives, policies and waivers")
    return lines


def destroy(account: Account, stack: str, tell: Tell = lambda line: None, patience: Patience | None = None) -> None:
    """Empties and deletes. May be called again after any failure, and when nothing is left."""
    patience = patience or Patience()
    documents = Documents(account, stack)
    for attempt in range(1, _ATTEMPTS + 1):
        if at_rest(account, stack, tell, patience) is None:
            break
        why = _delete(account, stack, tell, patience)
        if why and attempt == _ATTEMPTS:
            raise DeployError(f"the stack {stack} could not be deleted: {why}", "Mend what it names; then again.")
    if not documents.exists():
        return
    said = scanning.restore(account, documents)
    if said:
        tell(said)
    tell(f"deleting {documents.bucket}")
    _empty(account, documents.bucket)
    with told(f"deleting {documents.bucket}"):
        account.client("s3").delete_bucket(Bucket=documents.bucket, ExpectedBucketOwner=account.id)


def _delete(account: Account, stack: str, tell: Tell, patience: Patience) -> str:
    """Once; returns why the stack is not gone, "" when it is."""
    for bucket in resources(account, stack, "AWS::S3::Bucket"):
        tell(f"emptying {bucket}")
        _empty(account, bucket)
    for repository in resources(account, stack, "AWS::ECR::Repository"):
        tell(f"deleting the images of {repository}")
        _delete_images(account, repository)
    tell(f"deleting the stack {stack}")
    with told(f"deleting the stack {stack}"):
        account.client("cloudformation").delete_stack(StackName=stack)
    ended = at_rest(account, stack, tell, patience)
    return reasons(account, stack) if ended else ""


def _empty(account: Account, bucket: str) -> None:
    """Every version of every object: a bucket that keeps versions is not empty before. One that is gone is empty."""
    s3, owner = account.client("s3"), account.id
    try:
        with told(f"emptying {bucket}"):
            pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, ExpectedBucketOwner=owner)
            for page in pages:
                kept = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
                objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in kept]
                if objects:
                    wanted = {"Objects": objects, "Quiet": True}
                    answer = s3.delete_objects(Bucket=bucket, Delete=wanted, ExpectedBucketOwner=owner)
                    for error in answer.get("Errors", []):
                        text = f"emptying {bucket}: {error['Key']}: {error.get('Code')}: {error.get('Message', '')}"
                        raise DeployError(text, "It needs the permission s3:DeleteObjectVersion, and no object lock.")
    except NotFoundError:
        return


def _delete_images(account: Account, repository: str) -> None:
    """An image of several platforms goes before those that it names: as long as some go, the others are tried again."""
    ecr = account.client("ecr")
    before = -1
    try:
        with told(f"deleting the images of {repository}"):
            while digests := list(_images(ecr, repository)):
                if len(digests) == before:
                    raise DeployError(
                        f"{len(digests)} images of {repository} cannot be deleted, among them {digests[0]}",
                        "Look at what refers to them; then again.",
                    )
                before = len(digests)
                for start in range(0, len(digests), _BATCH):
                    ids = [{"imageDigest": digest} for digest in digests[start : start + _BATCH]]
                    ecr.batch_delete_image(repositoryName=repository, imageIds=ids)
    except NotFoundError:
        return


def _images(ecr: Any, repository: str) -> Iterator[str]:
    pages = ecr.get_paginator("list_images").paginate(repositoryName=repository)
    return iter(dict.fromkeys(image["imageDigest"] for page in pages for image in page["imageIds"]))
