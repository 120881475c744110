"""Calling those who gave a callback. One file per kind (`core.adapters.Webhooks`)."""
