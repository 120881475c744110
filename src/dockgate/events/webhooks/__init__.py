"""Calls of callback URLs, one file per kind: `http.py`. The interface is `events.ports.Webhooks`.

`guarded_network.py` connects to allowed addresses only.
"""
