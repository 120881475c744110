"""Queues that other systems put messages in, one file per kind (`events.ports.Queue`)."""
