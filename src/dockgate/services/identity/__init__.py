"""Principals and their tokens, sessions of browsers, and how people sign in.

`people.py` creates principals and tokens, and authenticates requests. `sessions.py` keeps browsers signed in,
`provider_sign_in.py` signs people in by OpenID Connect, `first_admin.py` has the link for the first administrator.
"""
