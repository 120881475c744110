"""Detect package metadata that was changed without its files."""
