"""Amazon Inspector findings: `Inspector2 Finding` events, and responses of ListFindings.

A ListFindings document may also have those of BatchGetFindingDetails (`findingDetails`) and ListCoverage
(`coveredResources`). Shapes: Inspector API 2020-06-08, as JSON or from boto3. Imports only our model and the standard
library, so that it also runs in a Lambda function.
"""

from collections.abc import Iterator
from typing import Any

from dockgate.gate.external import Format, ReadContext
from dockgate.gate.external._fields import (
    read_day,
    read_digest,
    read_mapping,
    read_mappings,
    read_number,
    read_severity,
    read_text,
    read_texts,
    read_timestamp,
    select_latest_time,
)
from dockgate.gate.external._inspector_packages import (
    read_distribution,
    read_fixed_version,
    read_package,
    read_platform,
)
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
    def can_read(self, document: Any) -> bool:
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
        """Read the findings that are not CLOSED.

        SUPPRESSED ones count: Inspector's suppression rules are not our waivers.
        """
        if isinstance(document, list) or _is_event(document):
            events = document if isinstance(document, list) else [document]
            reports = _Reports(context, ())
            for index, event in enumerate(events):
                reports.add(read_mapping(event.get("detail")), f"[{index}].detail")
                for report in reports.by_image.values():
                    report.at = select_latest_time((report.at, read_timestamp(event.get("time"))))
            for report in reports.by_image.values():
                report.add_undetermined("Events contain single findings, not all of them. Use ListFindings.")
            return reports.build()
        reports = _Reports(context, read_mappings(document.get("findingDetails"), "findingDetails"))
        for index, finding in enumerate(read_mappings(document["findings"], "findings")):
            reports.add(finding, f"findings[{index}]")
        coverage = {
            _read_image_digest(entry.get("resourceId")): entry
            for entry in read_mappings(document.get("coveredResources"), "coveredResources")
        }
        images = {*reports.by_image, *filter(None, coverage)} or {*filter(None, [context.image])}
        for image in sorted(images):
            _add_coverage(reports.get_report(image), coverage.get(image))
        if not reports.by_image:
            advice = "Pass the digest, and add the response of ListCoverage."
            raise UsageError("the document has no finding, and so names no image", advice)
        for report in reports.by_image.values():
            if read_text(document.get("nextToken")):
                report.add_undetermined("The list of findings is incomplete: it has a nextToken. Fetch all pages.")
        return reports.build()


FORMAT: Format = Inspector()


def _is_event(document: dict[str, Any]) -> bool:
    return document.get("detail-type") == _EVENT and "detail" in document


