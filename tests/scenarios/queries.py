"""How many statements requests send to the server's database."""

import threading
from collections.abc import Callable

from sqlalchemy import event

from dockgate.store import Store

# How the threads are named that answer requests (anyio); the server's own work is done by others.
OF_REQUESTS = "AnyIO worker thread"


def list_statements(store: Store, call: Callable[[], object]) -> list[str]:
    """The statements that requests of a call send. It is called once before: what is remembered does not count."""
    statements: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        if threading.current_thread().name == OF_REQUESTS:
            statements.append(statement)

    call()
    event.listen(store.database.engine, "before_cursor_execute", note)
    try:
        call()
    finally:
        event.remove(store.database.engine, "before_cursor_execute", note)
    assert statements
    return statements
