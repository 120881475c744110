"""The tables of when images were pulled and run, on which their watch can depend, and of services at risk."""

from sqlalchemy import Column, ForeignKey, Table

from dockgate.store.columns import SafeText
from dockgate.store.schema import metadata, services, text

image_uses = Table(
    "image_uses",
    metadata,
    text("image", primary_key=True),
    text("repository", primary_key=True),
    Column("pulled_at", SafeText),
    Column("run_at", SafeText),
)

# The present time at risk of each service (`delivery.service_risk.TimeAtRisk`).
service_risks = Table(
    "service_risks",
    metadata,
    text("service", ForeignKey(services.c.name), primary_key=True),
    text("image"),
    text("summary"),
    text("began_at"),
    text("deadline"),
    Column("near_at", SafeText),
    Column("passed_at", SafeText),
    Column("accepted_since", SafeText),
)
