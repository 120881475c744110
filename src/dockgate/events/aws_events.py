"""Events in the shape of Amazon ECR and Inspector, so that patterns that are written for AWS match.

Pure. Images in Amazon ECR have the account and region of their registry. All others have an account that no one has,
and the region "local"; their ARNs name the repository with its registry, unless that is our own.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dockgate.events.model import ACCOUNT, REGION, NewEvent
from dockgate.events.subject import EventSubject, SubjectKind
from dockgate.gate.model import PlatformVerdict
from dockgate.shared.aws import EcrRegistry
from dockgate.shared.platforms import Platform
from dockgate.shared.purl import get_type
from dockgate.shared.references import ImageReference, RepositoryReference
from dockgate.vulnerabilities.model import Finding, Severity

ECR, INSPECTOR = "aws.ecr", "aws.inspector2"
# The most finding events for an image after a scan: the worst findings. The event of the scan counts all.
MAX_FINDINGS = 25
# Characters of a text in an event.
MAX_TEXT = 1000

_COUNTED_SEVERITIES = (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM)
_ORDER = {severity: number for number, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class EcrRepository:
    """An image repository as ECR names it."""

    name: str
    account: str
    region: str

    @classmethod
    def from_repository(cls, repository: str) -> "EcrRepository":
        """The repository of a name with or without a registry."""
        reference = RepositoryReference.parse(repository)
        ecr = EcrRegistry.parse(reference.registry or "")
        return cls(reference.name, *ecr) if ecr else cls(repository, ACCOUNT, REGION)

    @property
    def arn(self) -> str:
        """The repository's Amazon resource name, which is the `resources` of its events."""
        return f"arn:aws:ecr:{self.region}:{self.account}:repository/{self.name}"


def make_image_pushed(push: str, repository: str, image: str, tag: str | None, time: str) -> NewEvent:
    """`ECR Image Action`. `push` identifies the push; `tag` is None for a push by digest."""
    ecr = EcrRepository.from_repository(repository)
    detail = {"result": "SUCCESS", "repository-name": ecr.name, "image-digest": image, "action-type": "PUSH"}
    return _make_image_event(
        f"ecr/{push}", ECR, "ECR Image Action", repository, image, time, detail | _make_tag(tag), ()
    )


def make_image_deleted(repository: str, image: str, tag: str | None, time: str) -> NewEvent:
    """`ECR Image Action` of a deleted image, under a tag that it had; None if it had none."""
    ecr = EcrRepository.from_repository(repository)
    detail = {"result": "SUCCESS", "repository-name": ecr.name, "image-digest": image, "action-type": "DELETE"}
    key = f"ecr/deleted/{repository}:{tag or ''}@{image}/{time}"
    return _make_image_event(key, ECR, "ECR Image Action", repository, image, time, detail | _make_tag(tag), ())


def make_image_scanned(
    repository: str, image: str, tags: Sequence[str], scan: int, counts: Mapping[str, int], time: str
) -> NewEvent:
    """`Inspector2 Scan`. `counts` has the findings of each severity."""
    ecr = EcrRepository.from_repository(repository)
    severity_counts = {severity.value: counts.get(severity.value, 0) for severity in _COUNTED_SEVERITIES}
    detail = {
        "scan-status": "INITIAL_SCAN_COMPLETE",
        "repository-name": ecr.arn,
        "finding-severity-counts": {**severity_counts, "TOTAL": sum(counts.values())},
        "image-digest": image,
        "image-tags": list(tags),
        "version": "1.0",
    }
    key = f"inspector/{ImageReference(repository, image)}/{scan}"
    return _make_image_event(key, INSPECTOR, "Inspector2 Scan", repository, image, time, detail, (ecr.arn,))


def make_findings_of_image(
    repository: str, image: str, tags: Sequence[str], verdicts: Sequence[PlatformVerdict], time: str
) -> Iterator[NewEvent]:
    """An `Inspector2 Finding` for each of the worst findings (`is_bad`) of a scanned image.

    At most `MAX_FINDINGS`. A finding that several platforms share is one event, which names the first.
    """
    by_key: dict[tuple[str, str], tuple[PlatformVerdict, Finding]] = {}
    for verdict in verdicts:
        for finding in verdict.findings:
            if is_bad(finding):
                by_key.setdefault((finding.id, finding.package.purl), (verdict, finding))
    sorted_findings = sorted(
        by_key.values(), key=lambda pair: (not pair[1].exploited, _ORDER[pair[1].severity], pair[1].id)
    )
    for verdict, finding in sorted_findings[:MAX_FINDINGS]:
        key = finding.id, finding.package.purl
        is_waived = any(
            waived_finding.finding and (waived_finding.finding.id, waived_finding.finding.package.purl) == key
            for waived_finding in verdict.waived
        )
        yield make_finding_of_image(
            repository, image, tags, verdict.platform, finding, is_waived=is_waived, first_at=time, time=time
        )


def is_bad(finding: Finding) -> bool:
    """Return whether a finding has an event: it is CRITICAL or HIGH, or known to be exploited."""
    return bool(finding.exploited) or finding.severity in (Severity.CRITICAL, Severity.HIGH)


