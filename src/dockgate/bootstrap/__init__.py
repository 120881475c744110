"""The composition root: the only place that makes adapters and use cases and hands them on.

It holds no rules and no use cases. It is a folder because its parts are read for different questions: `serve.py` the
order in which a process starts, `adapters.py` (with `event_targets.py`) which settings make which adapter,
`verdicts.py`, `delivery.py` and `use_cases.py` what each use case needs, `assemble.py` what is repeated and what runs
as a workflow. `dependencies.py` has what they hand on, and what tests replace.
"""
