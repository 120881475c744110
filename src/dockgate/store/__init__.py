"""The tables and folders of a server, in SQLAlchemy Core.

`open_store` opens them. `Store` has a field for each class of queries, and the locks and signals of the database. Every
method that changes something is one transaction, and may be called twice with the same arguments: the second call
changes nothing. Times are RFC 3339 text in UTC.

`get_x` returns one that must exist, or raises NotFoundError with the command that lists what exists; `find_x` looks for
what may be absent. `list_x` returns many, `iterate_x` many in parts, `count_x` a number; `read_x` what is always there.
"""

from dockgate.store.migrations import migrate
from dockgate.store.store import Store, open_store, read_folder_owner

__all__ = ["Store", "migrate", "open_store", "read_folder_owner"]
