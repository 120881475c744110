"""Amazon Inspector findings: `Inspector2 Finding` events, and responses of ListFindings.

A ListFindings document may also have those of BatchGetFindingDetails (`findingDetails`) and ListCoverage
(`coveredResources`). Shapes: Inspector API 2020-06-08, as JSON or from boto3. Imports only our model and the standard
library, so that it also runs in a Lambda function.
"""

from collections.abc import Iterator
from typing import Any

from dockgate.gate.external import Format, ReadContext
from dockgate.gate.external._fields import (
    day,
    digest,
    latest_time,
    mapping,
    mappings,
    number,
    severity,
    text,
    texts,
    timestamp,
)
from dockgate.gate.external._inspector_packages import distribution, fixed_version, package, platform
from dockgate.gate.external._report import EPSS_FIELDS, KEV_FIELDS, ReportBuilder, make_finding
from dockgate.gate.model import ExternalReport
from dockgate.shared.errors import UsageError
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.model import FIX_UNKNOWN, Finding, Rating, Severity

SOURCE = "inspector"
_EVENT = "Inspector2 Finding"
_IMAGE = "AWS_ECR_CONTAINER_IMAGE"
_PACKAGE = "PACKAGE_VULNERABILITY"
_STATES = ("ACTIVE", "SUPPRESSED", "CLOSED")
_SUCCESSFUL_SCAN = "SUCCESSFUL"


class Inspector(Format):
    """Findings of Amazon Inspector."""

    name = SOURCE
    title = "Amazon Inspector findings"
    version = 2

    @override
    def recognises(self, document: Any) -> bool:
        if isinstance(document, list):
            return bool(document) and all(isinstance(event, dict) and _is_event(event) for event in document)
        if not isinstance(document, dict):
            return False
        findings = document.get("findings")
        return _is_event(document) or (
            isinstance(findings, list)
            and all(isinstance(finding, dict) and "findingArn" in finding for finding in findings)
        )

    @override
    def read(self, document: Any, context: ReadContext) -> tuple[ExternalReport, ...]:
        """SUPPRESSED findings count: Inspector's suppression rules are not our waivers. CLOSED ones do not."""
        if isinstance(document, list) or _is_event(document):
            events = document if isinstance(document, list) else [document]
            reports = _Reports(context, ())
            for index, event in enumerate(events):
                reports.add(mapping(event.get("detail")), f"[{index}].detail")
                for report in reports.by_image.values():
                    report.at = latest_time((report.at, timestamp(event.get("time"))))
            for report in reports.by_image.values():
                report.add_undetermined("Events contain single findings, not all of them. Use ListFindings.")
            return reports.build()
        reports = _Reports(context, mappings(document.get("findingDetails"), "findingDetails"))
        for index, finding in enumerate(mappings(document["findings"], "findings")):
            reports.add(finding, f"findings[{index}]")
        coverage = {
            _image_digest(entry.get("resourceId")): entry
            for entry in mappings(document.get("coveredResources"), "coveredResources")
        }
        images = {*reports.by_image, *filter(None, coverage)} or {*filter(None, [context.image])}
        for image in sorted(images):
            _add_coverage(reports.for_image(image), coverage.get(image))
        if not reports.by_image:
            advice = "Pass the digest, and add the response of ListCoverage."
            raise UsageError("the document has no finding, and so names no image", advice)
        for report in reports.by_image.values():
            if text(document.get("nextToken")):
                report.add_undetermined("The list of findings is incomplete: it has a nextToken. Fetch all pages.")
        return reports.build()


FORMAT: Format = Inspector()


def _is_event(document: dict[str, Any]) -> bool:
    return document.get("detail-type") == _EVENT and "detail" in document


