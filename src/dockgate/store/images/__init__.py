"""Images: where they are and were, how they are used, and what their scans have read.

`images.py` has pushes, scans and inventories (`scan_contents.py`), `rescans.py` those of a newer scanner.
`tag_history.py` and `removals.py` have past locations, `uses.py` the times of use. `listing.py` and `image_filter.py`
list images a page at a time.
"""
