"""What processes of Dockgate import as they start and work, imported once for all that are forked."""

import importlib

from dockgate.gate import rules, vex_formats
from dockgate.scanner import ecosystems
from dockgate.vulnerabilities import feeds

MODULES = (
    *("dockgate.bootstrap.serve", "dockgate.cli.gate", "dockgate.cli.main", "dockgate.cli.scan", "dockgate.cli.up"),
    *("dockgate.events.webhooks.guarded_network", "dockgate.reports.json", "dockgate.web.routes"),
    *("alembic.command", "alembic.context", "alembic.op", "anyio._backends._asyncio"),
    *("cryptography.hazmat.backends.openssl.backend", "dbos._sys_db_sqlite", "httpcore", "isal.igzip"),
    *("uvicorn.lifespan.on", "uvicorn.loops.asyncio"),
)

for name in MODULES:
    importlib.import_module(name)
for load_plugins in (ecosystems.load, feeds.load, rules.load, vex_formats.load):
    load_plugins()
