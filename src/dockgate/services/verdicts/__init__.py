"""Verdicts on one image, and what they are made from.

`case_builder.py` collects a verdict's inputs, `verdicts.py` judges and stores. Inputs: `waivers.py` (with VEX
documents), `attached_statements.py`, `provenance.py`. `push_verdicts.py` judges pushed images; `verdict_inputs.py` and
`exemption_revisions.py` show that something changed. `attestations.py` signs approvals, `verdict_links.py` opens one
verdict to a visitor, `policy_dry_run.py` tries a policy on past verdicts and on what runs.
"""
