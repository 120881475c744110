"""Calling those who gave a callback. One file per kind (`events.ports.Webhooks`)."""
