"""From push to running service: pipelines, their executions, approvals, fixes and services.

`pushes.py` and `pipelines.py` have the sources, `executions.py` the executions and their actions, `approvals.py` the
approvals, which are settled in one transaction with their action. `callbacks.py` encrypts where their answers go,
`followed_images.py` has approved images whose verdict is followed. `services.py` and `rollouts.py` have what runs,
`fixes.py` the fixes. `execution_results.py` and `source_commits.py` are for readers.
"""
