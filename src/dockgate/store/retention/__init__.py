"""The search for rows that are no longer needed, and their removal.

`images.py` says why an image is kept, `collections.py` has the runs of garbage collection and keeps pushes out
meanwhile. `rows.py` and `fleet.py` remove rows.
"""
