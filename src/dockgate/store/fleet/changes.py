"""The vulnerabilities that images have had for a short time only: the cause of changed verdicts."""

from collections.abc import Collection

from sqlalchemy import Select, select

from dockgate.store.engine import Database
from dockgate.store.queries import batches, numbers_of
from dockgate.store.schema.fleet import (
    fleet_bundle_components,
    fleet_findings,
    fleet_image_bundles,
    fleet_images,
    fleet_vulnerabilities,
)
from dockgate.vulnerabilities.model import Severity

# With more new findings than this, from whatever image, only the first images are looked at.
FINDINGS_LIMIT, IMAGES_LIMIT = 2_000, 200
# Of one image.
VULNERABILITIES_LIMIT = 20


class FleetChanges:
    """Reads the fleet index for what is new."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recent_vulnerabilities(self, images: Collection[str], since: str) -> dict[str, list[dict[str, str]]]:
        """The `id` and `severity` of vulnerabilities that images are known to have since that time."""
        recent = select(fleet_findings.c.component, fleet_vulnerabilities.c.name, fleet_findings.c.severity)
        recent = recent.join(fleet_vulnerabilities, fleet_vulnerabilities.c.id == fleet_findings.c.vulnerability)
        recent = recent.where(fleet_findings.c.opened >= since)
        by_component: dict[int, list[tuple[str, Severity]]] = {}
        digests = sorted(images)
        by_image: dict[str, set[tuple[str, Severity]]] = {}
        with self._database.read() as connection:
            findings = connection.execute(recent).all()
            for component, name, severity in findings:
                by_component.setdefault(component, []).append((name, severity))
            if len(findings) > FINDINGS_LIMIT:
                digests = digests[:IMAGES_LIMIT]
            for part in batches(digests) if by_component else ():
                for digest, component in connection.execute(_holders(part, by_component)):
                    by_image.setdefault(digest, set()).update(by_component[component])
        return {digest: _severities_by_name(findings) for digest, findings in by_image.items()}


def _severities_by_name(findings: Collection[tuple[str, Severity]]) -> list[dict[str, str]]:
    first = sorted((name, severity.value) for name, severity in findings)[:VULNERABILITIES_LIMIT]
    return [{"id": name, "severity": severity} for name, severity in first]


def _holders(digests: Collection[str], components: Collection[int]) -> Select[str, int]:
    """Which of these images hold which of these components.

    Components that a distribution's package owns are left out.
    """
    parts, bundles = fleet_bundle_components.c, fleet_image_bundles.c
    return (
        select(fleet_images.c.digest, parts.component)
        .distinct()
        .join(fleet_image_bundles, bundles.image == fleet_images.c.id)
        .join(fleet_bundle_components, parts.bundle == bundles.bundle)
        .where(fleet_images.c.digest.in_(digests), numbers_of(parts.component, components), ~parts.owned)
    )
