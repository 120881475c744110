"""Amazon Inspector's findings: `Inspector2 Finding` events, and the answers of ListFindings, with those of
BatchGetFindingDetails (`findingDetails`) and ListCoverage (`coveredResources`) beside them where they are at hand.

Shapes: the Inspector API, version 2020-06-08, as JSON or as boto3 gives it. By the core and the standard library alone:
the same file works inside a Lambda function.
"""

from collections.abc import Iterator
from typing import Any

from dockgate.gate.external import Asked, Format
from dockgate.gate.external._inspector_packages import distribution, fixed_version, package, platform
from dockgate.gate.external._read import (
    EXPLOITED,
    PREDICTED,
    Report,
    digest,
    found,
    moment,
    number,
    objects,
    severity,
    table,
    text,
    texts,
)
from dockgate.gate.model import ExternalReport
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.model import FIX_NOT_TOLD, Finding, Rating, Severity

SOURCE = "inspector"
_EVENT = "Inspector2 Finding"
_IMAGE = "AWS_ECR_CONTAINER_IMAGE"
_PACKAGE = "PACKAGE_VULNERABILITY"
_STATES = ("ACTIVE", "SUPPRESSED", "CLOSED")
_SCANNED = "SUCCESSFUL"


class Inspector:
    name = SOURCE
    title = "Amazon Inspector findings"
    version = 1

    def recognises(self, document: Any) -> bool:
        if isinstance(document, list):
            return bool(document) and all(isinstance(one, dict) and _is_event(one) for one in document)
        if not isinstance(document, dict):
            return False
        listed = document.get("findings")
        return _is_event(document) or (
            isinstance(listed, list) and all(isinstance(one, dict) and "findingArn" in one for one in listed)
        )

    def read(self, document: Any, asked: Asked) -> tuple[ExternalReport, ...]:
        """SUPPRESSED counts: a suppression rule of Inspector's is no waiver of ours. CLOSED is over."""
        if isinstance(document, list) or _is_event(document):
            events = document if isinstance(document, list) else [document]
            reports = _Reports(asked, ())
            for index, event in enumerate(events):
                reports.take(table(event.get("detail")), f"[{index}].detail")
                for report in reports.all.values():
                    report.at = max(report.at, moment(event.get("time")))
            for report in reports.all.values():
                report.doubt("Events tell of single findings, not of all that there are: ask ListFindings.")
            return reports.reported()
        reports = _Reports(asked, objects(document.get("findingDetails"), "findingDetails"))
        for index, one in enumerate(objects(document["findings"], "findings")):
            reports.take(one, f"findings[{index}]")
        covered = {_covered(one): one for one in objects(document.get("coveredResources"), "coveredResources")}
        named = {*reports.all, *filter(None, covered)} or {*filter(None, [asked.image])}
        for image in sorted(named):
            _cover(reports.of(image), covered.get(image))
        if not reports.all:
            raise UsageError(
                "It names no image, for it holds no finding.", "Say the image's digest, and add ListCoverage's answer."
            )
        for report in reports.all.values():
            if text(document.get("nextToken")):
                report.doubt("The list of findings goes on behind its nextToken: ask for all of it.")
        return reports.reported()


FORMAT: Format = Inspector()


def _is_event(document: dict[str, Any]) -> bool:
    return document.get("detail-type") == _EVENT and "detail" in document


