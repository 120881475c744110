"""The use cases of Dockgate: a folder for each subject, a file for each group of verbs.

Each use case is handed the adapters that it needs, and imports neither dbos nor HTTP. `durable_effects.py` runs what
may be repeated after a crash, `workflow_starter.py` is the interface to workflows, `recovery.py` and
`reconciler_rounds.py` start what was left undone. `web_services.py` has the use cases that the web application calls, a
record for each subject; `local_gate.py` and `packages.py` serve commands without a server.
"""
