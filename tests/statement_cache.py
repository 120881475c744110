"""SQL statements of the tests, compiled once in a process.

Each engine of SQLAlchemy compiles a statement when it is first executed. A server has one engine, the tests of a
process have thousands: a fifth of the processor time of a test with a server was this.
"""

from typing import Any

from sqlalchemy import Connection, Engine, event


class StatementCache(dict[Any, Any]):
    """Compiled statements by their keys, which dialects of one type share."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_shared_key(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_shared_key(key), value)


def share_compiled_statements() -> None:
    """Let all engines of this process have the same cache."""
    cache = StatementCache()

    def use_cache(connection: Connection) -> None:
        connection.execution_options(compiled_cache=cache)

    event.listen(Engine, "engine_connect", use_cache)


def _shared_key(key: Any) -> Any:
    dialect, *others = key
    return (type(dialect), *others)
