"""From a push to a running service: documents, executions, actions, deployments, fixes.

`git_pushes.py` records pushes, `executions.py` starts, retries and stops executions, `actions.py` does their work
(sources and builds), `deployments.py` deploys and repairs services, `service_risk.py` judges what they run.
`documents.py` is `dockgate apply`. `fixes.py` finds fixes for rejected images with `fix_search.py` and `lockfiles.py`.
"""
