"""Resources with data: buckets, image repositories, source repositories.

CloudFormation retains them when an update or a deletion of the stack removes them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dockgate.aws.stack.account import Account, explain_errors
from dockgate.aws.stack.cloudformation import list_resources
from dockgate.shared.aws import find_error_code
from dockgate.shared.errors import DeployError, NotFoundError

_BATCH = 100
# Attempts to empty and delete a bucket: running builds may write in between.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, order=True)
class Resource:
    """A resource. `kind` is CloudFormation's type, `physical` its physical id.

    `created_at` is when an image repository was created, None for other kinds: its id is a name, which another
    repository may get later. Ids of buckets and source repositories are unique.
    """

    kind: str
    physical: str
    created_at: str | None = None


def list_resources_of_stack(account: Account, stack: str) -> list[Resource]:
    """The resources of the stack, even if its creation failed."""
    stack_resources = [Resource(kind, physical) for kind in KINDS for physical in list_resources(account, stack, kind)]
    return [replace(resource, created_at=_find_creation_time(account, resource)) for resource in stack_resources]


def find_name(account: Account, resource: Resource) -> str | None:
    """The name that people use; None if it was deleted. Source repositories also have an id."""
    try:
        if resource.created_at and _find_creation_time(account, resource) != resource.created_at:
            return None
        return _KINDS[resource.kind][0](account, resource.physical)
    except NotFoundError:
        return None


def delete_resource(account: Account, resource: Resource) -> None:
    """Delete it with all its data. Does nothing if it does not exist."""
    resource_name = find_name(account, resource)
    if resource_name is not None:
        _KINDS[resource.kind][1](account, resource_name)


def _find_bucket(account: Account, physical: str) -> str:
    with explain_errors(f"looking for the bucket {physical}"):
        account.get_client("s3").head_bucket(Bucket=physical, ExpectedBucketOwner=account.id)
    return physical


def _delete_bucket(account: Account, bucket: str) -> None:
    s3 = account.get_client("s3")
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _empty_bucket(account, bucket)
            with explain_errors(f"deleting the bucket {bucket}"):
                try:
                    s3.delete_bucket(Bucket=bucket, ExpectedBucketOwner=account.id)
                    return
                except Exception as error:
                    if find_error_code(error) != "BucketNotEmpty" or attempt == _ATTEMPTS:
                        raise
        except NotFoundError:
            return


def _empty_bucket(account: Account, bucket: str) -> None:
    """Delete every version of every object: a versioned bucket must be emptied first."""
    s3, owner = account.get_client("s3"), account.id
    with explain_errors(f"emptying {bucket}"):
        pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, ExpectedBucketOwner=owner)
        for page in pages:
            versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            objects = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
            if objects:
                request = {"Objects": objects, "Quiet": True}
                answer = s3.delete_objects(Bucket=bucket, Delete=request, ExpectedBucketOwner=owner)
                for error in answer.get("Errors", []):
                    text = f"emptying {bucket}: {error['Key']}: {error.get('Code')}: {error.get('Message', '')}"
                    raise DeployError(text, "It needs the permission s3:DeleteObjectVersion, and no object lock.")


def _find_image_repository(account: Account, physical: str) -> str:
    return str(_describe_repository(account, physical)["repositoryName"])


def _find_creation_time(account: Account, resource: Resource) -> str | None:
    """The creation time, None for other kinds and deleted repositories."""
    if resource.kind != "AWS::ECR::Repository":
        return None
    try:
        return str(_describe_repository(account, resource.physical)["createdAt"].isoformat())
    except NotFoundError:
        return None


def _describe_repository(account: Account, repository: str) -> Mapping[str, Any]:
    with explain_errors(f"looking for the image repository {repository}"):
        repositories = account.get_client("ecr").describe_repositories(repositoryNames=[repository])["repositories"]
    description: Mapping[str, Any] = repositories[0]
    return description


def _delete_image_repository(account: Account, repository: str) -> None:
    """Delete all images, indexes before their manifests.

    As long as some are deleted, the others are tried again.
    """
    ecr, before = account.get_client("ecr"), -1
    with explain_errors(f"deleting the images of {repository}"):
        while digests := _list_images(ecr, repository):
            if len(digests) == before:
                raise DeployError(
                    f"{len(digests)} images of {repository} cannot be deleted, among them {digests[0]}",
                    "Delete the manifests that refer to them, then try again.",
                )
            before = len(digests)
            for start in range(0, len(digests), _BATCH):
                ids = [{"imageDigest": digest} for digest in digests[start : start + _BATCH]]
                ecr.batch_delete_image(repositoryName=repository, imageIds=ids)
        ecr.delete_repository(repositoryName=repository)


def _list_images(ecr: Any, repository: str) -> list[str]:
    pages = ecr.get_paginator("list_images").paginate(repositoryName=repository)
    return list(dict.fromkeys(image["imageDigest"] for page in pages for image in page["imageIds"]))


def _find_source_repository(account: Account, physical: str) -> str:
    with explain_errors("looking for the source repository"):
        pages = account.get_client("codecommit").get_paginator("list_repositories").paginate()
        names = {
            repository["repositoryId"]: repository["repositoryName"]
            for page in pages
            for repository in page["repositories"]
        }
    if physical not in names:
        raise NotFoundError(f"there is no source repository {physical}", "Check whether it was deleted in CodeCommit.")
    return str(names[physical])


def _delete_source_repository(account: Account, repository: str) -> None:
    with explain_errors(f"deleting the source repository {repository}"):
        account.get_client("codecommit").delete_repository(repositoryName=repository)


# By CloudFormation's type: its name by its physical id, and its deletion by that name.
_KINDS: Mapping[str, tuple[Callable[[Account, str], str], Callable[[Account, str], None]]] = {
    "AWS::S3::Bucket": (_find_bucket, _delete_bucket),
    "AWS::ECR::Repository": (_find_image_repository, _delete_image_repository),
    "AWS::CodeCommit::Repository": (_find_source_repository, _delete_source_repository),
}
KINDS = tuple(_KINDS)
