"""The advisory database: one SQLite file. A new one is built next to it, and replaces it atomically.

`database.py` answers queries, with the standard library only. `build.py` and `update.py` get the feeds as arguments and
write with `writer.py` and `parts.py`; `schema.py` has the tables. `keys.py` and `changes.py` find what differs between
two databases, `coverage.py` and `feed_states.py` say how complete and how old each feed is, `transfer.py` exports and
imports.
"""
