"""The durable execution of use cases, with dbos: only this package imports it.

`starter.py` starts workflows, `workflows.py` has their bodies, `reconciler.py` repeats what a crash or a lost message
may have left undone, and `background.py` starts and stops all of it.
"""
