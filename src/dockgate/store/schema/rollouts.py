"""The tables of rollouts, and of service events such as restarts."""

from sqlalchemy import Column, ForeignKey, Index, Integer, Table

from dockgate.delivery.model import RunState
from dockgate.delivery.service_model import TaskDefinition
from dockgate.store.columns import EnumText, Json
from dockgate.store.schema.tables import metadata, optional, sequence, services, text

rollouts = Table(
    "rollouts",
    metadata,
    text("service", ForeignKey(services.c.name), primary_key=True),
    Column("number", Integer, primary_key=True),
    text("target"),
    Column("desired_count", Integer, nullable=False),
    Column("definition", Json(TaskDefinition), nullable=False),
    Column("state", EnumText(RunState), nullable=False),
    optional("reason"),
    Column("revision", Integer),
    text("started_at"),
    text("started_by"),
    optional("finished_at"),
)
Index(None, rollouts.c.state)

service_events = Table(
    "service_events",
    metadata,
    sequence(),
    text("key", unique=True),
    text("service", ForeignKey(services.c.name)),
    text("at"),
    text("message"),
)
Index(None, service_events.c.service, service_events.c.seq)
