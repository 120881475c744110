"""Approvals, from the request to what follows the answer.

`requests.py` requests them, `decisions.py` decides, `pubsub.py` wakes who waits, `followed_images.py` follows approved
images.
"""