class _Reports:
    """A report for each image, as its findings come."""

    def __init__(self, asked: Asked, details: list[dict[str, Any]] | tuple[()]) -> None:
        self.all: dict[str, Report] = {}
        self._asked = asked
        self._details = {text(one.get("findingArn")): one for one in details}

    def of(self, image: str) -> Report:
        return self.all.setdefault(image, Report(SOURCE, image, missing_fields={"fixed_at", "percentile"}))

    def take(self, one: dict[str, Any], where: str) -> None:
        status = text(one.get("status")).upper()
        if status not in _STATES:
            raise UsageError(f"{where}.status is {status or 'missing'}; it is one of {', '.join(_STATES)}.")
        resources = objects(one.get("resources"), f"{where}.resources")
        images = [resource for resource in resources if resource.get("type") == _IMAGE]
        if not images and resources:
            return  # an instance or a function
        for resource in images or [{}]:
            told = table(table(resource.get("details")).get("awsEcrContainerImage"))
            image = digest(told.get("imageHash")) or digest(text(resource.get("id")).replace("/sha256:", "@sha256:"))
            if not image:
                raise UsageError(f"{where} names no image by digest.", "It should stand in its resources.")
            report = self.of(image)
            report.platform = report.platform or platform(told.get("architecture"))
            report.distribution = report.distribution or distribution(told.get("platform"))
            report.at = max(report.at, moment(one.get("lastObservedAt")), moment(one.get("updatedAt")))
            if status != "CLOSED":
                report.findings.extend(self._findings(one, told, report, where))

    def reported(self) -> tuple[ExternalReport, ...]:
        return tuple(report.reported() for _, report in sorted(self.all.items()))

    def _findings(self, one: dict[str, Any], told: dict[str, Any], report: Report, where: str) -> Iterator[Finding]:
        """One for each package that is vulnerable."""
        if text(one.get("type")) not in (_PACKAGE, ""):
            report.doubt(f"Inspector has a finding of another kind: {text(one.get('type'))}, {text(one.get('title'))}.")
            return
        vulnerable = table(one.get("packageVulnerabilityDetails"))
        identity = text(vulnerable.get("vulnerabilityId"))
        if not identity:
            raise UsageError(f"{where} has no vulnerabilityId.")
        detail = self._details.get(text(one.get("findingArn")))
        more = self._urgency(one, detail, report)
        names = (identity, *texts(vulnerable.get("relatedVulnerabilities")))
        rating = _rating(one, vulnerable)
        packages = objects(vulnerable.get("vulnerablePackages"), f"{where}.vulnerablePackages")
        for affected in packages or [{}]:
            fixed = fixed_version(affected)
            unfixed = "fixedInVersion" in affected and text(one.get("fixAvailable")) in ("NO", "PARTIAL")
            yield found(
                names,
                package(affected, told.get("platform")),
                rating,
                fixed,
                note="" if unfixed else FIX_NOT_TOLD,
                published=moment(vulnerable.get("vendorCreatedAt")),
                summary=text(one.get("title")),
                **more,
            )

    def _urgency(self, one: dict[str, Any], detail: dict[str, Any] | None, report: Report) -> dict[str, Any]:
        """What the details say of CISA's catalogue, or that Amazon saw it exploited; without them it is not told."""
        if detail is None:
            report.missing_fields.update(EXPLOITED)
        told = detail or {}
        listed, observed = table(told.get("cisaData")), table(told.get("exploitObserved"))
        known = moment(listed.get("dateAdded"))[:10] or moment(observed.get("firstSeen"))[:10]
        epss = number(table(one.get("epss")).get("score"), 1)
        epss = epss if epss >= 0 else number(told.get("epssScore"), 1)
        if epss < 0:
            report.missing_fields.add(PREDICTED[0])
        return {
            "exploited": known or ("unknown" if listed or observed else ""),
            "due": moment(listed.get("dateDue"))[:10],
            "epss": epss,
        }


def _rating(one: dict[str, Any], vulnerable: dict[str, Any]) -> Rating:
    """Inspector's severity and score; the vendor's severity where Inspector has none."""
    adjusted = table(table(one.get("inspectorScoreDetails")).get("adjustedCvss"))
    score = number(one.get("inspectorScore"), 10)
    score = score if score >= 0 else number(adjusted.get("score"), 10)
    vector = text(adjusted.get("scoringVector"))
    word = severity(one.get("severity"))
    if word is Severity.UNTRIAGED and (by_vendor := severity(vulnerable.get("vendorSeverity"))) is not word:
        return Rating("distribution", by_vendor, score, vector)
    return Rating(SOURCE, word, score, vector)


def _covered(one: dict[str, Any]) -> str:
    """The image that an entry of ListCoverage is of: its resourceId ends in "/sha256:…"."""
    return digest(text(one.get("resourceId")).replace("/sha256:", "@sha256:"))


def _cover(report: Report, entry: dict[str, Any] | None) -> None:
    """Whether Inspector has scanned the image at all: a list without findings does not say it."""
    if entry is None:
        if not report.findings:
            report.doubt(
                "Inspector lists no finding, and whether it scanned the image is not said: add ListCoverage's answer."
            )
        return
    report.at = moment(entry.get("lastScannedAt")) or report.at
    status = table(entry.get("scanStatus"))
    code, reason = text(status.get("statusCode")), text(status.get("reason"))
    if code != "ACTIVE" or reason != _SCANNED:
        report.doubt(f"Inspector has not scanned the image: {code or 'no status'}, {reason or 'without a reason'}.")
