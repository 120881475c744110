"""Where others put messages for us: one file per kind of queue (`events.ports.Queue`), and a fake in `memory.py`."""
