"""The processes of a server: starting, supervising and stopping them, and where they listen.

`bootstrap/serve.py` starts a server from them.
"""
