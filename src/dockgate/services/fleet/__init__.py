"""The index of all kept images: what they hold, what is known of it, and their current verdicts.

`index.py` adds images, `matching.py` finds what is known of their components, `verdict_renewal.py` keeps verdicts
current.
"""
