"""Notifiers, one file each (`events.ports.Notifier`)."""
