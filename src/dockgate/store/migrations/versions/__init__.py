"""The revisions of the tables, in the order of their numbers: `revision_0001.py` and so on.

`store/migrations/__init__.py` applies those that a database lacks.
"""
