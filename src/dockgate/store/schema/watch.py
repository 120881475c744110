"""The tables of uses of images, services at risk, and followed approved images."""

from sqlalchemy import Column, ForeignKey, Index, Integer, Table

from dockgate.gate.model import Status
from dockgate.store.columns import EnumText, SafeText
from dockgate.store.schema.tables import metadata, services, text

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

# Approved images and their verdicts as they were announced last (`records.FollowedImage`).
followed_images = Table(
    "followed_images",
    metadata,
    text("image", primary_key=True),
    text("repository", primary_key=True),
    text("policy", primary_key=True),
    Column("status", EnumText(Status), nullable=False),
    text("verdict"),
    text("changed_at"),
    Column("changes", Integer, nullable=False),
    Column("renew_at", SafeText),
    Column("unwatched_at", SafeText),
)

# Where the changes of their verdicts are sent: the callbacks of their approvals.
followed_callbacks = Table(
    "followed_callbacks",
    metadata,
    text("approval", primary_key=True),
    text("image"),
    text("repository"),
    text("policy"),
    text("url"),
    text("secret"),
)
Index(None, followed_callbacks.c.image)
