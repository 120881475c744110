"""Readers of file formats that ecosystems share, and helpers: limits, version keys, upgrade commands, vendors."""
