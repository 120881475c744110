"""Readers of file formats, and helpers, that several ecosystems share.

Formats: ELF, PE and Mach-O, SPDX, SQLite, TOML, XML, YAML, zip. Helpers: content limits, version keys, upgrade
commands, vendors.
"""
