"""Notify people and programs: match events with rules, and send what follows.

`events.py` reads the event log, `event_rules.py` and `event_targets.py` manage rules and targets. `event_matching.py`
matches the log with the rules and writes outbox entries. `outbox.py` claims and retries them; `outbox_handlers.py`
(answers, attestations) and `event_delivery.py` (messages) send each kind. `pipeline_starts.py` starts the pipelines
that rules name, `summary.py` makes the daily summary.
"""
