"""ECR's manifests, by digest."""

from dataclasses import dataclass, field
from typing import Any

from tests.aws.fakes.server import Refused, Service


@dataclass
class Registry:
    """`manifests` by (repository, digest), as text; a repository is there when it has one."""

    manifests: dict[tuple[str, str], str] = field(default_factory=dict)

    def batch_get_image(self, request: dict[str, Any]) -> dict[str, Any]:
        repository = request["repositoryName"]
        if repository not in {name for name, _ in self.manifests}:
            raise Refused("RepositoryNotFoundException")
        images, failures = [], []
        for identity in request["imageIds"]:
            document = self.manifests.get((repository, identity["imageDigest"]))
            if document is None:
                failures.append({"imageId": identity, "failureCode": "ImageNotFound"})
            else:
                images.append({"repositoryName": repository, "imageId": identity, "imageManifest": document})
        return {"images": images, "failures": failures}

    def get_registry_scanning_configuration(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"registryId": "123456789012", "scanningConfiguration": {"scanType": "ENHANCED", "rules": []}}

    def make_service(self) -> Service:
        return Service(
            "ecr",
            {
                "BatchGetImage": self.batch_get_image,
                "GetRegistryScanningConfiguration": self.get_registry_scanning_configuration,
            },
        )
