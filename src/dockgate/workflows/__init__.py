"""The durable execution of use cases, with dbos: only this package imports it.

`workflows.py` starts each workflow and has its body, `queues.py` says where it runs, and `engine.py` runs it with dbos.
`leases.py` finds the workers that have died, `reconciler.py` repeats what a crash or a lost message may have left
undone, and `background_tasks.py` starts and stops all of it.
"""
