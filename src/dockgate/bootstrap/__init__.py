"""The composition root: the only place that makes adapters and use cases, and hands them to each other.

`serve.py` runs the server's process, `adapters.py` makes adapters from the settings, `assemble.py` makes the use cases
from the adapters.
"""
