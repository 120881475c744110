"""Approvals: requested (`requests.py`), decided (`decisions.py`), awaited (`pubsub.py`), followed afterwards."""
