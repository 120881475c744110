"""The registry of this server and others: who may push and pull, and what notifications cause.

`pushes.py` records pushes and deletions that registries report, and starts scans. `registry_tokens.py` gives clients
access to our own registry, `push_permits.py` withholds it during a collection. `registry_pulls.py` is the pull policy,
`refused_pulls.py` announces what it refused.
"""
