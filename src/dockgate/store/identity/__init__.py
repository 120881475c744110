"""Permissions, and their use: principals, tokens, sessions and the audit log.

`principals.py` has people and programs with their roles, `tokens.py` their API tokens, `sessions.py` signed-in
browsers, `audit.py` who called what.
"""
