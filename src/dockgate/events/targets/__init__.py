"""Receivers of events, one file each. The interface is `events.ports.TargetAdapter`.

`bootstrap/event_targets.py` names them. `log.py` is always there, `pipeline.py` starts pipelines, the others send to
webhooks, people and AWS. `_aws.py` has what the targets in AWS share,
`_refusals.py` what becomes of a message that a target can never take.
"""
