"""Inspector and ECR for adapters of a server and the terminal: fakes that hold each call against AWS's models."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from tests.aws.account import ACCOUNT, REGION, REPOSITORY
from tests.aws.fakes.inspector import Inspector
from tests.aws.fakes.registry import Registry
from tests.aws.fakes.server import Service, serve_service
from tests.scanner.images import make

HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
FULL_REPOSITORY = f"{HOST}/{REPOSITORY}"
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class Aws:
    """`services` by name; `regions` are those that clients were made for, with their service."""

    inspector: Inspector
    registry: Registry
    services: dict[str, Service]
    urls: dict[str, str]
    regions: list[tuple[str, str | None]] = field(default_factory=list)

    def make_client(self, name: str, region: str | None) -> Any:
        self.regions.append((name, region))
        return boto3.client(name, region_name=region, endpoint_url=self.urls[name], **KEYS)

    @property
    def environment(self) -> dict[str, str]:
        """By which boto3 finds it."""
        urls = {f"AWS_ENDPOINT_URL_{name.upper()}": url for name, url in self.urls.items()}
        return {**urls, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}

    def cover_image(self, image: str, reason: str) -> None:
        self.inspector.covered[f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{REPOSITORY}/{image}"] = reason

    def complete_scan(self, image: str, *findings: dict[str, Any]) -> None:
        self.inspector.findings[image] = list(findings)
        self.cover_image(image, "SUCCESSFUL")

    def index(self, *platforms: str) -> str:
        """Pushes an index of these images, one for each architecture, with an attestation beside them."""
        existing = ["amd64", "arm64", "s390x"][: len(platforms)]
        children: list[dict[str, Any]] = [
            {"digest": digest, "size": 7, "mediaType": MANIFEST_TYPE, "platform": {"os": "linux", "architecture": kind}}
            for digest, kind in zip(platforms, existing, strict=True)
        ]
        attestation, _ = make.make_attestation()
        self.registry.manifests[REPOSITORY, make.compute_sha256(attestation)] = attestation.decode()
        children.append(make.make_attestation_entry(attestation, platforms[0] if platforms else "sha256:" + "0" * 64))
        text = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": children})
        digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        self.registry.manifests[REPOSITORY, digest] = text
        return digest


@contextmanager
def run_aws() -> Iterator[Aws]:
    """Every call that was made is one that AWS would take."""
    inspector, registry = Inspector(), Registry({(REPOSITORY, "sha256:" + "0" * 64): "{}"})
    services = {item.name: item for item in (inspector.make_service(), registry.make_service())}
    with serve_service(services["inspector2"]) as item, serve_service(services["ecr"]) as second:
        yield Aws(inspector, registry, services, {"inspector2": item, "ecr": second})
    assert [fault for service in services.values() for fault in service.faults] == []
