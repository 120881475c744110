"""Policies: stored, chosen for a repository (`selection.py`), tried before they are saved."""
