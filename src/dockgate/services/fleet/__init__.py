"""The index of all kept images: what they contain, what is known of it, and their current verdicts.

`index.py` adds images, `matching.py` matches their components with advisories, `verdict_renewal.py` keeps verdicts
current with `indexed_image_judge.py` and `contents.py`; `repository_verdicts.py` judges images in their other
repositories. `change_events.py`, `new_finding_events.py` and `fixed_waivers.py` announce what changed.
`finding_trends.py` is for readers.
"""
