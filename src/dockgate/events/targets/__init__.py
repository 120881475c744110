"""Receivers of events, one file each (`events.ports.TargetAdapter`)."""
