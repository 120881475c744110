"""Queues that other systems put messages in, one file per kind: `sqs.py`.

The interface is `events.ports.Queue`. `server/polling.py` polls them.
"""
