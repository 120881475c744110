"""Readers of file formats that ecosystems share.

Helpers are for limits, version keys and upgrade commands.
"""