def _make_image_event(
    event_id: str,
    source: str,
    detail_type: str,
    repository: str,
    image: str,
    time: str,
    detail: Mapping[str, Any],
    resources: tuple[str, ...],
) -> NewEvent:
    ecr = EcrRepository.from_repository(repository)
    return NewEvent(
        id=event_id,
        source=source,
        detail_type=detail_type,
        subject=EventSubject(SubjectKind.IMAGE, image),
        time=time,
        detail=detail,
        resources=resources,
        account=ecr.account,
        region=ecr.region,
        repository=repository,
    )


def _make_tag(tag: str | None) -> dict[str, str]:
    return {"image-tag": tag} if tag else {}


def make_finding_of_image(
    repository: str,
    image: str,
    tags: Sequence[str],
    platform: str | None,
    finding: Finding,
    *,
    is_waived: bool,
    first_at: str,
    time: str,
    change: str | None = None,
) -> NewEvent:
    """`Inspector2 Finding` of an image that has the finding since `first_at`.

    There is one event of it, and one of each `change`.
    """
    ecr, package = EcrRepository.from_repository(repository), finding.package
    name = hashlib.sha256(f"{ImageReference(repository, image)}/{finding.id}/{package.purl}".encode()).hexdigest()[:32]
    upgrade = f"Upgrade {package.name} to {finding.fixed} or later." if finding.fixed else "None Provided"
    detail: dict[str, Any] = {
        "awsAccountId": ecr.account,
        "findingArn": f"arn:aws:inspector2:{ecr.region}:{ecr.account}:finding/{name}",
        "type": "PACKAGE_VULNERABILITY",
        "severity": finding.severity.value,
        "status": "SUPPRESSED" if is_waived else "ACTIVE",
        "title": f"{finding.id} - {package.name}"[:MAX_TEXT],
        "description": (finding.summary or "")[:MAX_TEXT],
        "exploitAvailable": "YES" if finding.exploited else "NO",
        "fixAvailable": "YES" if finding.fixed else "NO",
        "firstObservedAt": first_at,
        "lastObservedAt": time,
        "updatedAt": time,
        "packageVulnerabilityDetails": _make_details(finding),
        "remediation": {"recommendation": {"text": upgrade[:MAX_TEXT]}},
        "resources": [_make_resource(ecr, repository, image, tags, platform)],
    }
    if finding.rating.score is not None:
        detail["inspectorScore"] = finding.rating.score
    if finding.epss is not None:
        detail["epss"] = {"score": finding.epss}
    if finding.exploited:
        detail["exploitabilityDetails"] = {"lastKnownExploitAt": finding.exploited}
    resources = (f"{ecr.arn}/{image}",)
    key = f"inspector/finding/{name}{f'/{change}' if change else ''}"
    return _make_image_event(key, INSPECTOR, "Inspector2 Finding", repository, image, time, detail, resources)


def _make_details(finding: Finding) -> dict[str, Any]:
    package, rating = finding.package, finding.rating
    vulnerable = {
        "name": package.name,
        "version": package.version,
        "arch": package.arch or "",
        "packageManager": _name_manager(package.purl),
        "filePath": package.path,
        "sourceLayerHash": package.layer or "",
        **({"fixedInVersion": finding.fixed} if finding.fixed else {}),
    }
    vector = {"baseScore": rating.score, "scoringVector": rating.vector, "source": rating.source or ""}
    details: dict[str, Any] = {
        "vulnerabilityId": finding.id,
        "source": (rating.source or "").upper(),
        "referenceUrls": [],
        "relatedVulnerabilities": list(finding.aliases),
        "cvss": [{**vector, "version": _parse_cvss_version(rating.vector)}]
        if rating.vector and rating.score is not None
        else [],
        "vulnerablePackages": [{name: value[:MAX_TEXT] for name, value in vulnerable.items()}],
    }
    return details | ({"vendorCreatedAt": finding.published} if finding.published else {})


def _make_resource(
    ecr: EcrRepository, repository: str, image: str, tags: Sequence[str], platform: str | None
) -> dict[str, Any]:
    reference = RepositoryReference.parse(repository)
    return {
        "type": "AWS_ECR_CONTAINER_IMAGE",
        "id": f"{ecr.arn}/{image}",
        "region": ecr.region,
        "details": {
            "awsEcrContainerImage": {
                "repositoryName": ecr.name,
                "registry": ecr.account if ecr.account != ACCOUNT else (reference.registry or ACCOUNT),
                "imageHash": image,
                "imageTags": list(tags),
                "architecture": Platform.parse(platform or "").architecture,
            }
        },
    }


def _parse_cvss_version(vector: str) -> str:
    """ "3.1" of "CVSS:3.1/AV:N/…"; a vector without a version is one of CVSS 2."""
    return vector.removeprefix("CVSS:").partition("/")[0] if vector.startswith("CVSS:") else "2.0"


def _name_manager(purl: str) -> str:
    """Inspector's name of a package's manager."""
    kind = get_type(purl)
    return _MANAGERS.get(kind, kind.upper())


_MANAGERS = {
    "deb": "OS",
    "apk": "OS",
    "rpm": "OS",
    "pypi": "PYTHONPKG",
    "npm": "NODEPKG",
    "maven": "JAR",
    "golang": "GOBINARY",
    "cargo": "CARGO",
    "composer": "COMPOSER",
    "gem": "GEMSPEC",
    "nuget": "NUGET",
}
