"""The advisory database: one SQLite file, built beside the last one and put in its place whole.

`build` and `update` are handed the feeds; `database` reads, with nothing but the standard library.
"""
