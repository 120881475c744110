"""Dockgate inside an AWS account, with CodePipeline, Amazon ECR and Inspector.

`functions/` run in Lambda; `stack/` deploys them from a terminal. Here lies what functions and server share:
`messages.py` parses requests and events, `pipelines.py` reads waiting approvals and `approval_answers.py` answers them,
`scans.py` reads Inspector's findings, for functions and, with `inspector_findings.py`, for the server; `indexes.py` and
`ecr_registry.py` read image indexes and names in Amazon ECR.
"""
