"""Events, the rules that apply to them, and what is still to be sent because of them.

`log.py` numbers all events; `push_events.py` has those of our git repositories, from which pipelines start. `rules.py`
has rules and targets; `cursor.py` how far the log is matched. `outbox.py`
has what is to be sent, `receivers.py` which receivers pause.
"""
