"""Images: scanned, searched, and watched while they are in use.

`scans.py` starts with a push or a request and reads images, or asks another scanner; `image_inventory.py` and
`external_findings.py` do so for a command. `rescans.py` repeats scans of an older version, `image_presence.py` asks
whether images still exist. `watched_images.py` knows which verdicts are kept current. `search.py`, `name_search.py`,
`fleet_packages.py`, `findings.py`, `location_verdicts.py`, `verdict_difference.py`, `visibility.py` and
`unused_images.py` are for lists and pages.
"""
