"""Events, and who is notified of them.

Rules match them (`event_dispatch.py`); one outbox (`outbox.py`) sends what follows, with a handler for each kind.
"""