class _Reports:
    """Report builders by image."""

    def __init__(self, context: ReadContext, details: list[dict[str, Any]] | tuple[()]) -> None:
        self.by_image: dict[str, ReportBuilder] = {}
        self._details = {text(detail.get("findingArn")): detail for detail in details}

    def for_image(self, image: str) -> ReportBuilder:
        return self.by_image.setdefault(image, ReportBuilder(SOURCE, image, missing_fields={"fixed_at", "percentile"}))

    def add(self, finding: dict[str, Any], location: str) -> None:
        status = text(finding.get("status")).upper()
        if status not in _STATES:
            raise UsageError(f"{location}.status is {status or 'missing'}; allowed: {', '.join(_STATES)}.")
        resources = mappings(finding.get("resources"), f"{location}.resources")
        images = [resource for resource in resources if resource.get("type") == _IMAGE]
        if not images and resources:
            return  # an instance or a function
        for resource in images or [{}]:
            details = mapping(mapping(resource.get("details")).get("awsEcrContainerImage"))
            image = digest(details.get("imageHash")) or _image_digest(resource.get("id"))
            if not image:
                raise UsageError(f"{location} has no image digest in its resources.")
            report = self.for_image(image)
            report.platform = report.platform or platform(details.get("architecture"))
            report.distribution = report.distribution or distribution(details.get("platform"))
            observed_times = timestamp(finding.get("lastObservedAt")), timestamp(finding.get("updatedAt"))
            report.at = latest_time((report.at, *observed_times))
            if status != "CLOSED":
                report.findings.extend(self._findings(finding, details, report, location))

    def build(self) -> tuple[ExternalReport, ...]:
        return tuple(report.build() for _, report in sorted(self.by_image.items()))

    def _findings(
        self, finding: dict[str, Any], image: dict[str, Any], report: ReportBuilder, location: str
    ) -> Iterator[Finding]:
        """One finding per vulnerable package."""
        if text(finding.get("type")) not in (_PACKAGE, ""):
            kind, title = text(finding.get("type")), text(finding.get("title"))
            report.add_undetermined(f"Inspector has a finding of another type: {kind}, {title}.")
            return
        vulnerable = mapping(finding.get("packageVulnerabilityDetails"))
        identity = text(vulnerable.get("vulnerabilityId"))
        if not identity:
            raise UsageError(f"{location} has no vulnerabilityId.")
        detail = self._details.get(text(finding.get("findingArn")))
        urgency = self._urgency(finding, detail, report)
        names = (identity, *texts(vulnerable.get("relatedVulnerabilities")))
        rating = _rating(finding, vulnerable)
        packages = mappings(vulnerable.get("vulnerablePackages"), f"{location}.vulnerablePackages")
        for affected_package in packages or [{}]:
            fixed_in = fixed_version(affected_package)
            has_no_fix = "fixedInVersion" in affected_package and text(finding.get("fixAvailable")) in ("NO", "PARTIAL")
            yield make_finding(
                names,
                package(affected_package, image.get("platform")),
                rating,
                fixed_in,
                note=None if has_no_fix else FIX_UNKNOWN,
                published=timestamp(vulnerable.get("vendorCreatedAt")),
                summary=text(finding.get("title")),
                **urgency,
            )

    def _urgency(self, finding: dict[str, Any], detail: dict[str, Any] | None, report: ReportBuilder) -> dict[str, Any]:
        """KEV and EPSS fields from the details: CISA's catalogue, or exploitation that Amazon observed."""
        if detail is None:
            report.missing_fields.update(KEV_FIELDS)
        details = detail or {}
        kev, exploit_observed = mapping(details.get("cisaData")), mapping(details.get("exploitObserved"))
        since = day(kev.get("dateAdded")) or day(exploit_observed.get("firstSeen"))
        epss = number(mapping(finding.get("epss")).get("score"), 1)
        epss = number(details.get("epssScore"), 1) if epss is None else epss
        if epss is None:
            report.missing_fields.add(EPSS_FIELDS[0])
        return {
            "exploited": since or ("unknown" if kev or exploit_observed else None),
            "due": day(kev.get("dateDue")),
            "epss": epss,
        }


def _rating(finding: dict[str, Any], vulnerable: dict[str, Any]) -> Rating:
    """Inspector's severity and score; the vendor's severity where Inspector has none."""
    adjusted_cvss = mapping(mapping(finding.get("inspectorScoreDetails")).get("adjustedCvss"))
    score = number(finding.get("inspectorScore"), 10)
    score = number(adjusted_cvss.get("score"), 10) if score is None else score
    vector = text(adjusted_cvss.get("scoringVector")) or None
    word = severity(finding.get("severity"))
    if word is Severity.UNTRIAGED and (by_vendor := severity(vulnerable.get("vendorSeverity"))) is not word:
        return Rating("distribution", by_vendor, score, vector)
    return Rating(SOURCE, word, score, vector)


def _image_digest(arn: Any) -> str:
    """The image digest of an ARN that ends in "/sha256:…", "" without one."""
    return digest(text(arn).replace("/sha256:", "@sha256:"))


def _add_coverage(report: ReportBuilder, entry: dict[str, Any] | None) -> None:
    """Check that Inspector scanned the image: an empty list of findings does not prove it."""
    if entry is None:
        if not report.findings:
            problem = "Inspector lists no findings, and may not have scanned the image"
            report.add_undetermined(f"{problem}. Add the response of ListCoverage.")
        return
    report.at = timestamp(entry.get("lastScannedAt")) or report.at
    status = mapping(entry.get("scanStatus"))
    code, reason = text(status.get("statusCode")), text(status.get("reason"))
    if code != "ACTIVE" or reason != _SUCCESSFUL_SCAN:
        report.add_undetermined(
            f"Inspector has not scanned the image: {code or 'no status'}, {reason or 'without a reason'}."
        )
