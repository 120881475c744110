"""The advisory database: one SQLite file. A new one is built next to it, and replaces it atomically.

`build` and `update` get the feeds as arguments. `database` reads, with the standard library only.
"""
