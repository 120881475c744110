"""Policies: stored, chosen for a repository, and checked by their examples.

`policies.py` reads and changes them. `selection.py` chooses those that judge an image: of its repository, its pipeline
and its source. `policy_examples.py` judges the examples in a policy, `timeline.py` has the policies of the past.
`services/verdicts/policy_dry_run.py` tries a candidate before it is saved.
"""
