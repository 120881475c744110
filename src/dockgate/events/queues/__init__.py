"""Where others put messages for us: one file per kind of queue (`core.adapters.Queue`), and a fake in `memory.py`."""
