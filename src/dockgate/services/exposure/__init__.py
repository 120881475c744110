"""The images with a vulnerability or package: `dockgate where`, now and at any time in the past.

`search.py` begins and `answer.py` has the question and the answer; each other module fills a part of it. `images.py`
has the locations and times, `package.py` the versions, `vulnerability_facts.py` what the advisories know.
`finding_life.py`, `finding_waivers.py`, `waived_findings.py` and `waiver_history.py` explain what was open and what was
waived. `blocking_verdicts.py` and `image_statuses.py` have the verdicts, `unknown_images.py` what could not be decided.
`waiver_preview.py` shows what a waiver would change, `advisory_matching.py` how complete a list of findings is.
"""
