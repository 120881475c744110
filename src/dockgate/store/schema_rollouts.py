"""The tables of rollouts, and of service events such as restarts."""

from sqlalchemy import Column, ForeignKey, Index, Integer, Table

from dockgate.delivery.model import State, TaskDefinition
from dockgate.store.columns import Choice, Json
from dockgate.store.schema import metadata, seq, services, words

rollouts = Table(
    "rollouts",
    metadata,
    words("service", ForeignKey(services.c.name), primary_key=True),
    Column("number", Integer, primary_key=True),
    words("target"),
    Column("desired_count", Integer, nullable=False),
    Column("definition", Json(TaskDefinition), nullable=False),
    Column("state", Choice(State), nullable=False),
    words("reason"),
    Column("revision", Integer),
    words("started_at"),
    words("started_by"),
    words("finished_at"),
)
Index(None, rollouts.c.state)

service_events = Table(
    "service_events",
    metadata,
    seq(),
    words("key", unique=True),
    words("service", ForeignKey(services.c.name)),
    words("at"),
    words("message"),
)
Index(None, service_events.c.service, service_events.c.seq)
