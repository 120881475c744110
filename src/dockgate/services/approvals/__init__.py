"""Approvals, from the request to what follows the answer.

`requests.py` requests them, `settlement.py` settles them by verdicts, `decisions.py` has what people decide,
`pubsub.py` wakes who waits, `followed_images.py` follows approved images.
"""
