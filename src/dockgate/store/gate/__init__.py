"""Verdicts, and what they are made from: policies, waivers, statements and reports of other scanners.

`verdicts.py` stores verdicts with their cases. Inputs: `policies.py` and `policy_assignments.py`, `waivers.py`,
`vex.py`, `reports.py`, `provenance.py`. `service_risks.py` has the times at which services are at risk.
"""
