"""The images with a vulnerability or package: `dockgate where`, now and at any time in the past.

`search.py` begins; the other modules each answer one part of it.
"""
