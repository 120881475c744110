"""The registry of this server and others: who may push and pull, and what their notifications mean."""
