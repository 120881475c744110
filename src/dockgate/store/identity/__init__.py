"""Permissions, and their use: principals, tokens, sessions and the audit log."""
