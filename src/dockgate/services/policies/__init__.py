"""Policies: stored, chosen for a repository, and tried before they are saved.

`policies.py` reads and changes them. `selection.py` chooses those that judge an image: of its repository, its pipeline
and its source. `dry_run.py` tries a candidate on past verdicts and on what runs, `policy_examples.py` judges the
examples in a policy, `timeline.py` has the policies of the past.
"""
