"""The pages of the console, one module a kind of page. Each has a `router`.

Modules without one prepare what several pages show: `changes.py`, `comparisons.py`, `decisions.py`, `feed_trouble.py`,
`finding_filter.py`, `policy_trials.py`, `revisions.py`, `stages.py`.
"""
