"""Which vulnerabilities images have had for a short time only: what made their verdicts change."""

from collections.abc import Collection

from sqlalchemy import func, select

from dockgate.store.engine import Database
from dockgate.store.queries import BATCH
from dockgate.store.schema_fleet import (
    fleet_bundle_components,
    fleet_findings,
    fleet_image_bundles,
    fleet_images,
    fleet_vulnerabilities,
)

# With more new findings than this, from whatever image, only the first images are looked at.
FINDINGS_LIMIT, IMAGES_LIMIT = 2_000, 200
# Of one image.
VULNERABILITIES_LIMIT = 20


class FleetChanges:
    """Reads the fleet index for what is new."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recent_vulnerabilities(self, images: Collection[str], since: str) -> dict[str, list[dict[str, str]]]:
        """The vulnerabilities that images (digests) are known to have since that time: `id` and `severity` each."""
        is_recent = fleet_findings.c.opened >= since
        query = (
            select(fleet_images.c.digest, fleet_vulnerabilities.c.name, fleet_findings.c.severity)
            .distinct()
            .join_from(
                fleet_findings, fleet_vulnerabilities, fleet_vulnerabilities.c.id == fleet_findings.c.vulnerability
            )
            .join(fleet_bundle_components, fleet_bundle_components.c.component == fleet_findings.c.component)
            .join(fleet_image_bundles, fleet_image_bundles.c.bundle == fleet_bundle_components.c.bundle)
            .join(fleet_images, fleet_images.c.id == fleet_image_bundles.c.image)
            .where(is_recent, ~fleet_bundle_components.c.owned)
            .order_by(fleet_vulnerabilities.c.name)
        )
        recent: dict[str, list[dict[str, str]]] = {}
        digests = sorted(images)
        with self._database.read() as connection:
            count = connection.scalar(select(func.count()).select_from(fleet_findings).where(is_recent)) or 0
            if not count:
                return {}
            if count > FINDINGS_LIMIT:
                digests = digests[:IMAGES_LIMIT]
            for start in range(0, len(digests), BATCH):
                part = digests[start : start + BATCH]
                for row in connection.execute(query.where(fleet_images.c.digest.in_(part))):
                    entries = recent.setdefault(row.digest, [])
                    if len(entries) < VULNERABILITIES_LIMIT:
                        entries.append({"id": row.name, "severity": row.severity.value})
        return recent
