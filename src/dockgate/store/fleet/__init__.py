"""The fleet index: the components, findings and current verdicts of all images.

`index.py` has images and their components (`bundles.py`), `findings.py` what is known of these, `changes.py` new
findings, `verdicts.py` the current verdicts. `judging_state.py` reads what a renewal needs, `trends.py` what
the charts need; `records.py` has the rows.
"""
