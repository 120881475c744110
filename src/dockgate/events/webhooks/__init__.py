"""Calls of callback URLs, one file per kind (`events.ports.Webhooks`)."""