class _Reports:
    """Report builders by image."""

    def __init__(self, context: ReadContext, details: list[dict[str, Any]] | tuple[()]) -> None:
        self.by_image: dict[str, ReportBuilder] = {}
        self._details = {read_text(detail.get("findingArn")): detail for detail in details}

    def get_report(self, image: str) -> ReportBuilder:
        return self.by_image.setdefault(image, ReportBuilder(SOURCE, image, missing_fields={"fixed_at", "percentile"}))

    def add(self, finding: dict[str, Any], location: str) -> None:
        status = read_text(finding.get("status")).upper()
        if status not in _STATES:
            raise UsageError(f"{location}.status is {status or 'missing'}; allowed: {', '.join(_STATES)}")
        resources = read_mappings(finding.get("resources"), f"{location}.resources")
        images = [resource for resource in resources if resource.get("type") == _IMAGE]
        if not images and resources:
            return  # an instance or a function
        for resource in images or [{}]:
            details = read_mapping(read_mapping(resource.get("details")).get("awsEcrContainerImage"))
            image = read_digest(details.get("imageHash")) or _read_image_digest(resource.get("id"))
            if not image:
                raise UsageError(f"{location} has no image digest in its resources")
            report = self.get_report(image)
            report.platform = report.platform or read_platform(details.get("architecture"))
            report.distribution = report.distribution or read_distribution(details.get("platform"))
            observed_times = read_timestamp(finding.get("lastObservedAt")), read_timestamp(finding.get("updatedAt"))
            report.at = select_latest_time((report.at, *observed_times))
            if status != "CLOSED":
                report.findings.extend(self._read_findings(finding, details, report, location))

    def build(self) -> tuple[ExternalReport, ...]:
        return tuple(report.build() for _, report in sorted(self.by_image.items()))

    def _read_findings(
        self, finding: dict[str, Any], image: dict[str, Any], report: ReportBuilder, location: str
    ) -> Iterator[Finding]:
        """One finding per vulnerable package."""
        if read_text(finding.get("type")) not in (_PACKAGE, ""):
            kind, title = read_text(finding.get("type")), read_text(finding.get("title"))
            report.add_undetermined(f"Inspector has a finding of another type: {kind}, {title}.")
            return
        vulnerable = read_mapping(finding.get("packageVulnerabilityDetails"))
        identity = read_text(vulnerable.get("vulnerabilityId"))
        if not identity:
            raise UsageError(f"{location} has no vulnerabilityId")
        detail = self._details.get(read_text(finding.get("findingArn")))
        urgency = self._read_urgency(finding, detail, report)
        names = (identity, *read_texts(vulnerable.get("relatedVulnerabilities")))
        rating = _read_rating(finding, vulnerable)
        packages = read_mappings(vulnerable.get("vulnerablePackages"), f"{location}.vulnerablePackages")
        for affected_package in packages or [{}]:
            fixed_in = read_fixed_version(affected_package)
            has_no_fix = "fixedInVersion" in affected_package and read_text(finding.get("fixAvailable")) in (
                "NO",
                "PARTIAL",
            )
            yield make_finding(
                names,
                read_package(affected_package, image.get("platform")),
                rating,
                fixed_in,
                note=None if has_no_fix else FIX_UNKNOWN,
                published=read_timestamp(vulnerable.get("vendorCreatedAt")),
                summary=read_text(finding.get("title")),
                **urgency,
            )

    def _read_urgency(
        self, finding: dict[str, Any], detail: dict[str, Any] | None, report: ReportBuilder
    ) -> dict[str, Any]:
        """KEV and EPSS fields from the details: CISA's catalogue, or exploitation that Amazon observed."""
        if detail is None:
            report.missing_fields.update(KEV_FIELDS)
        details = detail or {}
        kev, exploit_observed = read_mapping(details.get("cisaData")), read_mapping(details.get("exploitObserved"))
        since = read_day(kev.get("dateAdded")) or read_day(exploit_observed.get("firstSeen"))
        epss = read_number(read_mapping(finding.get("epss")).get("score"), 1)
        epss = read_number(details.get("epssScore"), 1) if epss is None else epss
        if epss is None:
            report.missing_fields.add(EPSS_FIELDS[0])
        return {
            "exploited": since or ("unknown" if kev or exploit_observed else None),
            "due": read_day(kev.get("dateDue")),
            "epss": epss,
        }


def _read_rating(finding: dict[str, Any], vulnerable: dict[str, Any]) -> Rating:
    """Inspector's severity and score; the vendor's severity where Inspector has none."""
    adjusted_cvss = read_mapping(read_mapping(finding.get("inspectorScoreDetails")).get("adjustedCvss"))
    score = read_number(finding.get("inspectorScore"), 10)
    score = read_number(adjusted_cvss.get("score"), 10) if score is None else score
    vector = read_text(adjusted_cvss.get("scoringVector")) or None
    word = read_severity(finding.get("severity"))
    if word is Severity.UNTRIAGED and (by_vendor := read_severity(vulnerable.get("vendorSeverity"))) is not word:
        return Rating("distribution", by_vendor, score, vector)
    return Rating(SOURCE, word, score, vector)


def _read_image_digest(arn: Any) -> str | None:
    """The image digest of an ARN that ends in "/sha256:…", None without one."""
    return read_digest(read_text(arn).replace("/sha256:", "@sha256:"))


def _add_coverage(report: ReportBuilder, entry: dict[str, Any] | None) -> None:
    """Check that Inspector scanned the image: an empty list of findings does not prove it."""
    if entry is None:
        if not report.findings:
            problem = "Inspector lists no findings, and may not have scanned the image"
            report.add_undetermined(f"{problem}. Add the response of ListCoverage.")
        return
    report.at = read_timestamp(entry.get("lastScannedAt")) or report.at
    status = read_mapping(entry.get("scanStatus"))
    code, reason = read_text(status.get("statusCode")), read_text(status.get("reason"))
    if code != "ACTIVE" or reason != _SUCCESSFUL_SCAN:
        report.add_undetermined(
            f"Inspector has not scanned the image: {code or 'no status'}, {reason or 'without a reason'}."
        )
