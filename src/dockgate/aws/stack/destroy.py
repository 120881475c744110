"""Taking the stack away, with what would keep it from going: objects in buckets, images in the repository."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from dockgate.aws.stack import scanning
from dockgate.aws.stack.account import Account, told
from dockgate.aws.stack.deploy import WAIT, Tell, describe, outputs
from dockgate.aws.stack.documents import Documents
from dockgate.core.errors import DeployError, NotFoundError

_BATCH = 100


def contents(account: Account, stack: str) -> list[str]:
    """What would be lost, a line each: to be shown before anyone says yes. NotFoundError without such a stack."""
    found = describe(account, stack)
    if found is None:
        raise NotFoundError(
            f"There is no stack {stack!r} in {account.region}.", "`dockgate aws status` names those there are."
        )
    given = outputs(found)
    lines = [f"stack {stack}"]
    lines += [f"bucket {bucket} with all verdicts and artifacts" for bucket in _buckets(given)]
    if "ImageRepositoryUri" in given:
        lines.append(f"repository {given['ImageRepositoryUri']} with all its images")
    return lines


def destroy(account: Account, stack: str, tell: Tell = lambda line: None, wait: Mapping[str, int] = WAIT) -> None:
    """Empties and deletes. May be called again after any failure, and when nothing is left."""
    from botocore.exceptions import WaiterError

    found = describe(account, stack)
    documents = Documents(account, stack)
    if found is not None:
        given = outputs(found)
        for bucket in _buckets(given):
            tell(f"emptying {bucket}")
            _empty(account, bucket)
        if "ImageRepositoryUri" in given:
            tell("deleting the images")
            _delete_images(account, given["ImageRepositoryUri"].partition("/")[2])
        tell(f"deleting the stack {stack}")
        formation = account.client("cloudformation")
        with told(f"deleting the stack {stack}"):
            formation.delete_stack(StackName=stack)
            try:
                formation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig=dict(wait))
            except WaiterError as error:
                raise DeployError(
                    f"the stack {stack} could not be deleted: {error}", "Look at its events; then again."
                ) from None
    if scanning.restore(account, documents):
        tell("the registry's scanning configuration is as it was")
    tell(f"deleting {documents.bucket}")
    with suppress(NotFoundError):
        _empty(account, documents.bucket)
        with told(f"deleting {documents.bucket}"):
            account.client("s3").delete_bucket(Bucket=documents.bucket)


def _buckets(given: Mapping[str, str]) -> list[str]:
    return [given[name] for name in ("VerdictBucketName", "ArtifactBucketName") if name in given]


def _empty(account: Account, bucket: str) -> None:
    """Every version of every object: a bucket that keeps versions is not empty before."""
    s3 = account.client("s3")
    with told(f"emptying {bucket}"):
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            kept = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in kept]
            if objects:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})


def _delete_images(account: Account, repository: str) -> None:
    ecr = account.client("ecr")
    with told(f"deleting the images of {repository}"):
        try:
            digests = [image for page in _images(ecr, repository) for image in page]
        except ecr.exceptions.RepositoryNotFoundException:
            return
        for start in range(0, len(digests), _BATCH):
            ids = [{"imageDigest": digest} for digest in digests[start : start + _BATCH]]
            ecr.batch_delete_image(repositoryName=repository, imageIds=ids)


def _images(ecr: Any, repository: str) -> Iterator[list[str]]:
    for page in ecr.get_paginator("list_images").paginate(repositoryName=repository):
        yield list(dict.fromkeys(image["imageDigest"] for image in page["imageIds"]))
