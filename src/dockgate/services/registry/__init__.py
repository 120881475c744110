"""The registry of this server and others: who may push and pull, and what notifications cause.

`notifications.py` receives notifications, with the secrets of `webhook_secrets.py`; `push_reports.py` reads them,
`push_confirmation.py` asks the registry whether they are true, and `pushes.py` records pushes and deletions, and
starts scans. `registry_tokens.py` gives clients access to our own registry, `push_permits.py` withholds it during a
collection. `registry_pulls.py` is the pull policy, `refused_pulls.py` announces what it refused.
"""
