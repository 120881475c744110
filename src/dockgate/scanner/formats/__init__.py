"""Readers of file formats that ecosystems share, and helpers.

Helpers are for limits, version keys, upgrade commands and vendors.
"""
