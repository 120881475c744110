"""What the core says of an image and its packages, as names and texts, for documents that leave room for such.

A name is "dockgate:" and the field's in `core.model`; `sboms` reads them back, so that an inventory survives.
"""

from collections.abc import Iterator
from dataclasses import fields

from dockgate.reports._document import given
from dockgate.reports._parts import Part, Whole
from dockgate.scanner.model import Distribution, Inventory, Package, Unread
from dockgate.vulnerabilities.model import Finding

Traits = Iterator[tuple[str, str]]

# Those of a package and a distribution that the formats have a place of their own for.
_STANDARD = {"name", "version", "purl"}


def of_package(package: Package) -> Traits:
    """Everything but name, version and purl, as far as it is said."""
    for field in fields(Package):
        value = getattr(package, field.name)
        if value and field.name not in _STANDARD:
            yield f"dockgate:{field.name}", value


def of_distribution(distribution: Distribution) -> Traits:
    for field in fields(Distribution):
        value = getattr(distribution, field.name)
        for text in (value,) if isinstance(value, str) else value:
            if text:
                yield f"dockgate:distribution:{field.name}", text


def of_part(part: Part) -> Traits:
    """The image: the layers from the base up, where it comes from, and each thing that could not be read."""
    yield "dockgate:image", part.manifest
    yield "dockgate:platform", part.platform
    if part.inventory:
        yield from _of_inventory(part.inventory)


def _of_inventory(inventory: Inventory) -> Traits:
    for layer in inventory.layers:
        yield "dockgate:layers", layer
    if inventory.base_layers:
        yield "dockgate:base_layers", str(inventory.base_layers)
    for name in ("base", "created", "user"):
        if value := getattr(inventory, name):
            yield f"dockgate:{name}", value
    for entry in inventory.unread:
        for field in fields(Unread):
            yield f"dockgate:unread:{field.name}", getattr(entry, field.name)


def of_report(report: Whole) -> Traits:
    """What the whole document is of: the reference as asked, and the verdict."""
    yield "dockgate:reference", report.reference
    if not report.of_one:
        yield "dockgate:digest", report.digest
    if verdict := report.verdict:
        yield "dockgate:verdict:status", verdict.status.value
        yield "dockgate:verdict:policy", verdict.policy
        yield "dockgate:verdict:summary", verdict.summary
    for part in report.parts:
        for doubt in part.doubts:
            yield "dockgate:undetermined", doubt.reason


def of_finding(finding: Finding, rules: tuple[str, ...]) -> Traits:
    """What no field of a vulnerability's is for. `rules` are those of the policy that it breaks."""
    said = given(
        state=finding.state.value,
        note=finding.note,
        disputed="true" if finding.disputed else "",
        reachable=finding.reachable,
        malicious="true" if finding.malicious else "",
        exploited=finding.exploited,
        due=finding.due,
        epss=f"{finding.epss:g}" if finding.epss >= 0 else "",
        percentile=f"{finding.percentile:g}" if finding.percentile >= 0 else "",
    )
    yield from ((f"dockgate:{name}", text) for name, text in said.items())
    yield from (("dockgate:breaks", rule) for rule in rules)
