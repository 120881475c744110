"""The durable execution of use cases, with dbos: only this package imports it.

`starter.py` says which workflow runs and where, `engine.py` runs it with dbos, and `workflows.py` has the bodies.
`leases.py` finds the workers that have died, `reconciler.py` repeats what a crash or a lost message may have left
undone, and `background_tasks.py` starts and stops all of it.
"""
