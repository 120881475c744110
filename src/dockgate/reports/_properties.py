"""Properties (name and text) for data without a field in CycloneDX and SPDX.

A name is "dockgate:" and the field's name in `scanner.model`. `scanner.sboms` reads them back, so that an inventory
stays complete.
"""

from collections.abc import Iterator
from dataclasses import fields

from dockgate.reports._document import drop_empty
from dockgate.reports._image_report import ImageReport, PlatformPart
from dockgate.scanner.model import Distribution, Inventory, Package, Unread
from dockgate.vulnerabilities.model import Finding

Properties = Iterator[tuple[str, str]]

# Fields of packages and distributions for which the formats have fields of their own.
_STANDARD = {"name", "version", "purl"}


def list_package_properties(package: Package) -> Properties:
    """Every non-empty field but name, version and purl."""
    for field in fields(Package):
        value = getattr(package, field.name)
        if value and field.name not in _STANDARD:
            yield f"dockgate:{field.name}", value


def list_distribution_properties(distribution: Distribution) -> Properties:
    """Every non-empty field of the distribution."""
    for field in fields(Distribution):
        value = getattr(distribution, field.name)
        for text in (value,) if isinstance(value, str) else value or ():
            if text:
                yield f"dockgate:distribution:{field.name}", text


def list_part_properties(part: PlatformPart) -> Properties:
    """The image: its layers from the base up, its base image, and each path that could not be read."""
    yield "dockgate:image", part.manifest
    if part.platform:
        yield "dockgate:platform", part.platform
    if part.inventory:
        yield from _list_inventory_properties(part.inventory)


def _list_inventory_properties(inventory: Inventory) -> Properties:
    for layer in inventory.layers:
        yield "dockgate:layers", layer
    if inventory.base_layers:
        yield "dockgate:base_layers", str(inventory.base_layers)
    for name in ("base", "created", "user"):
        if value := getattr(inventory, name):
            yield f"dockgate:{name}", value
    for entry in inventory.unread:
        for field in fields(Unread):
            yield f"dockgate:unread:{field.name}", getattr(entry, field.name) or ""


def list_report_properties(report: ImageReport) -> Properties:
    """The whole document: the reference as the user wrote it, and the verdict."""
    yield "dockgate:reference", report.reference
    if not report.is_single_manifest:
        yield "dockgate:digest", report.digest
    if verdict := report.verdict:
        yield "dockgate:verdict:status", verdict.status.value
        yield "dockgate:verdict:policy", verdict.policy
        yield "dockgate:verdict:summary", verdict.summary
    for part in report.parts:
        for entry in part.undetermined:
            yield "dockgate:undetermined", entry.reason


def list_finding_properties(finding: Finding, rules: tuple[str, ...]) -> Properties:
    """Return what vulnerabilities have no field for. `rules` are the rules that the finding breaks."""
    values = drop_empty(
        state=finding.state.value,
        note=finding.note,
        disputed="true" if finding.is_disputed else "",
        reachable=finding.reachable,
        malicious="true" if finding.is_malicious else "",
        exploited=finding.exploited,
        due=finding.due,
        epss="" if finding.epss is None else f"{finding.epss:g}",
        percentile="" if finding.percentile is None else f"{finding.percentile:g}",
    )
    yield from ((f"dockgate:{name}", text) for name, text in values.items())
    yield from (("dockgate:breaks", rule) for rule in rules)
